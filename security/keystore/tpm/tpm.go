package tpm

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// sealVersion is the first byte of sealed data. Source: local, docs/spec/keystore.md.
const sealVersion = 2

// Store is an open keystore in a TPM. It is safe for concurrent use; the chip
// does one thing at a time.
type Store struct {
	_                  [0]func() // incomparable
	conn               *conn
	file               *file
	secrets            *secrets
	identity, delivery *ecdsa.PublicKey

	mu   sync.Mutex
	chip *chip
}

// Create makes new keys in the TPM behind rw, a register of a kind, and dir,
// which it creates (mode 0700) when it is missing, with what the TPM needs to
// find them again. Where keys exist the error is keystore.ErrExists. A crash
// leaves all or nothing: what it left is removed by the next creation.
func Create(dir string, rw io.ReadWriter, kind Register) (*Store, error) {
	if kind != Extend && kind != Counter {
		return nil, fmt.Errorf("keystore: register %d", kind)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if err := backend.Absent(dir, keysFile); err != nil {
		return nil, err
	}
	c := &conn{rw: rw}
	if err := tidy(dir, c); err != nil {
		return nil, err
	}
	for {
		f, err := create(dir, c, kind)
		if errors.Is(err, tpm2.TPMRCNVDefined) {
			continue // a place that is taken: the next one is as good
		}
		if err != nil {
			return nil, err
		}
		return open(dir, c, f)
	}
}

// create makes keys and register. The file is there before the register, under
// another name: so a register that nothing points to is never left behind.
func create(dir string, c *conn, kind Register) (f *file, err error) {
	s, err := newSecrets()
	if err != nil {
		return nil, err
	}
	if f, err = makeKeys(c, s); err != nil {
		return nil, err
	}
	f.Kind = kind
	if f.Index, err = newIndex(); err != nil {
		return nil, err
	}
	data, err := f.marshal()
	if err != nil {
		return nil, err
	}
	if err := backend.WriteNew(dir, pendingFile, data); err != nil {
		return nil, err
	}
	err = makeRegister(c, f)
	if errors.Is(err, tpm2.TPMRCNVDefined) { // none was made
		err = errors.Join(err, backend.Remove(dir, pendingFile))
	}
	if err != nil {
		return nil, err // the next creation tidies up
	}
	if err := backend.WriteNew(dir, keysFile, data); err != nil {
		return nil, err
	}
	return f, backend.Remove(dir, pendingFile)
}

func makeKeys(c *conn, s *secrets) (f *file, err error) {
	if err := sweep(c); err != nil {
		return nil, err
	}
	k, err := makeSRK(c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, flush(c, k.TPMHandle)) }()
	f = &file{Version: 1, SRK: k.name.Buffer}
	if f.Identity, err = k.create(c, template(keystore.Identity), s.auth[:], nil); err != nil {
		return nil, err
	}
	if f.Delivery, err = k.create(c, template(keystore.Delivery), s.auth[:], nil); err != nil {
		return nil, err
	}
	plain := s.bytes()
	defer clear(plain)
	f.Sealed, err = k.create(c, sealedTemplate(), nil, plain)
	return f, err
}

func makeRegister(c *conn, f *file) (err error) {
	ch, s, err := start(c, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ch.close()) }()
	k, err := makeSRK(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flush(c, k.TPMHandle)) }()
	return k.define(c, ch, f, s.auth[:])
}

// tidy removes what a creation that was cut short left. The keys in it were
// never used, and must not be: to finish it would let somebody who takes a
// register away have a new one for old keys.
func tidy(dir string, c *conn) error {
	f, err := load(dir, pendingFile)
	if errors.Is(err, keystore.ErrNone) {
		return nil
	}
	if errors.Is(err, keystore.ErrDamaged) {
		return backend.Remove(dir, pendingFile)
	}
	if err != nil {
		return err
	}
	ch, _, err := start(c, f)
	if errors.Is(err, keystore.ErrGone) && c.err == nil { // another TPM: its register is not here
		return backend.Remove(dir, pendingFile)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(ch.undefine(f), ch.close()); err != nil {
		return err
	}
	return backend.Remove(dir, pendingFile)
}

// Open opens the keys that dir describes in the TPM behind rw. Where there are
// none the error is keystore.ErrNone; with another TPM it is keystore.ErrGone.
func Open(dir string, rw io.ReadWriter) (*Store, error) {
	f, err := load(dir, keysFile)
	if err != nil {
		return nil, err
	}
	return open(dir, &conn{rw: rw}, f)
}

func open(dir string, c *conn, f *file) (*Store, error) {
	s := &Store{conn: c, file: f}
	var err error
	if s.identity, err = publicKey(keystore.Identity, f.Identity); err != nil {
		return nil, err
	}
	if s.delivery, err = publicKey(keystore.Delivery, f.Delivery); err != nil {
		return nil, err
	}
	if err := lock(c.rw, f); err != nil {
		return nil, err
	}
	if s.chip, s.secrets, err = start(c, f); err != nil {
		return nil, err
	}
	if _, err := s.chip.read(f); err != nil {
		return nil, errors.Join(err, s.chip.close())
	}
	return s, backend.Remove(dir, pendingFile) // a crash between the two names
}

// Keystore is the contract of an open store, with the register that it has.
func (s *Store) Keystore() keystore.Keystore {
	if s.file.Kind == Counter {
		return counting{s}
	}
	return extending{s}
}

// do gives f the chip. When the chip was reset since, what was loaded is loaded
// again, once, and f is done then.
func (s *Store) do(f func(*chip) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := f(s.chip)
	if !lost(err) {
		return err
	}
	ch, again, err := start(s.conn, s.file)
	if err != nil {
		return err
	}
	if *again != *s.secrets {
		return fmt.Errorf("%w: it opens to other secrets", keystore.ErrDamaged)
	}
	s.chip = ch
	return f(s.chip)
}

// Erase deletes the register, so that these keys open nothing again, and what dir says
// of them. A crash in the middle leaves all of it, or what the next creation removes.
func (s *Store) Erase(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := backend.Rename(dir, keysFile, pendingFile); err != nil {
		return err
	}
	if err := s.chip.undefine(s.file); err != nil {
		return err
	}
	return backend.Remove(dir, pendingFile)
}

// Close frees the chip's places; the stream belongs to who opened it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.secrets.seal[:])
	clear(s.secrets.auth[:])
	return s.chip.close()
}

// Level is 3.
func (s *Store) Level() uint8 { return 3 }

// AnchorLevel is 2: the register is in the chip's non-volatile memory.
func (s *Store) AnchorLevel() uint8 { return 2 }

// Format prints a store without its keys.
func (s *Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[TPM keystore]") }

// Seal encrypts with AES-256-GCM under a key derived for this one call.
func (s *Store) Seal(data, aad []byte) ([]byte, error) {
	return backend.Seal([]byte{sealVersion}, s.secrets.seal[:], backend.SealInfo, data, aad)
}

// Unseal opens what Seal made.
func (s *Store) Unseal(data, aad []byte) ([]byte, error) {
	return backend.Unseal([]byte{sealVersion}, s.secrets.seal[:], backend.SealInfo, data, aad)
}

// Signer signs with the role's key, with the TPM's randomness.
func (s *Store) Signer(role keystore.Role) (crypto.Signer, error) {
	key := backend.Signer{Do: func(digest []byte) (r, t []byte, err error) {
		err = s.do(func(ch *chip) error {
			r, t, err = ch.sign(role, digest)
			return err
		})
		return r, t, err
	}}
	switch role {
	case keystore.Identity:
		key.Key = s.identity
	case keystore.Delivery:
		key.Key = s.delivery
	default:
		return nil, keystore.ErrRole
	}
	return key, nil
}

func (ch *chip) sign(role keystore.Role, digest []byte) (r, s []byte, err error) {
	key := ch.identity
	if role == keystore.Delivery {
		key = ch.delivery
	}
	return sign(ch.conn, key, ch.plain, digest)
}

// sign signs a digest in the chip, with the right that a session gives.
func sign(c *conn, key handle, right tpm2.Session, digest []byte) (r, s []byte, err error) {
	out, err := tpm2.Sign{
		KeyHandle: key.with(right), Digest: tpm2.TPM2BDigest{Buffer: digest}, InScheme: ecdsaScheme(),
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck},
	}.Execute(c)
	if err != nil {
		return nil, nil, err
	}
	sig, err := out.Signature.Signature.ECDSA()
	if err != nil {
		return nil, nil, err
	}
	return sig.SignatureR.Buffer, sig.SignatureS.Buffer, nil
}

// KeyExchanger does ECDH with the delivery key. What is shared is encrypted on
// its way from the chip.
func (s *Store) KeyExchanger(role keystore.Role) (ecdh.KeyExchanger, error) {
	if role != keystore.Delivery {
		return nil, fmt.Errorf("%w: key exchange as %v", keystore.ErrRole, role)
	}
	pub, err := s.delivery.ECDH()
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return backend.Exchanger{Key: pub, Do: func(point []byte) (x []byte, err error) {
		err = s.do(func(ch *chip) error {
			x, err = ch.exchange(point)
			return err
		})
		return x, err
	}}, nil
}

func (ch *chip) exchange(point []byte) ([]byte, error) {
	x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
	out, err := tpm2.ECDHZGen{
		KeyHandle: ch.delivery.with(ch.out),
		InPoint:   tpm2.New2B(tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: y}}),
	}.Execute(ch.conn)
	if err != nil {
		return nil, err
	}
	z, err := out.OutPoint.Contents()
	if err != nil {
		return nil, err
	}
	return z.X.Buffer, nil
}
