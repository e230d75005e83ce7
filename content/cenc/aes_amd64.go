//go:build !purego

package cenc

import (
	"crypto/cipher"
	"crypto/subtle"
)

// The processor's own AES instructions, for two things. Decryption in CBC mode,
// whose blocks do not wait for each other: the standard library takes them one by
// one, at a sixth of the speed. And counters: the standard library makes a new
// object for each sample, which costs more than a small sample itself, and has a
// counter of 128 bits, where that of Common Encryption has 64. docs/performance.md
// has the figures.

// What the processor says of itself, asked once: under a hypervisor the question
// is slow.
var hasAES, hasWideAES = cpuHasAES(), cpuHasWideAES()

func cpuHasAES() bool

func cpuHasWideAES() bool

// expandEncrypt makes the round keys of encryption.
//
//go:noescape
func expandEncrypt(key *[16]byte, keys *[11][16]byte)

// xorCTR encrypts counters, from one on, into data, and leaves the next one.
//
//go:noescape
func xorCTR(keys *[11][16]byte, counter *[16]byte, data *byte, blocks int)

// xorCTRWide is xorCTR for multiples of 32 blocks.
//
//go:noescape
func xorCTRWide(keys *[11][16]byte, counter *[16]byte, data *byte, blocks int)

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

// fastCounter is a keyStream. It is made of plain numbers, for wipe.
type fastCounter struct {
	keys [11][BlockSize]byte
	next [BlockSize]byte // counter
	rest [BlockSize]byte // key stream of the last block
	used int             // bytes of rest
}

func newKeyStream(key *[KeySize]byte, block cipher.Block) keyStream {
	if !hasAES {
		return &counter{block: block}
	}
	c := new(fastCounter)
	expandEncrypt(key, &c.keys)
	return c
}

func (c *fastCounter) reset(iv IV) { c.next, c.used = iv, BlockSize }

func (c *fastCounter) xor(b []byte) {
	for len(b) > 0 && c.used < BlockSize {
		b[0] ^= c.rest[c.used]
		c.used++
		b = b[1:]
	}
	n := len(b) / BlockSize
	if wide := n &^ 31; wide > 0 && hasWideAES {
		xorCTRWide(&c.keys, &c.next, &b[0], wide)
		b, n = b[wide*BlockSize:], n-wide
	}
	if n > 0 {
		xorCTR(&c.keys, &c.next, &b[0], n)
		b = b[n*BlockSize:]
	}
	if len(b) > 0 {
		c.rest = [BlockSize]byte{}
		xorCTR(&c.keys, &c.next, &c.rest[0], 1)
		c.used = subtle.XORBytes(b, b, c.rest[:])
	}
}

func (c *fastCounter) done()  { c.rest = [BlockSize]byte{} }
func (c *fastCounter) close() { *c = fastCounter{} }
