package authority

import (
	"crypto"
	"fmt"
	"os"
	"path/filepath"
)

// Dir is where an authority lives: a flat set of small files.
type Dir interface {
	Read(name string) ([]byte, error)           // fs.ErrNotExist when there is none
	WriteAtomic(name string, data []byte) error // all or nothing, durable on return
}

// Keys is what a Dir may do besides: keep the keys elsewhere than in files, such
// as in a token or a TPM (Keyring). Names are those that the files would have;
// a label is for who looks at the keys there.
type Keys interface {
	NewKey(name string, use KeyUse, label string) (crypto.Signer, error) // P-256, durable on return
	Key(name string) (crypto.Signer, error)                              // fs.ErrNotExist when there is none
}

// OSDir is a folder that only its owner may read.
type OSDir string

// NewOSDir makes the folder (mode 0700) when it does not exist.
func NewOSDir(path string) (OSDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("authority: %w", err)
	}
	return OSDir(path), nil
}

// Read returns a file's content.
func (d OSDir) Read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), name))
}

// WriteAtomic writes a file (mode 0600) beside the old one, flushes it, puts
// it in the old one's place and flushes the folder.
func (d OSDir) WriteAtomic(name string, data []byte) (err error) {
	f, err := os.CreateTemp(string(d), "."+name+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(string(d), name))
	}
	if err != nil {
		return fmt.Errorf("authority: write %s: %w", name, err)
	}
	return d.sync()
}

func (d OSDir) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	if err := f.Sync(); err != nil {
		return fmt.Errorf("authority: flush folder: %w", err)
	}
	return nil
}
