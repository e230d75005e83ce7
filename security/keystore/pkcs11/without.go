//go:build !pkcs11 || !cgo

package pkcs11

import (
	"crypto"

	"github.com/lares-drm/lares/security/keystore"
)

// Store is an open keystore in a token. In this build there is none.
type Store struct{ keystore.Keystore }

// Close ends the use of the token.
func (*Store) Close() error { return nil }

// Erase destroys the keys.
func (*Store) Erase(string) error { return ErrNotBuilt }

// Create makes keys in a token. In this build the error is ErrNotBuilt.
func Create(Config) (*Store, error) { return nil, ErrNotBuilt }

// Open opens keys in a token. In this build the error is ErrNotBuilt.
func Open(Config) (*Store, error) { return nil, ErrNotBuilt }

// Signers makes and uses signing keys in tokens. In this build there are none.
type Signers struct{}

// New makes a key in a token. In this build the error is ErrNotBuilt.
func (*Signers) New(SignerConfig, string, func([]byte) error) error { return ErrNotBuilt }

// Remove destroys a key. In this build the error is ErrNotBuilt.
func (*Signers) Remove(SignerConfig, []byte) error { return ErrNotBuilt }

// Open gives a key's signer. In this build the error is ErrNotBuilt.
func (*Signers) Open(SignerConfig, []byte) (crypto.Signer, error) { return nil, ErrNotBuilt }

// Close ends the use of a token.
func (*Signers) Close() error { return nil }
