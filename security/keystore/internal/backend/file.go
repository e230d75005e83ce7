package backend

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/security/keystore"
)

// WriteNew makes a file that did not exist (mode 0600), whole or not at all,
// and returns when it is durable; keystore.ErrExists when there is one. It
// links instead of renaming, because a rename would replace a file that another
// process made meanwhile.
func WriteNew(dir, name string, data []byte) (err error) {
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

// Remove removes a file durably; one that is not there is no error.
func Remove(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keystore: %w", err)
	}
	return syncDir(dir)
}

// Rename gives a file another name, durably.
func Rename(dir, from, to string) error {
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return syncDir(dir)
}

// Overwrite writes random bytes over a file, as long as it is, and waits for the disk;
// one that is not there is no error. A disk that writes elsewhere keeps the old ones.
func Overwrite(dir, name string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		junk := make([]byte, info.Size())
		_, _ = rand.Read(junk) // never returns an error
		_, err = f.WriteAt(junk, 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return nil
}

// Absent is nil where there is no such file, else keystore.ErrExists.
func Absent(dir, name string) error {
	switch _, err := os.Lstat(filepath.Join(dir, name)); {
	case err == nil:
		return keystore.ErrExists
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("keystore: %w", err)
	}
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
