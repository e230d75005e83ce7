package soft_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/keystore/soft"
)

func TestKeystore_1_Conformance(t *testing.T) {
	dirs := map[*testing.T]string{}
	keystoretest.Run(t, keystoretest.Backend{Open: func(t *testing.T) keystore.Keystore {
		if dirs[t] == "" {
			dirs[t] = filepath.Join(t.TempDir(), "new", "keys")
		}
		s, err := soft.OpenOrCreate(dirs[t])
		if err != nil {
			t.Fatal(err)
		}
		return s
	}})
}

func TestKeystore_1_SignaturesAreDeterministic(t *testing.T) {
	s, err := soft.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Signer(keystore.Identity)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.Sum256([]byte("x"))
	a, errA := key.Sign(nil, h[:], crypto.SHA256)
	b, errB := key.Sign(nil, h[:], crypto.SHA256)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("two signatures of one digest differ: %x %x", a, b)
	}
}

func TestKeystore_2_FilesAreForTheOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := soft.Create(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("%d files, want 2: a temporary file stayed", len(entries))
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
	}
}

func TestKeystore_2_NeverASecondIdentity(t *testing.T) {
	dir := t.TempDir()
	if _, err := soft.Open(dir); !errors.Is(err, keystore.ErrNone) {
		t.Errorf("Open of an empty directory: %v, want ErrNone", err)
	}
	if _, err := soft.Create(dir); err != nil {
		t.Fatal(err)
	}
	before := read(t, dir)
	if _, err := soft.Create(dir); !errors.Is(err, keystore.ErrExists) {
		t.Errorf("second Create: %v, want ErrExists", err)
	}
	for name, data := range before {
		t.Run("damaged "+name, func(t *testing.T) {
			for i, bad := range [][]byte{{}, data[:len(data)-1], append([]byte{data[0] ^ 1}, data[1:]...), append(bytes.Clone(data), 0)} {
				if err := os.WriteFile(filepath.Join(dir, name), bad, 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := soft.OpenOrCreate(dir); !errors.Is(err, keystore.ErrDamaged) {
					t.Errorf("damage %d: %v, want ErrDamaged", i, err)
				}
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, bad) {
					t.Errorf("damage %d: the file was replaced", i)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := os.Remove(filepath.Join(dir, "device.secret")); err != nil {
		t.Fatal(err)
	}
	if _, err := soft.OpenOrCreate(dir); !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("secret lost: %v, want ErrDamaged", err)
	}
}

// TestKeystore_2_CrashWhileCreating leaves what a crash may leave: temporary
// files, or the secret alone.
func TestKeystore_2_CrashWhileCreating(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"device.secret": make([]byte, 32), "keystore.lks.tmp123": []byte("LARESKS1 half"), "device.secret.tmp9": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := soft.OpenOrCreate(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := soft.Open(dir); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
