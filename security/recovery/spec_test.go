package recovery

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
)

// block reads a named hex block of the page, or with an empty name its words.
func block(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../docs/spec/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("## Worked example"))
	pattern := "(?s)```hex " + name + "\n(.*?)```"
	if name == "" {
		pattern = "(?s)```\n(.*?)```"
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("the page has no block %q", name)
	}
	if name == "" {
		return m[1]
	}
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(string(m[1])))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func repeat(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func TestBackup_WorkedExample(t *testing.T) {
	c, err := ParseCode(string(block(t, "")))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := c.Reveal(); err != nil || !bytes.Equal(raw[:], repeat(7, 32)) {
		t.Errorf("the words stand for %x (%v)", raw, err)
	}
	pub, err := c.Public()
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(pub.Seal); !bytes.Equal(pub.Sign, block(t, "sign")) || !bytes.Equal(sum[:], block(t, "seal-sha256")) {
		t.Errorf("public keys %x, %x", pub.Sign, sum)
	}
	r := Restore{
		Domain: ident.Domain(repeat(1, 16)), Generation: 4, Old: ident.Device(repeat(2, 16)),
		Incarnation: ident.Incarnation(repeat(3, 8)), Manager: ident.Device(repeat(4, 16)),
	}
	if got, err := c.SignRestore(r); err != nil || !bytes.Equal(got, block(t, "restore")) {
		t.Errorf("RESTORE is %x (%v)", got, err)
	}
	f, err := Parse(block(t, "backup"))
	if err != nil {
		t.Fatal(err)
	}
	want := Header{
		Version: 1, Manager: r.Old, Incarnation: r.Incarnation, Counter: 9, Domain: r.Domain, Generation: 3,
		Made: 1798761600000, Epoch: 1<<40 + 6, Key: pub.Sign, Parts: f.Header.Parts,
	}
	if d := cmp.Diff(want, f.Header); d != "" {
		t.Error(d)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), repeat(5, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(key.Public()); err != nil {
		t.Error(err)
	}
	parts, err := f.Open(c)
	if d := cmp.Diff(map[Kind][]byte{PartHost: []byte("hello")}, parts); d != "" || err != nil {
		t.Error(d, err)
	}
}
