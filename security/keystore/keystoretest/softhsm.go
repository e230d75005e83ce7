package keystoretest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// Token is a PKCS#11 token in software (SoftHSM), with folder and configuration
// of its own.
type Token struct {
	Module string // path of its library
	Label  string
	PIN    string
	Dir    string // where it keeps its objects
	Config string // file that SOFTHSM2_CONF names, for this test's processes
}

// NewToken makes an initialized token. It sets SOFTHSM2_CONF for the test.
func NewToken(t *testing.T) *Token {
	t.Helper()
	util := needs.Tool(t, "softhsm2-util")
	const module = "/usr/lib/softhsm/libsofthsm2.so"
	needs.File(t, module, "softhsm2 is not installed (make setup installs it)")
	dir := t.TempDir()
	k := &Token{Module: module, Label: "lares test", PIN: "1234-lares", Dir: filepath.Join(dir, "tokens"), Config: filepath.Join(dir, "softhsm2.conf")}
	if err := os.Mkdir(k.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.Config, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n", k.Dir), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", k.Config)
	out, err := exec.CommandContext(t.Context(), util, "--init-token", "--free", "--label", k.Label, "--so-pin", "so-"+k.PIN, "--pin", k.PIN).CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	return k
}
