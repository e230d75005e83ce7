//go:build pkcs11 && cgo

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/trem"
)

// TestTREM_PKCS11House founds a house whose server has its keys in a token,
// with the programs that `make build-pkcs11` makes.
func TestTREM_PKCS11House(t *testing.T) {
	needs.Long(t)
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "pkcs11", "-o", bin+"/", "../../cmd/lares", "../../cmd/lares-trem")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s, ca := newStorageTest(t, filepath.Join(bin, "lares"))
	token := keystoretest.NewToken(t)
	s.ok(os.WriteFile(s.path("pin"), []byte(token.PIN+"\n"), 0o600))
	dir := s.path("home", "trem")
	s.do("trem", "init", "--dir", dir, "--keystore", "pkcs11", "--pkcs11-module", token.Module, "--pkcs11-token", token.Label, "--pin-file", s.path("pin"), "--pkcs11-dir", token.Dir)
	s.do("home", "init", "--dir", s.path("home"), "--ca", ca, "--voucher", s.voucher("--role", "home-server", "--level", "SL3", "--anchor", "A2"))
	st := s.status(dir)
	if st.Level != 2 || st.Anchor != 0 || st.Keystore != (trem.KeystoreStatus{Kind: "pkcs11", Level: 2}) || st.Role != "home server" {
		t.Errorf("level %d, anchor %d, keystore %+v, role %s", st.Level, st.Anchor, st.Keystore, st.Role)
	}
	if _, err := s.serve("home", "home", "serve", "--dir", s.path("home"), "--ca", ca, "--listen", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.do("home", "show", "--dir", s.path("home"))
	s.ok(s.stop("home"))
	s.ok(os.WriteFile(s.path("pin"), []byte("wrong\n"), 0o600))
	if said := s.refuses(statusError, "trem", "status", "--dir", dir); !strings.Contains(said, "does not take this PIN") || strings.Contains(said, "wrong\n") {
		t.Errorf("a wrong PIN: %s", said)
	}
}
