package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// AlgA128GCM is AES-GCM with a 128-bit key and tag (IANA COSE Algorithms registry).
const AlgA128GCM = 1

type encrypt0Body struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[int]RawMessage
	Ciphertext  []byte
}

// NewEncrypt0 seals plain with AES-128-GCM under a caller's protected header
// (encoded), 12-byte nonce and external_aad: an untagged COSE_Encrypt0 (RFC
// 9052 section 5.2).
func NewEncrypt0(key, nonce, protected, aad, plain []byte) ([]byte, error) {
	gcm, full, err := encrypt0(key, nonce, protected, aad)
	if err != nil {
		return nil, err
	}
	return Marshal(encrypt0Body{Protected: protected, Unprotected: map[int]RawMessage{}, Ciphertext: gcm.Seal(nil, nonce, plain, full)})
}

// ParseEncrypt0 splits a COSE_Encrypt0 with an empty unprotected header.
func ParseEncrypt0(data []byte, lim Limit) (protected, ciphertext []byte, err error) {
	var b encrypt0Body
	if err := Unmarshal(data, &b, lim); err != nil {
		return nil, nil, err
	}
	if b.Protected == nil || len(b.Unprotected) != 0 || len(b.Ciphertext) < 16 {
		return nil, nil, fmt.Errorf("%w: COSE_Encrypt0", ErrShape)
	}
	return b.Protected, b.Ciphertext, nil
}

// OpenEncrypt0 opens what NewEncrypt0 sealed. Every failure is ErrSignature.
func OpenEncrypt0(key, nonce, protected, aad, ciphertext []byte) ([]byte, error) {
	gcm, full, err := encrypt0(key, nonce, protected, aad)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, ciphertext, full)
	if err != nil {
		return nil, ErrSignature
	}
	return plain, nil
}

func encrypt0(key, nonce, protected, aad []byte) (cipher.AEAD, []byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, fmt.Errorf("wire: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, fmt.Errorf("wire: %w", err)
	}
	if len(nonce) != gcm.NonceSize() {
		return nil, nil, fmt.Errorf("%w: nonce of %d bytes", ErrShape, len(nonce))
	}
	full, err := Marshal([]any{"Encrypt0", protected, aad})
	return gcm, full, err
}
