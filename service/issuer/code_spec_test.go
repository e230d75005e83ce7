package issuer

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

func TestClaimCode_Spec2_WorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/claim-code.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), "### Worked example: a code")
	parts := strings.Split(after, "```")
	if !ok || len(parts) < 3 {
		t.Fatal("docs/spec/claim-code.md has no worked example")
	}
	k, err := NewClaimKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	var b BatchID
	for i := range b {
		b[i] = 1
	}
	mac := k.mac("lares/1/claim code", b[:], make([]byte, 8))
	c := k.code(b, 0)
	h := k.hash(c)
	want := "\nHMAC  " + hex.EncodeToString(mac[:]) + "\ncode  " + c.Grouped() + "\nhash  " + hex.EncodeToString(h[:]) + "\ngrant " + h.grantID().String() + "\n"
	if parts[1] != want {
		t.Errorf("the page has%s, this program%s", parts[1], want)
	}
}

// A claim key and what is made with it print nothing.
func TestClaimKey_Spec2_PrintsNothing(t *testing.T) {
	k, err := NewClaimKey([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.MarshalText(); err == nil {
		t.Error("a claim key was written")
	}
	if _, err := NewClaimKey(make([]byte, 31)); err == nil {
		t.Error("a claim key of 31 bytes")
	}
}
