package tpm

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// Signers makes and uses keys that do nothing but sign, any number of them: each
// is bytes that its caller keeps and that only this TPM can load. They take no
// non-volatile memory, and no place in the chip between two signatures.
type Signers struct {
	// Dial opens the TPM, for one key that is made or one signature.
	Dial func() (io.ReadWriteCloser, error)
	// PIN gives what keys are locked with; it is cleared after use. Without one
	// the TPM's word is enough, and whoever has key and TPM can sign.
	PIN func() ([]byte, error)
}

// signerMagic starts a signing key: name and version.
const signerMagic = "LARESKG1"

// signerKey is a signing key as its caller keeps it. Nothing in it is secret.
type signerKey struct {
	_      struct{} `cbor:",toarray"`
	SRK    []byte   // name of the storage key that is its parent
	Locked bool     // it needs a PIN
	Key    object
}

// New makes a key in the TPM and returns what must be kept to use it.
func (s *Signers) New() (key []byte, err error) {
	pin, err := s.pin()
	if err != nil {
		return nil, err
	}
	defer clear(pin)
	err = s.with(func(c *conn, k *srk) error {
		o, err := k.create(c, signerTemplate(len(pin) > 0), pin, nil)
		if err != nil {
			return err
		}
		key, err = wire.Marshal(signerKey{SRK: k.name.Buffer, Locked: len(pin) > 0, Key: o})
		return err
	})
	if err != nil {
		return nil, err
	}
	return append([]byte(signerMagic), key...), nil
}

// signerTemplate is an identity key. One with a PIN is guarded by the chip
// against who tries PINs; what cannot be guessed needs no such guard.
func signerTemplate(locked bool) tpm2.TPMTPublic {
	p := template(keystore.Identity)
	p.ObjectAttributes.NoDA = !locked
	return p
}

// pin is an authorization value of 32 characters, none of them zero (see newSecrets).
func (s *Signers) pin() ([]byte, error) {
	if s.PIN == nil {
		return nil, nil
	}
	pin, err := s.PIN()
	if err != nil || len(pin) == 0 {
		return nil, err
	}
	defer clear(pin)
	sum := sha256.Sum256(pin)
	defer clear(sum[:])
	return hex.AppendEncode(nil, sum[:authLen/2]), nil
}

func parseSigner(data []byte) (*signerKey, error) {
	rest, ok := bytes.CutPrefix(data, []byte(signerMagic))
	if !ok {
		return nil, fmt.Errorf("%w: not a signing key of a TPM", keystore.ErrDamaged)
	}
	k := new(signerKey)
	if err := wire.Unmarshal(rest, k, wire.Limit{Bytes: maxFile, Items: 4, Depth: 2}); err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	if len(k.SRK) != nameLen || len(k.Key.Private) == 0 || len(k.Key.Private) > maxObject || len(k.Key.Public) > maxObject {
		return nil, fmt.Errorf("%w: a signing key of %d and %d bytes", keystore.ErrDamaged, len(k.Key.Public), len(k.Key.Private))
	}
	return k, nil
}

// Open gives the signer of a key that New made. The TPM is asked when it signs.
func (s *Signers) Open(key []byte) (crypto.Signer, error) {
	k, err := parseSigner(key)
	if err != nil {
		return nil, err
	}
	pub, err := madeFrom(signerTemplate(k.Locked), k.Key)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return backend.Signer{Key: pub, Do: func(digest []byte) (r, t []byte, err error) {
		err = s.with(func(c *conn, srk *srk) error {
			r, t, err = s.sign(c, srk, k, digest)
			return err
		})
		return r, t, err
	}}, nil
}

func (s *Signers) sign(c *conn, parent *srk, k *signerKey, digest []byte) (r, t []byte, err error) {
	if !bytes.Equal(parent.name.Buffer, k.SRK) {
		return nil, nil, anotherTPM()
	}
	var pin []byte
	if k.Locked {
		if pin, err = s.pin(); err != nil {
			return nil, nil, err
		}
		if pin == nil {
			return nil, nil, fmt.Errorf("%w: the key has one, and none is given", keystore.ErrPIN)
		}
	}
	defer clear(pin)
	h, err := parent.load(c, k.Key)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, flush(c, h.TPMHandle)) }()
	r, t, err = sign(c, h, tpm2.HMAC(tpm2.TPMAlgSHA256, nonceLen, tpm2.Salted(parent.TPMHandle, parent.public), tpm2.Auth(pin)), digest)
	switch {
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		err = fmt.Errorf("%w: %w", keystore.ErrPIN, err)
	case errors.Is(err, tpm2.TPMRCLockout):
		err = fmt.Errorf("%w: after too many wrong ones, and for some time now none: %w", keystore.ErrPIN, err)
	}
	return r, t, err
}

// with gives f the TPM with its storage key, and leaves nothing loaded.
func (s *Signers) with(f func(*conn, *srk) error) (err error) {
	rw, err := s.Dial()
	if err != nil {
		return fmt.Errorf("%w: %w", keystore.ErrGone, err)
	}
	defer func() { err = errors.Join(err, rw.Close()) }()
	c := &conn{rw: rw}
	if err := sweep(c); err != nil {
		return err
	}
	k, err := makeSRK(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flush(c, k.TPMHandle)) }()
	return f(c, k)
}
