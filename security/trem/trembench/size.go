package trembench

import (
	"io/fs"
	"path/filepath"
)

// size is the length of the vault's files in bytes.
func size(dir string) (n int64, err error) {
	err = filepath.WalkDir(filepath.Join(dir, "vault"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n += info.Size()
		return nil
	})
	return n, err
}
