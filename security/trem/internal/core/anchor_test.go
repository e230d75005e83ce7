package core

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/simnv"
	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Keystores with a simulated register of either kind.
type extending struct {
	keystore.Keystore
	keystore.Anchorer
}

type counting struct {
	keystore.Keystore
	keystore.Counter
}

// TestVault_5_AModuleUsesTheRegisterOfItsKeystore: it goes on after a restart,
// and refuses the folder of an earlier day.
func TestVault_5_AModuleUsesTheRegisterOfItsKeystore(t *testing.T) {
	for name, with := range map[string]func(keystore.Keystore, string) (keystore.Keystore, io.Closer, error){
		"extended": func(k keystore.Keystore, file string) (keystore.Keystore, io.Closer, error) {
			r, err := simnv.OpenExtend(file)
			return extending{k, r}, r, err
		},
		"counted": func(k keystore.Keystore, file string) (keystore.Keystore, io.Closer, error) {
			r, err := simnv.OpenCounter(file)
			return counting{k, r}, r, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := soft.Create(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			both, register, err := with(keys, filepath.Join(t.TempDir(), "nv"))
			if err != nil {
				t.Fatal(err)
			}
			defer register.Close() //nolint:errcheck // a test
			cfg := Config{Dir: t.TempDir(), Keystore: both, BuildMS: start}
			earlier := filepath.Join(t.TempDir(), "earlier")
			for range 3 {
				c, err := Open(cfg, at(start, minute, 1))
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(os.RemoveAll(earlier), os.CopyFS(earlier, os.DirFS(cfg.Dir)), c.commit(kindClock, c.clock), c.Close()); err != nil {
					t.Fatal(err)
				}
			}
			cfg.Dir = earlier
			if _, err := Open(cfg, at(start, minute, 1)); !errors.Is(err, vault.ErrRolledBack) {
				t.Errorf("an earlier folder opens: %v, want ErrRolledBack", err)
			}
		})
	}
}
