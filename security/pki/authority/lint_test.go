package authority_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
)

// everything is one of each kind of certificate and list that an authority
// issues, by file name, in DER.
func everything(t *testing.T) map[string][]byte {
	t.Helper()
	h := newHousehold(t, newMemory())
	out := map[string][]byte{"root": h.a.Trust().Roots[0], "state-signer": h.a.Trust().StateSigner[0], "time-signer": h.a.Trust().TimeSigner[0]}
	for name, p := range h.parties {
		out[name], out[name+"-delivery"] = p.Chain[0], p.Delivery
		for i, ca := range p.Chain[1:] {
			out[fmt.Sprintf("%s-ca-%d", name, i+1)] = ca
		}
	}
	must(t, h.a.RevokeDevice(h.parties["a"].Member))
	must(t, h.a.Suspend(h.second, 1))
	base := h.a.State().Epoch().Number
	h.publish()
	for _, from := range []uint64{0, base} {
		lists, err := h.a.CRLs(from)
		must(t, err)
		for _, l := range lists {
			out[fmt.Sprintf("list-%v-%v-%d", l.Class, l.CAs, from)] = l.DER
		}
	}
	must(t, h.a.RotateRoot(h.now.Add(time.Minute)))
	out["root-2"] = h.a.Trust().Roots[0]
	return out
}

// TestPKI_1_ZlintAcceptsWhatWeIssue: zlint, with every lint whose source is RFC
// 5280, finds no error, and no warning but those with a reason here.
func TestPKI_1_ZlintAcceptsWhatWeIssue(t *testing.T) {
	needs.Long(t) // the linter is built first
	goTool := needs.Tool(t, "go")
	accepted := map[string]string{
		"warn w_ext_subject_key_identifier_missing_sub_cert": "a SHOULD of section 4.2.1.2; who wants an end entity's identifier has its key, and each certificate travels in every exchange",
	}
	met := map[string]bool{}
	dir := t.TempDir()
	args := []string{"run", "-C", "../../../tools/lint", "."}
	files := everything(t)
	for name, der := range files {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, der, 0o600))
		args = append(args, file)
	}
	cmd := exec.CommandContext(t.Context(), goTool, args...) //nolint:gosec // our own linter
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	seen := 0
	for in := bufio.NewScanner(bytes.NewReader(out)); in.Scan(); {
		var r struct {
			File  string
			Lints int
			Found []string
		}
		must(t, json.Unmarshal(in.Bytes(), &r))
		least := 35
		if strings.HasPrefix(filepath.Base(r.File), "list") {
			least = 6
		}
		if seen++; r.Lints < least {
			t.Errorf("%s: %d lints only", filepath.Base(r.File), r.Lints)
		}
		for _, found := range r.Found {
			met[found] = true
			if accepted[found] == "" {
				t.Errorf("%s: %s", filepath.Base(r.File), found)
			}
		}
	}
	for found := range accepted {
		if !met[found] {
			t.Errorf("%s is not found any more: take it off the list", found)
		}
	}
	if seen != len(files) {
		t.Errorf("%d of %d files were linted", seen, len(files))
	}
}

// TestPKI_1_OpenSSLVerifiesWhatWeIssue: openssl builds and checks the path of
// each party, with policies, and refuses what is not under the root.
func TestPKI_1_OpenSSLVerifiesWhatWeIssue(t *testing.T) {
	openssl := needs.Tool(t, "openssl")
	h := newHousehold(t, newMemory())
	dir := t.TempDir()
	write := func(name string, ders ...[]byte) string {
		var out []byte
		for _, der := range ders {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, out, 0o600))
		return file
	}
	verify := func(root []byte, leaf []byte, cas [][]byte, policy string) bool {
		args := []string{
			"verify", "-x509_strict", "-policy_check", "-explicit_policy", "-policy", policy, "-attime", fmt.Sprint(h.now.Unix()),
			"-CAfile", write("root.pem", root),
		}
		if len(cas) > 0 {
			args = append(args, "-untrusted", write("cas.pem", cas...))
		}
		out, err := exec.CommandContext(t.Context(), openssl, append(args, write("leaf.pem", leaf))...).CombinedOutput() //nolint:gosec // the test's own files
		if err != nil {
			t.Logf("openssl: %s", out)
		}
		return err == nil
	}
	const sl1, sl3 = "1.3.6.1.4.1.32473.2.1", "1.3.6.1.4.1.32473.2.3"
	root := h.a.Trust().Roots[0]
	other := ceremony(t, newMemory()).Trust().Roots[0]
	for name, p := range h.parties {
		for _, leaf := range [][]byte{p.Chain[0], p.Delivery} {
			if !verify(root, leaf, p.Chain[1:], sl1) {
				t.Errorf("%s is refused", name)
			}
		}
		if verify(other, p.Chain[0], p.Chain[1:], sl1) || verify(root, p.Chain[0], p.Chain[1:], sl3) {
			t.Errorf("%s passes under another root, or as another level", name)
		}
	}
	for _, signer := range [][][]byte{h.a.Trust().StateSigner, h.a.Trust().TimeSigner} {
		if !verify(root, signer[0], signer[1:], sl1) {
			t.Error("a signer is refused")
		}
	}
	text, err := exec.CommandContext(t.Context(), openssl, "x509", "-noout", "-text", "-in", write("leaf.pem", h.parties["a"].Chain[0])).CombinedOutput() //nolint:gosec // as above
	for _, want := range []string{"ecdsa-with-SHA256", "NIST CURVE: P-256", "Digital Signature", "CA:FALSE", "1.3.6.1.4.1.32473.1.4", "Policy: " + sl1, "9999"} {
		if err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("openssl x509: %v: no %q in %s", err, want, text)
		}
	}
}
