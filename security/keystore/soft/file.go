package soft

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/security/keystore"
)

// deviceSecret returns the directory's secret, making it when it is missing: a
// crash may have left a secret without keys, and then it is used.
func deviceSecret(dir string) ([]byte, error) {
	secret := make([]byte, secretLen)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	err := writeNew(dir, secretFile, secret)
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

// writeNew makes a file that did not exist, whole or not at all, and returns
// when it is durable. It links instead of renaming, because a rename would
// replace a file that another process made meanwhile.
func writeNew(dir, name string, data []byte) (err error) {
	tmp, err := os.CreateTemp(dir, name+".tmp*") // mode 0600
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	defer func() {
		err = errors.Join(err, os.Remove(tmp.Name()))
	}()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if err := os.Link(tmp.Name(), filepath.Join(dir, name)); errors.Is(err, fs.ErrExist) {
		return keystore.ErrExists
	} else if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return nil
}
