//go:build !pkcs11 || !cgo

package pkcs11

import "github.com/lares-drm/lares/security/keystore"

// Store is an open keystore in a token. In this build there is none.
type Store struct{ keystore.Keystore }

// Close ends the use of the token.
func (*Store) Close() error { return nil }

// Create makes keys in a token. In this build the error is ErrNotBuilt.
func Create(Config) (*Store, error) { return nil, ErrNotBuilt }

// Open opens keys in a token. In this build the error is ErrNotBuilt.
func Open(Config) (*Store, error) { return nil, ErrNotBuilt }
