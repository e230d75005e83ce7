package soft

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// sealVersion is the first byte of sealed data. Source: local, docs/spec/keystore.md.
const sealVersion = 1

// infoFile is the HKDF info of the key file.
const infoFile = "lares/1/keystore/file"

// Seal encrypts with AES-256-GCM under a key derived for this one call.
func (s *Store) Seal(data, aad []byte) ([]byte, error) {
	return backend.Seal([]byte{sealVersion}, s.seal.b[:], backend.SealInfo, data, aad)
}

// Unseal opens what Seal made.
func (s *Store) Unseal(data, aad []byte) ([]byte, error) {
	return backend.Unseal([]byte{sealVersion}, s.seal.b[:], backend.SealInfo, data, aad)
}

// sealFile and openFile are the key file under the device secret.
func sealFile(secret, plain []byte) ([]byte, error) {
	return backend.Seal([]byte(magic), secret, infoFile, plain, nil)
}

func openFile(secret, sealed []byte) ([]byte, error) {
	if len(secret) != secretLen {
		return nil, fmt.Errorf("%w: device secret of %d bytes", keystore.ErrDamaged, len(secret))
	}
	plain, err := backend.Unseal([]byte(magic), secret, infoFile, sealed, nil)
	if errors.Is(err, keystore.ErrUnseal) {
		return nil, fmt.Errorf("%w: the key file and the device secret do not belong together, or one was changed", keystore.ErrDamaged)
	}
	return plain, err
}
