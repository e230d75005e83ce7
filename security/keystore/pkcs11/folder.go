//go:build pkcs11 && cgo

package pkcs11

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/internal/backend"
)

// Names in the directory. Source: local, docs/spec/keystore.md.
const (
	keysFile    = "keystore.lkp"
	pendingFile = "keystore.new" // the same, before the keys are made
)

func write(dir, name string, f *file) error {
	data, err := f.marshal()
	if err != nil {
		return err
	}
	return backend.WriteNew(dir, name, data)
}

// load reads a file of the directory; keystore.ErrNone where it is missing.
func load(dir, name string) (*file, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, keystore.ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return parse(data)
}
