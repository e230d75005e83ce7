package pki_test

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

var update = flag.Bool("update", false, "make new certificates for the worked example")

const page = "../../docs/spec/certificates.md"

// exampleTime is the time at which the worked example is judged.
func exampleTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// TestPKI_1_WorkedExample checks docs/spec/certificates.md: its certificates, its numbers, its bytes.
func TestPKI_1_WorkedExample(t *testing.T) {
	if *update {
		makeExample(t)
	}
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := os.ReadFile("testdata/example.pem")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(md, vectors) {
		t.Error("the page does not show testdata/example.pem")
	}
	ex := example(t)
	trust, err := pki.NewTrustStore(ex[3])
	if err != nil {
		t.Fatal(err)
	}
	v := &pki.Verifier{Trust: trust}
	peer, err := v.Verify(ex[:3], exampleTime(), pki.Device)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.VerifyDelivery(peer, ex[4], exampleTime()); err != nil {
		t.Error(err)
	}
	x := peer.X5T()
	got := fmt.Sprintf("device ID %s, %s, class %s, index %d, SVN %d, %s, %s, implementation %q, interfaces %d, x5t %x",
		peer.ID(), peer.Role(), peer.Class(), peer.Index(), peer.SVN(), peer.Level(), peer.Anchor(), peer.Implementation(), peer.Interfaces(), x)
	if *update {
		md = regexp.MustCompile("device ID [^\n]*").ReplaceAll(md, []byte(got))
		if err := os.WriteFile(page, md, 0o644); err != nil { //nolint:gosec // a page of the manual
			t.Fatal(err)
		}
	}
	if !bytes.Contains(md, []byte(got)) {
		t.Errorf("the page does not say:\n%s", got)
	}
	// The hexadecimal of the member extension, with its comments, is in the leaf.
	if ext := pageHex(t, "member extension"); !bytes.Contains(ex[0], ext) || len(ext) < 20 {
		t.Errorf("the leaf does not hold the extension %x", ext)
	}
}

// pageHex is a block of the page in hexadecimal, without its comments.
func pageHex(t testing.TB, name string) []byte {
	t.Helper()
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```").FindSubmatch(md)
	if m == nil {
		t.Fatalf("no %s on the page", name)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(m[1])) {
		digits.WriteString(strings.ReplaceAll(strings.Split(strings.TrimSpace(line), ";")[0], " ", ""))
	}
	out, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPKI_1_PageHasEveryRule holds the page's table of rules against the code.
func TestPKI_1_PageHasEveryRule(t *testing.T) {
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("rule.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`Rule = "([^"]+)"`).FindAllSubmatch(src, -1)
	if len(rules) < 25 {
		t.Fatalf("%d rules found in rule.go", len(rules))
	}
	for _, r := range rules {
		if !bytes.Contains(md, append(append([]byte("| `"), r[1]...), "` |"...)) {
			t.Errorf("rule %q is not in the table", r[1])
		}
	}
}

func makeExample(t *testing.T) {
	d := pkitest.New(t, exampleTime())
	dev := d.Party(pki.Device, func(p *pki.Profile) {
		p.Name, p.Member.Index, p.SVN, p.Implementation, p.Interfaces = "Lares Device", 5, 2, []byte("lares-trem"), pki.DecoderTREM
	})
	var out bytes.Buffer
	for _, der := range [][]byte{dev.Chain[0], dev.Chain[1], dev.Chain[2], d.Root, dev.DelLeaf} {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	block := "```pem\n" + out.String() + "```"
	md = regexp.MustCompile("(?s)```pem\n.*?```").ReplaceAllLiteral(md, []byte(block))
	for name, data := range map[string][]byte{page: md, "testdata/example.pem": out.Bytes()} {
		if err := os.WriteFile(name, data, 0o644); err != nil { //nolint:gosec // public test vectors
			t.Fatal(err)
		}
	}
}

func ExampleVerifier_Verify() {
	rest, err := os.ReadFile("testdata/example.pem")
	if err != nil {
		log.Fatal(err)
	}
	var certs [][]byte // leaf, class CA, manufacturer CA, root, delivery
	for len(rest) > 0 {
		var b *pem.Block
		b, rest = pem.Decode(rest)
		certs = append(certs, b.Bytes)
	}
	trust, err := pki.NewTrustStore(certs[3])
	if err != nil {
		log.Fatal(err)
	}
	v := &pki.Verifier{Trust: trust}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	peer, err := v.Verify(certs[:3], now, pki.Device, pki.HomeServer)
	fmt.Println(peer.Role(), peer.Level(), peer.Class(), peer.Index(), err)
	_, err = v.Verify(certs[:3], now, pki.LicenseIssuer)
	fmt.Println(err)
	// Output:
	// device SL1 4097 5 <nil>
	// pki: certificate 0 (1/4097/5): rule "role" broken: a device, want [license issuer]
}
