package soft

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// Names in the directory. Source: local, docs/spec/keystore.md.
const (
	secretFile = "device.secret" // 32 random bytes, mode 0600
	keysFile   = "keystore.lks"  // the sealed keys, mode 0600
)

// Lengths in bytes. Source: local, docs/spec/keystore.md.
const (
	secretLen = 32
	keyLen    = 32 // of the seal key, and of a P-256 scalar
)

// magic starts the sealed file: name and version.
const magic = "LARESKS1"

// Store is an open software keystore. It is safe for concurrent use.
type Store struct {
	_        [0]func() // incomparable
	identity *ecdsa.PrivateKey
	delivery *ecdsa.PrivateKey
	seal     *sealKey
}

// sealKey is held behind a pointer, so that printing a Store shows no byte of it.
type sealKey struct{ b [keyLen]byte }

// keys is the plaintext of the key file.
type keys struct {
	_        struct{} `cbor:",toarray"`
	Version  uint
	Identity []byte // P-256 scalar, 32 bytes
	Delivery []byte // P-256 scalar, 32 bytes
	Seal     []byte // 32 bytes
}

// Create makes new keys in dir, which it creates (mode 0700) when it is
// missing. Where keys exist the error is keystore.ErrExists.
func Create(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if err := backend.Absent(dir, keysFile); err != nil {
		return nil, err
	}
	secret, err := deviceSecret(dir)
	if err != nil {
		return nil, err
	}
	plain, err := generate()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	sealed, err := sealFile(secret, plain)
	if err != nil {
		return nil, err
	}
	if err := backend.WriteNew(dir, keysFile, sealed); err != nil {
		return nil, err
	}
	return Open(dir)
}

// Open opens the keys in dir. Where there are none the error is keystore.ErrNone.
func Open(dir string) (*Store, error) {
	sealed, err := os.ReadFile(filepath.Join(dir, keysFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, keystore.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, secretFile))
	if err != nil {
		return nil, fmt.Errorf("%w: device secret: %w", keystore.ErrDamaged, err)
	}
	defer clear(secret)
	plain, err := openFile(secret, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return parse(plain)
}

// OpenOrCreate opens the keys in dir, or makes them where there are none.
// Damaged keys are an error, not a reason to make new ones.
func OpenOrCreate(dir string) (*Store, error) {
	s, err := Open(dir)
	if errors.Is(err, keystore.ErrNone) {
		if s, err = Create(dir); errors.Is(err, keystore.ErrExists) {
			return Open(dir) // another process was faster
		}
	}
	return s, err
}

// Erase destroys the keys in dir. What stood in the files is written over first, as far
// as the disk does that. After a crash in the middle there are the keys or none; Erase
// of none is no error.
func Erase(dir string) error {
	for _, name := range []string{keysFile, secretFile} { // a secret without keys is used for new ones, so it is random, too
		if err := backend.Overwrite(dir, name); err != nil {
			return err
		}
		if err := backend.Remove(dir, name); err != nil {
			return err
		}
	}
	return nil
}

// Signer signs with the role's key, deterministically (RFC 6979).
func (s *Store) Signer(role keystore.Role) (crypto.Signer, error) {
	key, err := s.key(role)
	if err != nil {
		return nil, err
	}
	return signer{key}, nil
}

// KeyExchanger does ECDH with the delivery key.
func (s *Store) KeyExchanger(role keystore.Role) (ecdh.KeyExchanger, error) {
	if role != keystore.Delivery {
		return nil, fmt.Errorf("%w: key exchange as %v", keystore.ErrRole, role)
	}
	key, err := s.delivery.ECDH()
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return exchanger{key}, nil
}

// Level is 1.
func (s *Store) Level() uint8 { return 1 }

// Format prints a store without its keys.
func (s *Store) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[software keystore]") }

func (s *Store) key(role keystore.Role) (*ecdsa.PrivateKey, error) {
	switch role {
	case keystore.Identity:
		return s.identity, nil
	case keystore.Delivery:
		return s.delivery, nil
	}
	return nil, keystore.ErrRole
}

// signer hides the private key from type assertions and from printing.
type signer struct{ key *ecdsa.PrivateKey }

func (s signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign passes no rand on: Go then signs as RFC 6979 says.
func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := backend.Digest(digest, opts); err != nil {
		return nil, err
	}
	return s.key.Sign(nil, digest, crypto.SHA256)
}

func (s signer) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[private key]") }

// exchanger hides the private key in the same way.
type exchanger struct{ key *ecdh.PrivateKey }

func (e exchanger) PublicKey() *ecdh.PublicKey { return e.key.PublicKey() }
func (e exchanger) Curve() ecdh.Curve          { return e.key.Curve() }

func (e exchanger) ECDH(peer *ecdh.PublicKey) ([]byte, error) { return e.key.ECDH(peer) }

func (e exchanger) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[private key]") }

func generate() ([]byte, error) {
	k := keys{Version: 1, Seal: make([]byte, keyLen)}
	for _, dst := range []*[]byte{&k.Identity, &k.Delivery} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("keystore: make a key: %w", err)
		}
		if *dst, err = key.Bytes(); err != nil {
			return nil, fmt.Errorf("keystore: make a key: %w", err)
		}
		defer clear(*dst)
	}
	if _, err := rand.Read(k.Seal); err != nil {
		return nil, fmt.Errorf("keystore: make a key: %w", err)
	}
	defer clear(k.Seal)
	return wire.Marshal(k)
}

func parse(plain []byte) (*Store, error) {
	var k keys
	if err := wire.Unmarshal(plain, &k, wire.Limit{Bytes: 256, Items: 4, Depth: 1}); err != nil {
		return nil, fmt.Errorf("%w: %w", keystore.ErrDamaged, err)
	}
	if k.Version != 1 || len(k.Seal) != keyLen {
		return nil, fmt.Errorf("%w: version %d", keystore.ErrDamaged, k.Version)
	}
	s := &Store{seal: &sealKey{b: [keyLen]byte(k.Seal)}}
	var err error
	if s.identity, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), k.Identity); err != nil {
		return nil, fmt.Errorf("%w: identity key", keystore.ErrDamaged)
	}
	if s.delivery, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), k.Delivery); err != nil {
		return nil, fmt.Errorf("%w: delivery key", keystore.ErrDamaged)
	}
	for _, b := range [][]byte{k.Identity, k.Delivery, k.Seal} {
		clear(b)
	}
	return s, nil
}
