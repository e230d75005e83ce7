package soft

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// deviceSecret returns the directory's secret, making it when it is missing: a
// crash may have left a secret without keys, and then it is used.
func deviceSecret(dir string) ([]byte, error) {
	secret := make([]byte, secretLen)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	err := backend.WriteNew(dir, secretFile, secret)
	if err != nil && !errors.Is(err, keystore.ErrExists) {
		return nil, err
	}
	secret, err = os.ReadFile(filepath.Join(dir, secretFile))
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if len(secret) != secretLen {
		return nil, fmt.Errorf("%w: device secret of %d bytes", keystore.ErrDamaged, len(secret))
	}
	return secret, nil
}
