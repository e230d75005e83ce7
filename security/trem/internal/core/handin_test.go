package core

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// TestCopies_Spec4_WorkedExample: the page and the code make the same bytes.
func TestCopies_Spec4_WorkedExample(t *testing.T) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := wire.Marshal(handedIn{Issuer: "library.example", License: ident.License(bytes.Repeat([]byte{1}, 16)), At: 1803859200000})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.NewSign1(key, []byte("certificate"), objectHandedIn, payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../../docs/spec/copies.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```hex handed-in\n(.*?)```").FindSubmatch(text)
	if m == nil || strings.Join(strings.Fields(string(m[1])), "") != hex.EncodeToString(got) {
		t.Errorf("the page says otherwise than the code: %x", got)
	}
}
