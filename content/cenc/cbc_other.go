//go:build !amd64 || purego

package cenc

import "crypto/cipher"

func newCBCDecrypter(_ *[KeySize]byte, block cipher.Block) cipher.BlockMode {
	return cipher.NewCBCDecrypter(block, make([]byte, BlockSize))
}
