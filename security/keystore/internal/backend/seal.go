package backend

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/lares-drm/lares/security/keystore"
)

// Lengths in bytes. Source: local, docs/spec/keystore.md.
const (
	saltLen  = 32
	keyLen   = 32 // AES-256
	nonceLen = 12
	tagLen   = 16
)

// SealInfo is the HKDF info of what Keystore.Seal makes.
const SealInfo = "lares/1/keystore/seal"

// Overhead is what sealing adds to data, in bytes, besides the head.
const Overhead = saltLen + nonceLen + tagLen

// Seal returns head ‖ salt ‖ nonce ‖ AES-256-GCM under a key that HKDF-SHA-256
// derives from secret for this one call; head is authenticated with aad. There
// is one length of head for each info.
func Seal(head, secret []byte, info string, data, aad []byte) ([]byte, error) {
	if len(data) > keystore.MaxSealed {
		return nil, fmt.Errorf("keystore: %d bytes are too many to seal", len(data))
	}
	out := make([]byte, len(head)+saltLen+nonceLen, len(head)+Overhead+len(data))
	copy(out, head)
	if _, err := rand.Read(out[len(head):]); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	aead, err := derive(secret, out[len(head):len(head)+saltLen], info)
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, out[len(head)+saltLen:], data, join(head, aad)), nil //nolint:gosec // the nonce was read from crypto/rand above
}

// Unseal opens what Seal made; any failure is keystore.ErrUnseal.
func Unseal(head, secret []byte, info string, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < len(head)+Overhead || len(sealed) > len(head)+Overhead+keystore.MaxSealed || string(sealed[:len(head)]) != string(head) {
		return nil, keystore.ErrUnseal
	}
	rest := sealed[len(head):]
	aead, err := derive(secret, rest[:saltLen], info)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, rest[saltLen:saltLen+nonceLen], rest[saltLen+nonceLen:], join(head, aad))
	if err != nil {
		return nil, keystore.ErrUnseal
	}
	return plain, nil
}

// join is unambiguous because head has one length for each info.
func join(head, aad []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(aad)), head...), aad...)
}

func derive(secret, salt []byte, info string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, info, keyLen)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return cipher.NewGCM(block)
}
