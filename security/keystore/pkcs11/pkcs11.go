//go:build pkcs11 && cgo

package pkcs11

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/miekg/pkcs11"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// Store is an open keystore in a token. It is safe for concurrent use. A
// process has one at a time.
type Store struct {
	_                  [0]func() // incomparable
	token              *token
	identity, delivery *ecdsa.PublicKey
	keys               handles
}

// handles are the token's names for the keys while it is open.
type handles struct{ identity, delivery, seal pkcs11.ObjectHandle }

// sealID is what stands in the place of a role in the CKA_ID of the seal key.
const sealID = 3

func (f *file) id(role keystore.Role) []byte { return append(append([]byte(nil), f.ID...), byte(role)) }

// Create makes new keys in the token of a label, and the folder, which it
// creates (mode 0700) when it is missing, with what is needed to find them
// again. Where keys exist the error is keystore.ErrExists. A crash leaves all
// or nothing: what it left is removed by the next creation.
func Create(cfg Config) (s *Store, err error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if err := backend.Absent(cfg.Dir, keysFile); err != nil {
		return nil, err
	}
	t, err := connect(cfg, func(info pkcs11.TokenInfo) bool { return info.Label == cfg.Token })
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if err := tidy(cfg.Dir, t); err != nil {
		return nil, err
	}
	f := &file{Version: 1, Token: t.label, Serial: t.serial, ID: make([]byte, idLen)}
	if _, err := rand.Read(f.ID); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if err := write(cfg.Dir, pendingFile, f); err != nil {
		return nil, err
	}
	if err := t.do(func(h pkcs11.SessionHandle) error { return generate(t, h, f) }); err != nil {
		return nil, fmt.Errorf("keystore: make keys in the token: %w", err)
	}
	if err := write(cfg.Dir, keysFile, f); err != nil {
		return nil, err
	}
	return open(cfg.Dir, t, f)
}

// tidy removes the keys of a creation that was cut short.
func tidy(dir string, t *token) error {
	f, err := load(dir, pendingFile)
	if errors.Is(err, keystore.ErrNone) {
		return nil
	}
	if err == nil && f.Serial == t.serial {
		err = t.do(func(s pkcs11.SessionHandle) error { return erase(t, s, f) })
	}
	if err != nil && !errors.Is(err, keystore.ErrDamaged) {
		return err
	}
	return backend.Remove(dir, pendingFile)
}

func erase(t *token, s pkcs11.SessionHandle, f *file) error {
	for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKO_SECRET_KEY} {
		for _, role := range []keystore.Role{keystore.Identity, keystore.Delivery, sealID} {
			all, err := t.objects(s, class, f.id(role))
			if err != nil {
				return err
			}
			for _, o := range all {
				if err := t.ctx.DestroyObject(s, o); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Open opens the keys that the folder describes. Where there are none the error
// is keystore.ErrNone; without their token it is keystore.ErrGone.
func Open(cfg Config) (*Store, error) {
	f, err := load(cfg.Dir, keysFile)
	if err != nil {
		return nil, err
	}
	t, err := connect(cfg, func(info pkcs11.TokenInfo) bool { return info.Label == f.Token && info.SerialNumber == f.Serial })
	if err != nil {
		return nil, err
	}
	s, err := open(cfg.Dir, t, f)
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return s, nil
}

func open(dir string, t *token, f *file) (*Store, error) {
	s := &Store{token: t}
	err := t.do(func(h pkcs11.SessionHandle) (err error) {
		s.keys, err = find(t, h, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.identity, err = public(f.Identity); err == nil {
		s.delivery, err = public(f.Delivery)
	}
	if err != nil {
		return nil, err
	}
	if err := s.prove(); err != nil {
		return nil, err
	}
	return s, backend.Remove(dir, pendingFile) // a crash between the two names
}

func public(point []byte) (*ecdsa.PublicKey, error) {
	if len(point) != pointLen {
		return nil, fmt.Errorf("%w: public key of %d bytes", keystore.ErrDamaged, len(point))
	}
	key, err := backend.PublicKey(point[1:1+pointLen/2], point[1+pointLen/2:])
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %w", keystore.ErrDamaged, err)
	}
	return key, nil
}

// prove uses each key once: the folder's public keys are those of the token's
// private ones.
func (s *Store) prove() error {
	digest := sha256.Sum256([]byte("lares"))
	for _, role := range []keystore.Role{keystore.Identity, keystore.Delivery} {
		signer, err := s.Signer(role)
		if err != nil {
			return err
		}
		der, err := signer.Sign(nil, digest[:], crypto.SHA256)
		if err != nil {
			return err
		}
		key, ok := signer.Public().(*ecdsa.PublicKey)
		if !ok || !ecdsa.VerifyASN1(key, digest[:], der) {
			return fmt.Errorf("%w: the token's %v key is another", keystore.ErrDamaged, role)
		}
	}
	return nil
}

// Erase destroys the keys in the token, and what dir says of them. A crash in the middle
// leaves all of it, or what the next creation removes.
func (s *Store) Erase(dir string) error {
	if err := backend.Rename(dir, keysFile, pendingFile); err != nil {
		return err
	}
	return tidy(dir, s.token)
}

// Close ends the use of the token, and of its library.
func (s *Store) Close() error { return s.token.close() }

// Level is 2.
func (s *Store) Level() uint8 { return 2 }

// Format prints a store without its keys.
func (s *Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[PKCS#11 keystore]") }

// Signer signs with the role's key, with the token's randomness.
func (s *Store) Signer(role keystore.Role) (crypto.Signer, error) {
	var key pkcs11.ObjectHandle
	var pub *ecdsa.PublicKey
	switch role {
	case keystore.Identity:
		key, pub = s.keys.identity, s.identity
	case keystore.Delivery:
		key, pub = s.keys.delivery, s.delivery
	default:
		return nil, keystore.ErrRole
	}
	return backend.Signer{Key: pub, Do: func(digest []byte) (r, t []byte, err error) {
		err = s.token.do(func(h pkcs11.SessionHandle) error {
			r, t, err = s.token.sign(h, key, digest)
			return err
		})
		return r, t, err
	}}, nil
}

// sign signs a digest with CKM_ECDSA.
func (t *token) sign(h pkcs11.SessionHandle, key pkcs11.ObjectHandle, digest []byte) (r, s []byte, err error) {
	if err := t.ctx.SignInit(h, mechanism(pkcs11.CKM_ECDSA, nil), key); err != nil {
		return nil, nil, err
	}
	sig, err := t.ctx.Sign(h, digest) // r ‖ s
	if err != nil {
		return nil, nil, err
	}
	if len(sig) == 0 || len(sig)%2 != 0 {
		return nil, nil, fmt.Errorf("a signature of %d bytes", len(sig))
	}
	return sig[:len(sig)/2], sig[len(sig)/2:], nil
}

// KeyExchanger does ECDH with the delivery key: the token gives the shared
// coordinate (CKD_NULL), and keys are derived from it in the module.
func (s *Store) KeyExchanger(role keystore.Role) (ecdh.KeyExchanger, error) {
	if role != keystore.Delivery {
		return nil, fmt.Errorf("%w: key exchange as %v", keystore.ErrRole, role)
	}
	pub, err := s.delivery.ECDH()
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return backend.Exchanger{Key: pub, Do: func(point []byte) (x []byte, err error) {
		err = s.token.do(func(h pkcs11.SessionHandle) error {
			x, err = s.derive(h, point)
			if is(err, pkcs11.CKR_MECHANISM_PARAM_INVALID) { // some tokens want the point as an OCTET STRING
				var der []byte
				if der, err = asn1.Marshal(point); err == nil {
					x, err = s.derive(h, der)
				}
			}
			return err
		})
		return x, err
	}}, nil
}

// derive makes a key object of what is shared, which may leave the token, reads
// it, and destroys it.
func (s *Store) derive(h pkcs11.SessionHandle, point []byte) ([]byte, error) {
	o, err := s.token.ctx.DeriveKey(h, mechanism(pkcs11.CKM_ECDH1_DERIVE, pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, point)), s.keys.delivery, sharedTemplate())
	if err != nil {
		return nil, err
	}
	got, err := s.token.ctx.GetAttributeValue(h, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	if err := errors.Join(err, s.token.ctx.DestroyObject(h, o)); err != nil {
		return nil, err
	}
	return got[0].Value, nil
}

func mechanism(code uint, parameter any) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(code, parameter)}
}
