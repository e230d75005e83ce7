//go:build pkcs11 && cgo

package module_test

import (
	"io"

	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/trem"
)

// TestWipe_KilledAtEveryStepPKCS11: so is one whose keys are in a token, which keeps
// none of those that were destroyed. SoftHSM is in the module's process and does not
// outlive a kill in the middle of a write to its own files, as a token's chip does; it
// is killed before it takes an object away.
func TestWipe_KilledAtEveryStepPKCS11(t *testing.T) {
	needs.Long(t)
	h := newHouse(t)
	token := keystoretest.NewToken(t)
	b := &box{t: t, dir: filepath.Join(t.TempDir(), "trem"), stderr: io.Discard}
	pin := filepath.Join(t.TempDir(), "pin")
	h.must(os.Mkdir(b.dir, 0o700))
	h.must(os.WriteFile(pin, []byte(token.PIN+"\n"), 0o600))
	h.must(trem.KeyStorage{Kind: trem.StoragePKCS11, Module: token.Module, Token: token.Label, PINFile: pin, TokenDir: token.Dir}.Save(b.dir))
	objects := func() (n int) {
		h.must(filepath.WalkDir(token.Dir, func(name string, _ fs.DirEntry, err error) error {
			if filepath.Ext(name) == ".object" {
				n++
			}
			return err
		}))
		return n
	}
	(&wiper{box: b, h: h, left: objects}).everyStep(8, "unlink")
}
