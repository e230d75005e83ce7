//go:build !amd64 || purego

package cenc

import "crypto/cipher"

func newCBCDecrypter(_ *[KeySize]byte, block cipher.Block) cipher.BlockMode {
	return cipher.NewCBCDecrypter(block, make([]byte, BlockSize))
}

func newKeyStream(_ *[KeySize]byte, block cipher.Block) keyStream { return &counter{block: block} }
