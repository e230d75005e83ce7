package edhoc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// AES-CCM as COSE names it AES-CCM-16-64-128 and AES-CCM-16-128-128 (RFC 9053
// section 4.2): 128-bit key, 13-byte nonce, 2-byte length field, and a tag of
// 8 or 16 bytes. The mode is RFC 3610.
const (
	ccmNonce   = 13           // bytes; RFC 9053
	ccmMaxText = 1<<16 - 1    // bytes; a 2-byte length field
	ccmMaxAAD  = 1<<16 - 1<<8 // bytes; longer needs another header (RFC 3610 section 2.2)
)

type ccm struct{ tag int }

func (c ccm) seal(key, nonce, aad, plain []byte) ([]byte, error) {
	block, err := c.block(key, nonce, aad, len(plain))
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(plain), len(plain)+c.tag)
	tag := c.mac(block, nonce, aad, plain)
	c.crypt(block, nonce, out, plain, &tag)
	return append(out, tag[:c.tag]...), nil
}

func (c ccm) open(key, nonce, aad, sealed []byte) ([]byte, error) {
	if len(sealed) < c.tag {
		return nil, ErrRejected
	}
	body, got := sealed[:len(sealed)-c.tag], sealed[len(sealed)-c.tag:]
	block, err := c.block(key, nonce, aad, len(body))
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(body))
	var mask [aes.BlockSize]byte
	c.crypt(block, nonce, plain, body, &mask)
	want := c.mac(block, nonce, aad, plain)
	subtle.XORBytes(want[:], want[:], mask[:])
	if subtle.ConstantTimeCompare(want[:c.tag], got) != 1 {
		clear(plain)
		return nil, ErrRejected
	}
	return plain, nil
}

func (c ccm) block(key, nonce, aad []byte, text int) (cipher.Block, error) {
	if len(nonce) != ccmNonce || len(aad) >= ccmMaxAAD || text > ccmMaxText {
		return nil, fmt.Errorf("%w: AES-CCM input", ErrTooLong)
	}
	return aes.NewCipher(key)
}

// mac is the CBC-MAC T of RFC 3610 section 2.2, before its encryption.
func (c ccm) mac(block cipher.Block, nonce, aad, plain []byte) (x [aes.BlockSize]byte) {
	x[0] = byte((c.tag-2)/2)<<3 | 1 //nolint:gosec // tag is 8 or 16
	if len(aad) > 0 {
		x[0] |= 1 << 6
	}
	copy(x[1:], nonce)
	binary.BigEndian.PutUint16(x[14:], uint16(len(plain))) //nolint:gosec // bounded by ccmMaxText
	block.Encrypt(x[:], x[:])
	if len(aad) > 0 {
		head := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(aad)), uint16(len(aad))) //nolint:gosec // bounded by ccmMaxAAD
		chain(block, &x, append(head, aad...))
	}
	chain(block, &x, plain)
	return x
}

// chain runs data, padded with zeros to whole blocks, through the CBC-MAC.
func chain(block cipher.Block, x *[aes.BlockSize]byte, data []byte) {
	for len(data) > 0 {
		n := min(len(data), aes.BlockSize)
		subtle.XORBytes(x[:n], x[:n], data[:n])
		block.Encrypt(x[:], x[:])
		data = data[n:]
	}
}

// crypt encrypts src to dst in counter mode and tag with the first key block.
func (c ccm) crypt(block cipher.Block, nonce, dst, src []byte, tag *[aes.BlockSize]byte) {
	var a [aes.BlockSize]byte
	a[0] = 1 // length of the length field, less one
	copy(a[1:], nonce)
	stream := cipher.NewCTR(block, a[:])
	stream.XORKeyStream(tag[:], tag[:])
	stream.XORKeyStream(dst, src)
}

type gcm struct{}

func (gcm) seal(key, nonce, aad, plain []byte) ([]byte, error) {
	a, err := newGCM(key, nonce)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nonce, plain, aad), nil
}

func (gcm) open(key, nonce, aad, sealed []byte) ([]byte, error) {
	a, err := newGCM(key, nonce)
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, nonce, sealed, aad)
	if err != nil {
		return nil, ErrRejected
	}
	return plain, nil
}

func newGCM(key, nonce []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("edhoc: %w", err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("edhoc: %w", err)
	}
	if len(nonce) != a.NonceSize() {
		return nil, fmt.Errorf("%w: AES-GCM nonce", ErrTooLong)
	}
	return a, nil
}
