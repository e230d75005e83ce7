//go:build !purego

package cenc

import "crypto/cipher"

// The processor's own AES instructions, used for one thing only: decryption in
// CBC mode, whose blocks do not wait for each other. The standard library takes
// them one by one, at a quarter of the speed (docs/performance.md).

// hasAES is what the processor says of itself, asked once: under a hypervisor
// the question is slow.
var hasAES = cpuHasAES()

//go:noescape
func cpuHasAES() bool

// expandDecrypt makes the round keys of decryption, in the order of their use.
//
//go:noescape
func expandDecrypt(key *[16]byte, keys *[11][16]byte)

// decryptCBC decrypts whole blocks in place and leaves the last one's
// ciphertext in iv.
//
//go:noescape
func decryptCBC(keys *[11][16]byte, iv *[16]byte, data *byte, blocks int)

// cbcDecrypter is a cipher.BlockMode that works in place only. It is made of
// plain numbers, for wipe.
type cbcDecrypter struct {
	keys [11][BlockSize]byte
	iv   [BlockSize]byte
}

// newCBCDecrypter is cipher.NewCBCDecrypter for a key, or for its block where
// the processor has no instructions.
func newCBCDecrypter(key *[KeySize]byte, block cipher.Block) cipher.BlockMode {
	if !hasAES {
		return cipher.NewCBCDecrypter(block, make([]byte, BlockSize))
	}
	d := new(cbcDecrypter)
	expandDecrypt(key, &d.keys)
	return d
}

func (*cbcDecrypter) BlockSize() int { return BlockSize }

func (d *cbcDecrypter) SetIV(iv []byte) { d.iv = [BlockSize]byte(iv) }

// CryptBlocks works in place: dst and src are the same bytes, whole blocks.
func (d *cbcDecrypter) CryptBlocks(dst, src []byte) {
	if len(dst) < len(src) || len(src)%BlockSize != 0 || len(src) > 0 && &dst[0] != &src[0] {
		panic("cenc: not whole blocks in place") //nolint:forbidigo // the callers are in sample.go
	}
	if n := len(src) / BlockSize; n > 0 {
		decryptCBC(&d.keys, &d.iv, &src[0], n)
	}
}
