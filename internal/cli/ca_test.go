package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/revocation/crl"
	service "github.com/lares-drm/lares/service/authority"
)

// caTest runs `lares ca` commands on one folder.
type caTest struct {
	*testing.T
	dir string
}

func newCATest(t *testing.T) *caTest { return &caTest{T: t, dir: filepath.Join(t.TempDir(), "ca")} }

func (c *caTest) run(stdin string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Now: time.Now}
	code = Main(c.Context(), append(append([]string{"ca"}, args...), "--dir", c.dir), env)
	return out.String(), errs.String(), code
}

// ok runs a command that must succeed, with --json, into v.
func (c *caTest) ok(v any, args ...string) {
	c.Helper()
	out, errs, code := c.run("", append(args, "--json")...)
	if code != statusDone {
		c.Fatalf("ca %v: status %d: %s", args, code, errs)
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		c.Fatalf("ca %v: %v in %s", args, err, out)
	}
}

// csr writes a signing request into a file and returns its name.
func (c *caTest) csr(name string, asPEM bool) string {
	c.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		c.Fatal(err)
	}
	if asPEM {
		der = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	file := filepath.Join(c.TempDir(), name)
	if err := os.WriteFile(file, der, 0o600); err != nil {
		c.Fatal(err)
	}
	return file
}

func TestCA_CeremonyClassIssueRevokeShow(t *testing.T) {
	c := newCATest(t)
	if _, errs, code := c.run("", "show"); code != statusError || !strings.Contains(errs, "lares ca ceremony") {
		t.Errorf("before the ceremony: %d %s", code, errs)
	}
	if _, errs, code := c.run(`{"title": "x"}`, "ceremony", "-"); code != statusError || !strings.Contains(errs, "title") {
		t.Errorf("unknown key: %d %s", code, errs)
	}
	if _, errs, code := c.run(`{"name": "Oak Street", "levels": ["SL1", "SL3"], "anchors": ["A0", "A2"]}`, "ceremony", "-"); code != statusDone {
		t.Fatal(errs)
	}
	if _, _, code := c.run("", "ceremony"); code != statusError {
		t.Errorf("second ceremony: status %d", code)
	}
	var class classAnswer
	c.ok(&class, "class", "add", "--name", "phone")
	if class.Class != 4098 {
		t.Errorf("class %v", class.Class)
	}
	pemFile := filepath.Join(t.TempDir(), "device.pem")
	var issued issueAnswer
	c.ok(&issued, "issue", "--class", "4098", "--level", "SL3", "--anchor", "A2", "--svn", "2",
		"--signing", c.csr("s", true), "--delivery", c.csr("d", false), "--out", pemFile)
	chain := certificates(t, pemFile) // leaf, class CA, manufacturer CA, delivery, root
	trust, err := pki.NewTrustStore(chain[4])
	if err != nil {
		t.Fatal(err)
	}
	v := &pki.Verifier{Trust: trust}
	peer, err := v.Verify(chain[:3], time.Now(), pki.Device)
	if err != nil || peer.ID() != issued.Device || peer.Level() != pki.SL3 || peer.Anchor() != pki.A2 || peer.SVN() != 2 {
		t.Fatalf("%v %v", peer, err)
	}
	if _, err := v.VerifyDelivery(peer, chain[3], time.Now()); err != nil {
		t.Error(err)
	}
	if _, errs, code := c.run("", "issue", "--level", "SL2", "--signing", c.csr("s", true), "--delivery", c.csr("d", true), "--out", pemFile); code != statusRefused || !strings.Contains(errs, `"level"`) {
		t.Errorf("a level that the ceremony does not grant: %d %s", code, errs)
	}
	var revoked revokeAnswer
	c.ok(&revoked, "revoke", "--device", issued.Device.String())
	var shown caAnswer
	c.ok(&shown, "show")
	last := shown.Classes[len(shown.Classes)-1]
	if shown.Name != "Oak Street" || shown.Epoch != revoked.Epoch || last.Class != 4098 || last.Leaf.Revoked != 1 || last.Members != 1 {
		t.Errorf("%+v after %+v", shown, revoked)
	}
	for _, step := range []struct {
		args   []string
		status revocation.ClassStatus
		svn    uint32
	}{
		{[]string{"suspend", "4098", "--reason", "hold"}, revocation.Suspended, 0},
		{[]string{"resume", "4098"}, revocation.Active, 0},
		{[]string{"raise-svn", "4098", "3"}, revocation.Active, 3},
		{[]string{"revoke", "4098", "--reason", "key-compromise"}, revocation.Revoked, 3},
	} {
		c.ok(&revoked, append([]string{"class"}, step.args...)...)
		c.ok(&shown, "show")
		if last := shown.Classes[len(shown.Classes)-1]; last.Status != step.status || last.MinSVN != step.svn || shown.Epoch != revoked.Epoch {
			t.Errorf("%v: %+v, epoch %d", step.args, last, shown.Epoch)
		}
	}
	c.ok(&revoked, "class", "retire", "4097")
	for _, no := range [][]string{{"resume", "4098"}, {"suspend", "4097"}, {"revoke", "9"}, {"revoke", "0"}, {"raise-svn", "4096", "1"}} {
		if _, errs, code := c.run("", append([]string{"class"}, no...)...); code != statusRefused {
			t.Errorf("class %v: status %d: %s", no, code, errs)
		}
	}
	for _, bad := range [][]string{
		{"revoke"},
		{"revoke", "--class", "1"},
		{"class", "revoke", "1", "--reason", "spite"},
		{"class", "revoke", "phone"},
		{"class", "raise-svn", "4098", "-1"},
		{"class", "drop"},
		{"revoke", "--device", "12"},
		{"voucher", "--role", "king"},
		{"voucher", "--hours", "0"},
	} {
		if _, _, code := c.run("", bad...); code != statusUsage {
			t.Errorf("%v: status %d, want usage", bad, code)
		}
	}
}

// TestCA_StolenKeyOfAnIssuer names the epoch since which others had a shop's key.
func TestCA_StolenKeyOfAnIssuer(t *testing.T) {
	c := newCATest(t)
	var shown caAnswer
	c.ok(&shown, "ceremony")
	var issued issueAnswer
	c.ok(&issued, "issue", "--role", "license-issuer", "--issuer", "shop.example", "--signing", c.csr("s", true), "--delivery", c.csr("d", false), "--out", filepath.Join(t.TempDir(), "shop.pem"))
	c.ok(&shown, "publish")
	stolen := []string{"revoke", "--class", "2", "--index", "0", "--issuer", "shop.example", "--compromised-since"}
	for status, args := range map[int][]string{
		statusUsage:   {"revoke", "--class", "2", "--index", "0", "--issuer", "shop.example"},
		statusRefused: append(slices.Clone(stolen), "9"),
	} {
		if _, errs, code := c.run("", args...); code != status {
			t.Errorf("%v: status %d, want %d: %s", args, code, status, errs)
		}
	}
	var done revokeAnswer
	c.ok(&done, append(slices.Clone(stolen), "2")...)
	a, err := authority.Open(authority.OSDir(c.dir))
	if err != nil {
		t.Fatal(err)
	}
	if since, ok := a.State().Compromised(pki.Member{Class: 2}); !ok || since != 2 || done.Epoch != 3 {
		t.Errorf("since %d, %v, as of epoch %d", since, ok, done.Epoch)
	}
}

// TestCA_SignerChanges: the lost key of the state signer is not needed, the root's is.
func TestCA_SignerChanges(t *testing.T) {
	c := newCATest(t)
	var first, next caAnswer
	c.ok(&first, "ceremony")
	if err := os.Remove(filepath.Join(c.dir, "key-state-signer.pem")); err != nil {
		t.Fatal(err)
	}
	c.ok(&next, "signer", "change")
	if next.Signer != 1 || next.Epoch != first.Epoch+1 || next.Root != first.Root {
		t.Errorf("%+v after %+v", next, first)
	}
	c.ok(&next, "publish")
	if err := os.Remove(filepath.Join(c.dir, "key-0.pem")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := c.run("", "signer", "change"); code != statusRefused || !strings.Contains(errs, "bring the root's key file back") {
		t.Errorf("without the root's key: status %d: %s", code, errs)
	}
	c.ok(&next, "publish") // nothing has changed
	if next.Signer != 1 {
		t.Errorf("%+v", next)
	}
}

// TestCA_RootRotates: with a spare root the old key is not needed, without one it is.
func TestCA_RootRotates(t *testing.T) {
	c := newCATest(t)
	file := filepath.Join(t.TempDir(), "ceremony.json")
	if err := os.WriteFile(file, []byte(`{"name": "Elm Street", "spare_roots": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var first, next caAnswer
	c.ok(&first, "ceremony", file)
	if _, _, code := c.run("", "root", "end"); code != statusRefused {
		t.Errorf("end the only root: status %d", code)
	}
	if err := os.Remove(filepath.Join(c.dir, "key-0.pem")); err != nil {
		t.Fatal(err)
	}
	c.ok(&next, "root", "rotate")
	if next.Root == first.Root || next.Rotations != 1 || next.Epoch != first.Epoch+1 {
		t.Errorf("%+v after %+v", next, first)
	}
	var ended revokeAnswer
	c.ok(&ended, "root", "end")
	if ended.Epoch != next.Epoch+1 {
		t.Errorf("%+v", ended)
	}
	if err := os.Remove(filepath.Join(c.dir, "key-root-2.pem")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := c.run("", "root", "rotate"); code != statusRefused || !strings.Contains(errs, "bring the root's key file back") {
		t.Errorf("rotate without a key: status %d: %s", code, errs)
	}
}

// TestCA_CRLExport: the lists of a folder refuse whom the state refuses, and a
// delta says what has changed.
func TestCA_CRLExport(t *testing.T) {
	c := newCATest(t)
	var shown caAnswer
	c.ok(&shown, "ceremony")
	var issued issueAnswer
	c.ok(&issued, "issue", "--signing", c.csr("s", true), "--delivery", c.csr("d", false), "--out", filepath.Join(t.TempDir(), "device.pem"))
	out := filepath.Join(t.TempDir(), "lists")
	var files []crlAnswer
	c.ok(&files, "crl", "--out", out)
	if len(files) != 7 || files[0].File != filepath.Join(out, "arl-0.crl") || !files[0].CAs {
		t.Fatalf("%+v", files)
	}
	var revoked revokeAnswer
	c.ok(&revoked, "revoke", "--class", "4097", "--index", "0")
	c.ok(&files, "crl", "--out", out, "--base", "1", "--class", "4097")
	if len(files) != 1 || files[0].Base != 1 || files[0].Number != 2 || files[0].Entries != 3 {
		t.Errorf("%+v", files)
	}
	der, err := os.ReadFile(filepath.Join(out, "crl-4097-delta-1.crl"))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := crl.Parse(der); err != nil || l.Base().Int64() != 1 || l.Len() != 3 {
		t.Errorf("%v %v", l, err)
	}
	c.ok(&files, "crl", "--out", out, "--class", "4097", "--pem")
	data, err := os.ReadFile(filepath.Join(out, "crl-4097.pem"))
	if b, _ := pem.Decode(data); err != nil || b == nil || b.Type != "X509 CRL" {
		t.Errorf("%s %v", data, err)
	}
	for status, args := range map[int][]string{
		statusUsage:   {"crl", "--out", out, "--base", "2"},
		statusRefused: {"crl", "--out", out, "--class", "77"},
	} {
		if _, errs, code := c.run("", args...); code != status {
			t.Errorf("%v: status %d, want %d: %s", args, code, status, errs)
		}
	}
}

func certificates(t *testing.T, file string) (out [][]byte) {
	t.Helper()
	rest, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		out = append(out, b.Bytes)
	}
	if len(out) != 5 {
		t.Fatalf("%d certificates", len(out))
	}
	return out
}

// TestCA_ServeSeesWhatCommandsDo: `ca revoke` in another process is served at
// once, and the server stops when asked.
func TestCA_ServeSeesWhatCommandsDo(t *testing.T) {
	c := newCATest(t)
	var shown caAnswer
	c.ok(&shown, "ceremony")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	status := make(chan int, 1)
	go func() {
		status <- Main(ctx, []string{"ca", "serve", "--dir", c.dir, "--listen", "127.0.0.1:0"}, &Env{Stdout: in, Stderr: io.Discard, Now: time.Now})
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "http://127.0.0.1:") {
		t.Fatalf("%q %v", line, err)
	}
	client := &service.Client{URL: strings.TrimSpace(line)}
	epoch := func() uint64 {
		t.Helper()
		data, err := client.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		h, err := revocation.ParseHead(data)
		if err != nil {
			t.Fatal(err)
		}
		return h.Epoch.Number
	}
	var v voucherAnswer
	c.ok(&v, "voucher", "--role", "home-server")
	csr := func(name string) []byte {
		data, err := readRequest(c.csr(name, true))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if _, err := client.Enroll(ctx, service.Request{Role: pki.HomeServer, Signing: csr("s"), Delivery: csr("d"), Voucher: v.Voucher}); err != nil {
		t.Errorf("enroll with the command's voucher: %v", err)
	}
	var done revokeAnswer
	c.ok(&done, "revoke", "--class", "3", "--index", "0")
	if got := epoch(); got != done.Epoch || got != 2 {
		t.Errorf("served epoch %d, revoked as of %d", got, done.Epoch)
	}
	c.ok(&shown, "publish")
	if got := epoch(); got != shown.Epoch {
		t.Errorf("served epoch %d, published %d", got, shown.Epoch)
	}
	cancel()
	select {
	case code := <-status:
		if code != statusDone {
			t.Errorf("status %d", code)
		}
	case <-time.After(startGrace):
		t.Error("the server does not stop")
	}
}
