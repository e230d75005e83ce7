package soft

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/keystore"
)

// sealVersion is the first byte of sealed data. Source: local, docs/spec/keystore.md.
const sealVersion = 1

// Seal encrypts with AES-256-GCM under a key derived for this one call.
func (s *Store) Seal(data, aad []byte) ([]byte, error) {
	if len(data) > keystore.MaxSealed {
		return nil, fmt.Errorf("keystore: %d bytes are too many to seal", len(data))
	}
	return seal([]byte{sealVersion}, s.seal.b[:], infoSeal, data, aad)
}

// Unseal opens what Seal made.
func (s *Store) Unseal(data, aad []byte) ([]byte, error) {
	if len(data) > 1+saltLen+nonceLen+keystore.MaxSealed+tagLen {
		return nil, keystore.ErrUnseal
	}
	return unseal([]byte{sealVersion}, s.seal.b[:], infoSeal, data, aad)
}

// sealFile and openFile are the key file under the device secret.
func sealFile(secret, plain []byte) ([]byte, error) {
	return seal([]byte(magic), secret, infoFile, plain, nil)
}

func openFile(secret, sealed []byte) ([]byte, error) {
	if len(secret) != secretLen {
		return nil, fmt.Errorf("%w: device secret of %d bytes", keystore.ErrDamaged, len(secret))
	}
	plain, err := unseal([]byte(magic), secret, infoFile, sealed, nil)
	if errors.Is(err, keystore.ErrUnseal) {
		return nil, fmt.Errorf("%w: the key file and the device secret do not belong together, or one was changed", keystore.ErrDamaged)
	}
	return plain, err
}

// seal returns head ‖ salt ‖ nonce ‖ AES-256-GCM; head is authenticated with aad.
func seal(head, secret []byte, info string, data, aad []byte) ([]byte, error) {
	out := make([]byte, len(head)+saltLen+nonceLen, len(head)+saltLen+nonceLen+len(data)+tagLen)
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

func unseal(head, secret []byte, info string, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < len(head)+saltLen+nonceLen+tagLen || string(sealed[:len(head)]) != string(head) {
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
