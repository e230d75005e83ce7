package cli

import (
	"bytes"
	"crypto/ecdh"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
)

// A document that others wrapped and signed becomes a delivery that only the
// issuer's module opens; what was changed, and what somebody else signed, does not.
func TestAdapt_KeysOfACPIXDocumentAreDelivered(t *testing.T) {
	dir := t.TempDir()
	key, der := deliveryCertificate(t)
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const vectors = "../../interconnect/adapt/cpix/testdata/vectors/"
	read := func(name string) []byte {
		data, err := os.ReadFile(vectors + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	to, private := file("delivery.der", der), file("recipient.key", read("recipient.key"))
	doc := read("whole-c14n11.xml")
	changed := file("changed.xml", []byte(strings.Replace(string(doc), "film-1", "film-2", 1)))
	signed, plain := vectors+"whole-c14n11.xml", "../../interconnect/adapt/cpix/testdata/unified/complex.xml"
	asks := "../../interconnect/adapt/cpix/testdata/speke/2_speke_v1_style_implementation.xml"
	mine := []string{"--cert", vectors + "recipient.pem", "--key", private}
	by := []string{"--signer", vectors + "signer.pem"}
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		words  string
	}{
		{"signed", append(append([]string{signed}, mine...), by...), statusDone, "1 keys of film-1"},
		{"by nobody trusted", append([]string{signed}, mine...), statusRefused, "not trusted"},
		{"by another", append(append([]string{signed}, mine...), "--signer", vectors+"stranger.pem"), statusRefused, "not trusted"},
		{"changed", append(append([]string{changed}, mine...), by...), statusRefused, "changed"},
		{"no key", append([]string{signed}, by...), statusUsage, "--key"},
		{"a key that others can read", append([]string{signed, "--cert", vectors + "recipient.pem", "--key", vectors + "recipient.key"}, by...), statusError, "chmod 600"},
		{"another recipient", append([]string{signed, "--cert", vectors + "stranger.pem", "--key", private}, by...), statusRefused, "other recipients"},
		{"in the clear", []string{plain, "--content", "three"}, statusDone, "3 keys of three"},
		{"without a content", []string{plain}, statusUsage, "--content"},
		{"a request", []string{asks}, statusRefused, "does not have it"},
	} {
		var said bytes.Buffer
		env := &Env{Stdout: &said, Stderr: &said, Now: func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }} // when the vectors' certificates are valid
		code := Main(t.Context(), append(append([]string{"adapt", "keys"}, tc.args...), "--to", to, "--out", filepath.Join(dir, tc.name+".lkd")), env)
		if code != tc.status || !strings.Contains(said.String(), tc.words) {
			t.Errorf("%s: status %d\n%s", tc.name, code, &said)
		}
		if strings.Contains(said.String(), "AAECAw") || strings.Contains(said.String(), "00010203") {
			t.Errorf("%s: a key is printed", tc.name)
		}
	}
	sealed, err := os.ReadFile(filepath.Join(dir, "signed.lkd"))
	if err != nil {
		t.Fatal(err)
	}
	kx, err := key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	d, err := content.OpenKeys(ecdh.KeyExchanger(kx), der, sealed)
	if err != nil || len(d.Keys) != 1 || d.Content != "film-1" || d.Keys[0].Tier != content.SD {
		t.Fatalf("%+v, %v", d, err)
	}
	if raw, err := d.Keys[0].Key.Reveal(); err != nil || raw != [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} {
		t.Errorf("another key arrived: %v", err)
	}
}
