package cli

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
)

// ceremonyIn holds a ceremony with all keys in one place.
func (c *caTest) ceremonyIn(p authority.KeyPlace) {
	c.Helper()
	cfg := authority.Config{Name: "Elm Street", Keys: authority.KeyPlan{
		Places: map[string]authority.KeyPlace{"safe": p}, Root: "safe", FirstLevel: "safe", DeviceClass: "safe", Signers: "safe",
	}}
	data, err := json.Marshal(cfg)
	if err != nil {
		c.Fatal(err)
	}
	if _, errs, code := c.run(string(data), "ceremony", "-"); code != statusDone {
		c.Fatalf("ceremony: status %d: %s", code, errs)
	}
}

// works has an authority do all that needs a key: certify, sign heads and lists,
// add a class, rotate the root. openssl follows the paths.
func (c *caTest) works() {
	c.Helper()
	openssl := needs.Tool(c.T, "openssl")
	var first, shown caAnswer
	c.ok(&first, "show")
	issue := func(name string) [][]byte {
		c.Helper()
		file := filepath.Join(c.TempDir(), name)
		var issued issueAnswer
		c.ok(&issued, "issue", "--signing", c.csr("s", true), "--delivery", c.csr("d", false), "--out", file)
		return certificates(c.T, file) // leaf, class CA, manufacturer CA, delivery, root
	}
	verify := func(chain [][]byte) {
		c.Helper()
		dir := c.TempDir()
		write := func(name string, ders ...[]byte) string {
			var out []byte
			for _, der := range ders {
				out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
			}
			if err := os.WriteFile(filepath.Join(dir, name), out, 0o600); err != nil {
				c.Fatal(err)
			}
			return filepath.Join(dir, name)
		}
		out, err := exec.CommandContext(c.Context(), openssl, "verify", "-x509_strict", "-policy_check", "-explicit_policy", "-policy", "1.3.6.1.4.1.32473.2.1", //nolint:gosec // the test's own files
			"-CAfile", write("root.pem", chain[4]), "-untrusted", write("cas.pem", chain[1:3]...), write("leaf.pem", chain[0])).CombinedOutput()
		if err != nil {
			c.Errorf("openssl: %v: %s", err, out)
		}
	}
	before := issue("before.pem")
	verify(before)
	var class classAnswer
	c.ok(&class, "class", "add", "--name", "phone")
	c.ok(&shown, "publish")
	if shown.Epoch <= first.Epoch {
		c.Errorf("epoch %d after %d", shown.Epoch, first.Epoch)
	}
	c.ok(&shown, "root", "rotate")
	if shown.Root == first.Root || shown.Rotations != 1 {
		c.Errorf("after the rotation: %+v", shown)
	}
	after := issue("after.pem")
	verify(after)
	if bytes.Equal(before[4], after[4]) {
		c.Error("the root is the old one")
	}
	a, err := authority.Open(authority.OSDir(c.dir)) // no key is needed to read
	if err != nil {
		c.Fatal(err)
	}
	trust, err := pki.NewTrustStore(before[4])
	if err == nil {
		trust, err = trust.Follow(nil, a.Trust().Rotations)
	}
	if err != nil {
		c.Fatal(err)
	}
	v := &pki.Verifier{Trust: trust, Status: a.State()}
	for name, chain := range map[string][][]byte{"before": before, "after": after} {
		if _, err := v.Verify(chain[:3], time.Now()); err != nil {
			c.Errorf("certified %s the rotation: %v", name, err)
		}
	}
	if _, err := revocation.ParseSnapshot(a.State().Snapshot(), a.State().Head().Bytes(), v, a.Trust().StateSigner, time.Now()); err != nil {
		c.Errorf("the signed state: %v", err)
	}
}

// noKeyFiles looks into every file of the authority's folder.
func (c *caTest) noKeyFiles(refs int) {
	c.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		c.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(c.dir, e.Name()))
		if err != nil {
			c.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), ".pem") || bytes.Contains(data, []byte("PRIVATE KEY")) {
			c.Errorf("%s holds a key", e.Name())
		}
		if strings.HasSuffix(e.Name(), ".ref") {
			refs--
		}
	}
	if refs != 0 {
		c.Errorf("%d references too few", refs)
	}
}

// refuses runs a command that needs the root's key, and gives what it says.
func (c *caTest) refuses(want ...string) {
	c.Helper()
	before, err := os.ReadFile(filepath.Join(c.dir, "authority.cbor"))
	if err != nil {
		c.Fatal(err)
	}
	_, errs, code := c.run("", "root", "rotate")
	if code != statusRefused {
		c.Errorf("status %d, want %d: %s", code, statusRefused, errs)
	}
	for _, w := range append(want, `in "safe"`) {
		if !strings.Contains(errs, w) {
			c.Errorf("no %q in: %s", w, errs)
		}
	}
	if after, err := os.ReadFile(filepath.Join(c.dir, "authority.cbor")); err != nil || !bytes.Equal(before, after) {
		c.Errorf("the authority changed: %v", err)
	}
}

// pin writes the PIN file.
func (c *caTest) pin(file, pin string) {
	c.Helper()
	if err := os.WriteFile(file, []byte(pin+"\n"), 0o600); err != nil {
		c.Fatal(err)
	}
}

// TestPKI_4_CAKeysInATPM holds a ceremony in a TPM, with a PIN and without.
func TestPKI_4_CAKeysInATPM(t *testing.T) {
	for name, pin := range map[string]string{"locked": "2468-lares", "open": ""} {
		t.Run(name, func(t *testing.T) {
			c, chip := newCATest(t), keystoretest.NewTPM(t)
			place := authority.KeyPlace{Kind: authority.PlaceTPM, TPM: chip.Path}
			if pin != "" {
				place.PINFile = filepath.Join(t.TempDir(), "pin")
				c.pin(place.PINFile, pin)
			}
			c.ceremonyIn(place)
			c.works()
			c.noKeyFiles(10) // two roots, four CAs, two class CAs, two signers
			if pin != "" {
				c.pin(place.PINFile, "wrong")
				c.refuses("does not take this PIN", "put the right PIN into "+place.PINFile)
				if err := os.Chmod(place.PINFile, 0o644); err != nil { //nolint:gosec // that is what is refused
					t.Fatal(err)
				}
				c.refuses("only its owner can read", "chmod 600")
				if err := os.Remove(place.PINFile); err != nil {
					t.Fatal(err)
				}
				c.refuses("read the PIN", "no such file")
				c.pin(place.PINFile, pin)
			}
			chip.Stop()
			c.refuses("the token or TPM is gone", "run the command on the machine")
			chip.Start()
			moved := filepath.Join(c.dir, "key-root-2.ref")
			data, err := os.ReadFile(moved)
			if err != nil {
				t.Fatal(err)
			}
			bad := slices.Clone(data)
			bad[len(bad)-40] ^= 1
			if err := os.WriteFile(moved, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			c.refuses("cannot be read", ".ref file back")
			if err := os.WriteFile(moved, data, 0o600); err != nil {
				t.Fatal(err)
			}
			var shown caAnswer
			c.ok(&shown, "root", "rotate")
			if shown.Rotations != 2 {
				t.Errorf("%+v", shown)
			}
		})
	}
}

// TestPKI_4_CAKeysInSeveralPlaces: roots in the TPM, the rest in files; new keys
// go where keys.json says by then.
func TestPKI_4_CAKeysInSeveralPlaces(t *testing.T) {
	c, chip := newCATest(t), keystoretest.NewTPM(t)
	cfg := `{"keys": {"places": {"board": {"keystore": "tpm", "tpm": "` + chip.Path + `"}}, "root": "board"}}`
	if _, errs, code := c.run(cfg, "ceremony", "-"); code != statusDone {
		t.Fatal(errs)
	}
	count := func(pattern string) int {
		all, err := filepath.Glob(filepath.Join(c.dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if count("*.ref") != 1 || count("key-*.pem") != 7 {
		t.Errorf("%d references, %d files", count("*.ref"), count("key-*.pem"))
	}
	chip.Stop() // what the root does not sign needs no TPM
	var shown caAnswer
	c.ok(&shown, "publish")
	var issued issueAnswer
	c.ok(&issued, "issue", "--signing", c.csr("s", true), "--delivery", c.csr("d", false), "--out", filepath.Join(t.TempDir(), "device.pem"))
	chip.Start()
	plan := strings.Replace(cfg[len(`{"keys": `):len(cfg)-1], `"root": "board"`, `"device_class": "board"`, 1)
	if err := os.WriteFile(filepath.Join(c.dir, "keys.json"), []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	var class classAnswer
	c.ok(&class, "class", "add", "--name", "phone")
	c.ok(&shown, "root", "rotate")
	if count("*.ref") != 2 || count("key-*.pem") != 8 {
		t.Errorf("%d references, %d files", count("*.ref"), count("key-*.pem"))
	}
	for _, bad := range []string{
		`{"keys": {"root": "board"}}`,
		`{"keys": {"places": {"board": {"keystore": "tpm"}}, "root": "board"}}`,
		`{"keys": {"places": {"board": {"keystore": "tpm", "tpm": "dev/tpm0"}}}}`,
		`{"keys": {"places": {"board": {"keystore": "tpm", "tpm": "/dev/tpm0", "pin": "1234"}}}}`,
		`{"keys": {"places": {"folder": {"keystore": "tpm", "tpm": "/dev/tpm0"}}}}`,
		`{"keys": {"places": {"safe": {"keystore": "pkcs11", "token": "x", "module": "/lib/x.so"}}}}`,
		`{"keys": {"places": {"safe": {"keystore": "cloud"}}}}`,
	} {
		other := newCATest(t)
		if _, errs, code := other.run(bad, "ceremony", "-"); code == statusDone || !strings.Contains(errs, "ceremony") {
			t.Errorf("%s: status %d: %s", bad, code, errs)
		}
	}
}
