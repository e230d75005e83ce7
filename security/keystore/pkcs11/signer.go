//go:build pkcs11 && cgo

package pkcs11

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// Signers makes and uses keys that do nothing but sign, in any number of tokens.
// One token is open at a time, since a library has one login: a process has one
// Signers, and no Store beside it. The zero value is ready; it is safe for
// concurrent use.
type Signers struct {
	mu    sync.Mutex
	token *token // nil between tokens
	of    string // the library and the token that is open
}

// New makes a key with a label in a token. keep is called twice with what must
// be kept to use it: before the key is made, so that one that nothing points to
// can be found and removed (Remove), and after.
func (s *Signers) New(cfg SignerConfig, label string, keep func(key []byte) error) error {
	k := &signerKey{ID: make([]byte, idLen)}
	if _, err := rand.Read(k.ID); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return s.with(cfg, cfg.Token, "", func(t *token, h pkcs11.SessionHandle) error {
		k.Token, k.Serial = t.label, t.serial
		write := func() error {
			data, err := k.marshal()
			if err != nil {
				return err
			}
			return keep(data)
		}
		if err := write(); err != nil {
			return err
		}
		var err error
		if k.Public, err = pair(t, h, label, k.ID, attribute(pkcs11.CKA_SIGN, true), attribute(pkcs11.CKA_DERIVE, false)); err != nil {
			return fmt.Errorf("keystore: make a key in the token: %w", err)
		}
		return write()
	})
}

// Remove destroys what there is of a key in its token.
func (s *Signers) Remove(cfg SignerConfig, key []byte) error {
	k, err := parseSigner(key)
	if err != nil {
		return err
	}
	return s.with(cfg, k.Token, k.Serial, func(t *token, h pkcs11.SessionHandle) error {
		for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
			all, err := t.objects(h, class, k.ID)
			if err != nil {
				return err
			}
			for _, o := range all {
				if err := t.ctx.DestroyObject(h, o); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Open gives the signer of a key that New made; keystore.ErrNone for one that
// was never finished. The token is asked when it signs.
func (s *Signers) Open(cfg SignerConfig, key []byte) (crypto.Signer, error) {
	k, err := parseSigner(key)
	if err != nil {
		return nil, err
	}
	if len(k.Public) == 0 {
		return nil, keystore.ErrNone
	}
	pub, err := public(k.Public)
	if err != nil {
		return nil, err
	}
	return backend.Signer{Key: pub, Do: func(digest []byte) (r, t []byte, err error) {
		err = s.with(cfg, k.Token, k.Serial, func(tok *token, h pkcs11.SessionHandle) error {
			o, err := tok.stayed(h, pkcs11.CKO_PRIVATE_KEY, k.ID)
			if err != nil {
				return err
			}
			r, t, err = tok.sign(h, o, digest)
			return err
		})
		return r, t, err
	}}, nil
}

// with gives f a session of a token, which is opened when another one was.
func (s *Signers) with(cfg SignerConfig, label, serial string, f func(*token, pkcs11.SessionHandle) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := cfg.Module + "\x00" + label + "\x00" + serial
	if s.token == nil || s.of != of {
		if err := s.shut(); err != nil {
			return err
		}
		pin, err := cfg.PIN()
		if err != nil {
			return err
		}
		defer clear(pin)
		s.token, err = connect(Config{Module: cfg.Module, PIN: pin}, func(info pkcs11.TokenInfo) bool {
			return info.Label == label && (serial == "" || info.SerialNumber == serial)
		})
		if err != nil {
			return err
		}
		s.of = of
	}
	err := s.token.do(func(h pkcs11.SessionHandle) error { return f(s.token, h) })
	if errors.Is(err, keystore.ErrGone) {
		return errors.Join(err, s.shut()) // the next use looks for it again
	}
	return err
}

func (s *Signers) shut() error {
	if s.token == nil {
		return nil
	}
	err := s.token.close()
	s.token = nil
	return err
}

// Close ends the use of the token that is open.
func (s *Signers) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut()
}
