package module

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The folders of the vault, and of one whose keys are being destroyed.
const (
	vaultDir = "vault"
	goneDir  = "vault.gone"
)

// errWiped ends a module that was killed while it was wiped: the next start finds
// an empty folder.
var errWiped = errors.New("this module was wiped, and its keys are destroyed now")

// erase destroys the keys and the vault. The name of the vault is what decides: after
// a crash each start goes on (finish) until it is gone.
func erase(dir string, keys *keys) error {
	err := os.Rename(filepath.Join(dir, vaultDir), filepath.Join(dir, goneDir))
	if err == nil {
		err = syncFolder(dir)
	}
	if err == nil {
		err = keys.erase()
	}
	if err == nil {
		err = os.RemoveAll(filepath.Join(dir, goneDir))
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		return fmt.Errorf("destroy the keys: %w", err)
	}
	return nil
}

// finish ends what a crash interrupted. Where the keys are gone already, those that
// opening makes go instead: nobody has seen them.
func finish(cfg Config) error {
	if _, err := os.Lstat(filepath.Join(cfg.Dir, goneDir)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	keys, err := openKeys(cfg)
	if err != nil && (keys == nil || keys.erase == nil) { // keys in files that were half written over go unread
		return fmt.Errorf("destroy the keys: %w", err)
	}
	err = keys.erase()
	if keys.close != nil {
		err = errors.Join(err, keys.close())
	}
	if err == nil {
		err = os.RemoveAll(filepath.Join(cfg.Dir, goneDir))
	}
	return errors.Join(err, syncFolder(cfg.Dir))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
