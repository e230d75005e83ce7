package cli

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/trem"
)

// newStorageTest is an authority that may certify all levels.
func newStorageTest(t *testing.T, program string) (*shopTest, string) {
	t.Helper()
	t.Setenv("LARES_TREM", filepath.Join(filepath.Dir(program), "lares-trem"))
	h, err := newHouse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.program = program
	s := &shopTest{house: h, t: t}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	s.ok(os.WriteFile(h.path("ceremony.json"), []byte(`{"levels": ["SL1", "SL2", "SL3"], "anchors": ["A0", "A1", "A2"]}`), 0o600))
	s.do("ca", "ceremony", "--dir", h.path("ca"), h.path("ceremony.json"))
	ca, err := h.serve("ca", "ca", "serve", "--dir", h.path("ca"), "--listen", "127.0.0.1:0")
	s.ok(err)
	return s, ca
}

func (s *shopTest) status(dir string) (st trem.Status) {
	s.t.Helper()
	s.ok(s.query(s.t.Context(), &st, "trem", "status", "--dir", dir))
	return st
}

// refuses runs a command that must fail with a status, and gives what it said.
func (s *shopTest) refuses(code int, args ...string) string {
	s.t.Helper()
	a, err := s.run(s.t.Context(), args...)
	s.ok(err)
	if a.code != code {
		s.t.Errorf("lares %s: exit status %d, want %d: %s", strings.Join(args, " "), a.code, code, a.stderr)
	}
	return a.stderr
}

// TestTREM_TPMHouse founds a house whose server has its keys in a TPM, with a
// device of software, and lets them talk: every SLTP session signs in the TPM.
func TestTREM_TPMHouse(t *testing.T) {
	self := program(t)
	s, ca := newStorageTest(t, self)
	home, tablet := keystoretest.NewTPM(t), keystoretest.NewTPM(t)
	vouch := []string{"--level", "SL3", "--anchor", "A2"}
	s.do("home", "init", "--dir", s.path("home"), "--ca", ca, "--voucher", s.voucher(append(vouch, "--role", "home-server")...), "--keystore", "tpm", "--tpm", home.Path)
	st := s.status(s.path("home", "trem"))
	if st.Level != 3 || st.Anchor != 2 || st.Keystore != (trem.KeystoreStatus{Kind: "tpm", Level: 3, Register: "extend", Anchor: 2}) {
		t.Errorf("home: level %d, anchor %d, keystore %+v", st.Level, st.Anchor, st.Keystore)
	}
	s.do("device", "init", "--dir", s.path("tablet"), "--ca", ca, "--voucher", s.voucher(), "--keystore", "tpm", "--tpm", tablet.Path, "--tpm-register", "counter")
	if st = s.status(s.path("tablet", "trem")); st.Level != 1 || st.Anchor != 0 || st.Keystore.Level != 3 || st.Keystore.Register != "counter" {
		t.Errorf("a TPM that nobody vouched for: level %d, anchor %d, keystore %+v", st.Level, st.Anchor, st.Keystore)
	}
	s.do("device", "init", "--dir", s.path("phone"), "--ca", ca, "--voucher", s.voucher(vouch...))
	if st = s.status(s.path("phone", "trem")); st.Level != 1 || st.Anchor != 0 || st.Keystore != (trem.KeystoreStatus{Kind: "soft", Level: 1}) {
		t.Errorf("software with a voucher for a TPM: level %d, anchor %d, keystore %+v", st.Level, st.Anchor, st.Keystore)
	}
	url, err := s.serve("home", "home", "serve", "--dir", s.path("home"), "--ca", ca, "--listen", "127.0.0.1:0")
	s.ok(err)
	for range 2 { // the second time after kill -9
		var lib any
		s.ok(s.query(t.Context(), &lib, "home", "show", "--dir", s.path("home")))
		s.ok(s.kill("home"))
		s.ok(s.again("home"))
	}
	if !strings.HasPrefix(url, "http") {
		t.Error(url)
	}
	said := s.do("trem", "status", "--dir", s.path("tablet", "trem"))
	if !strings.Contains(said, "keystore    tpm, register counter: reaches SL3, anchor A2") || !strings.Contains(said, "level       SL1, anchor A0") {
		t.Errorf("status says:\n%s", said)
	}
}

// TestTREM_TPMSetBack puts an older copy of a device's folder back.
func TestTREM_TPMSetBack(t *testing.T) {
	s, ca := newStorageTest(t, program(t))
	chip := keystoretest.NewTPM(t)
	dir := s.path("tablet", "trem")
	s.do("trem", "init", "--dir", dir, "--keystore", "tpm", "--tpm", chip.Path)
	s.ok(os.CopyFS(s.path("old"), os.DirFS(dir)))
	s.do("device", "init", "--dir", s.path("tablet"), "--ca", ca, "--voucher", s.voucher())
	s.ok(os.Rename(dir, s.path("new")))
	s.ok(os.Rename(s.path("old"), dir))
	if said := s.refuses(statusError, "trem", "status", "--dir", dir); !strings.Contains(said, "older than its anchor") {
		t.Errorf("an older copy: %s", said)
	}
	s.ok(os.RemoveAll(dir))
	s.ok(os.Rename(s.path("new"), dir))
	if st := s.status(dir); st.Role != "device" {
		t.Errorf("the real folder: role %q", st.Role)
	}
}

// TestTREM_KeysDoNotMove asks for another storage of keys that are there.
func TestTREM_KeysDoNotMove(t *testing.T) {
	s, _ := newStorageTest(t, program(t))
	chip := keystoretest.NewTPM(t)
	hard, soft := s.path("hard"), s.path("soft")
	s.do("trem", "init", "--dir", hard, "--keystore", "tpm", "--tpm", chip.Path)
	s.do("trem", "init", "--dir", soft, "--keystore", "soft")
	s.ok(os.WriteFile(s.path("pin"), []byte("1234\n"), 0o600))
	token := []string{"--keystore", "pkcs11", "--pkcs11-module", "/lib/x.so", "--pkcs11-token", "x", "--pin-file", s.path("pin")}
	for _, args := range [][]string{
		{"trem", "init", "--dir", hard, "--keystore", "soft"},
		append([]string{"trem", "init", "--dir", hard}, token...),
		{"trem", "init", "--dir", soft, "--keystore", "tpm", "--tpm", chip.Path},
		append([]string{"trem", "init", "--dir", soft}, token...),
	} {
		before := s.status(args[3])
		said := s.refuses(statusRefused, args...)
		for _, word := range []string{"cannot leave", "no export", "new module", "enroll", "lares device move"} {
			if !strings.Contains(said, word) {
				t.Errorf("%v: the refusal does not say %q: %s", args, word, said)
			}
		}
		if after := s.status(args[3]); after.Device != before.Device || after.Keystore != before.Keystore {
			t.Errorf("%v: device %v, keystore %+v, were %v, %+v", args, after.Device, after.Keystore, before.Device, before.Keystore)
		}
	}
	s.refuses(statusRefused, "trem", "init", "--dir", hard, "--keystore", "tpm", "--tpm", chip.Path, "--tpm-register", "counter")
	s.do("trem", "init", "--dir", hard, "--keystore", "tpm", "--tpm", chip.Path) // the same again
	s.do("trem", "init", "--dir", hard)                                          // as the folder says

	s.ok(os.Remove(filepath.Join(hard, "keystore.json"))) // by hand, what the command refuses
	if said := s.refuses(statusRefused, "trem", "status", "--dir", hard); !strings.Contains(said, "no export") {
		t.Errorf("a folder whose storage was edited: %s", said)
	}
}

// TestTREM_StorageFlags: what is missing or does not fit is a usage error, and
// makes nothing.
func TestTREM_StorageFlags(t *testing.T) {
	s, _ := newStorageTest(t, program(t))
	for _, flags := range [][]string{
		{"--keystore", "hsm"},
		{"--keystore", "pkcs11"},
		{"--keystore", "pkcs11", "--pkcs11-module", "/lib/x.so", "--pkcs11-token", "x"},
		{"--keystore", "soft", "--tpm", "/dev/tpmrm0"},
		{"--keystore", "tpm", "--tpm-register", "nv"},
		{"--keystore", "tpm", "--pin-file", "pin"},
		{"--tpm", "/dev/tpmrm0"},
	} {
		dir := s.path("none", rand.Text())
		s.refuses(statusUsage, append([]string{"trem", "init", "--dir", dir}, flags...)...)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%v: a folder was made", flags)
		}
	}
	if said := s.refuses(statusError, "trem", "init", "--dir", s.path("far"), "--keystore", "tpm", "--tpm", s.path("no-tpm")); !strings.Contains(said, "find the TPM") {
		t.Errorf("no TPM: %s", said)
	}
	s.ok(os.WriteFile(s.path("pin"), []byte("1234\n"), 0o644))
	token := []string{"trem", "init", "--dir", s.path("open"), "--keystore", "pkcs11", "--pkcs11-module", "/lib/x.so", "--pkcs11-token", "x", "--pin-file", s.path("pin")}
	if said := s.refuses(statusError, token...); !strings.Contains(said, "chmod 600") {
		t.Errorf("a PIN for all to read: %s", said)
	}
	s.ok(os.Chmod(s.path("pin"), 0o600))
	if said := s.refuses(statusError, token...); !strings.Contains(said, "no PKCS#11") {
		t.Errorf("a build without PKCS#11: %s", said)
	}
	for _, args := range [][]string{{"--level", "SL9"}, {"--anchor", "A7"}} {
		s.refuses(statusUsage, append([]string{"ca", "voucher", "--dir", s.path("ca")}, args...)...)
	}
	var v voucherAnswer
	s.ok(json.Unmarshal([]byte(s.do("ca", "voucher", "--dir", s.path("ca"), "--level", "SL2", "--json")), &v))
	if v.Level.String() != "SL2" || v.Anchor.String() != "A0" {
		t.Errorf("voucher %+v", v)
	}
	s.do("ca", "ceremony", "--dir", s.path("plain"))
	if said := s.refuses(statusRefused, "ca", "voucher", "--dir", s.path("plain"), "--level", "SL3"); !strings.Contains(said, "not granted") {
		t.Errorf("a level that no CA may grant: %s", said)
	}
}
