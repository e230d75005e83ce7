//go:build pkcs11 && cgo

package pkcs11

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/lares-drm/lares/security/keystore"
)

// sealVersion is the first byte of sealed data. Source: local, docs/spec/keystore.md.
const sealVersion = 3

// Lengths in bytes. Source: local, docs/spec/keystore.md.
const (
	sealKeyLen = 32
	nonceLen   = 12
	tagLen     = 16
)

// Seal encrypts in the token: AES-256-GCM with a random nonce.
func (s *Store) Seal(data, aad []byte) (out []byte, err error) {
	if len(data) > keystore.MaxSealed {
		return nil, fmt.Errorf("keystore: %d bytes are too many to seal", len(data))
	}
	out = make([]byte, 1+nonceLen)
	out[0] = sealVersion
	if _, err := rand.Read(out[1:]); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	err = s.gcm(out[1:], aad, func(h pkcs11.SessionHandle, m []*pkcs11.Mechanism) error {
		if err := s.token.ctx.EncryptInit(h, m, s.keys.seal); err != nil {
			return err
		}
		sealed, err := s.token.ctx.Encrypt(h, data)
		if err == nil && len(sealed) != len(data)+tagLen {
			err = fmt.Errorf("%d bytes are %d sealed", len(data), len(sealed))
		}
		out = append(out, sealed...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keystore: seal: %w", err)
	}
	return out, nil
}

// Unseal opens what Seal made.
func (s *Store) Unseal(sealed, aad []byte) (data []byte, err error) {
	if len(sealed) < 1+nonceLen+tagLen || len(sealed) > 1+nonceLen+tagLen+keystore.MaxSealed || sealed[0] != sealVersion {
		return nil, keystore.ErrUnseal
	}
	err = s.gcm(sealed[1:1+nonceLen], aad, func(h pkcs11.SessionHandle, m []*pkcs11.Mechanism) error {
		if err := s.token.ctx.DecryptInit(h, m, s.keys.seal); err != nil {
			return err
		}
		data, err = s.token.ctx.Decrypt(h, sealed[1+nonceLen:])
		// What tokens say of a tag that does not hold; the last two are SoftHSM's.
		if is(err, pkcs11.CKR_ENCRYPTED_DATA_INVALID, pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_GENERAL_ERROR) {
			return keystore.ErrUnseal
		}
		return err
	})
	if err != nil && !errors.Is(err, keystore.ErrUnseal) {
		err = fmt.Errorf("keystore: unseal: %w", err)
	}
	return data, err
}

// gcm gives f a session, and the mechanism with nonce and additional data: the
// first byte of what is sealed, then aad.
func (s *Store) gcm(nonce, aad []byte, f func(pkcs11.SessionHandle, []*pkcs11.Mechanism) error) error {
	return s.token.do(func(h pkcs11.SessionHandle) error {
		params := pkcs11.NewGCMParams(nonce, append([]byte{sealVersion}, aad...), 8*tagLen)
		defer params.Free()
		return f(h, mechanism(pkcs11.CKM_AES_GCM, params))
	})
}
