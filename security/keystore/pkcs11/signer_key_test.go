package pkcs11

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
)

// FuzzSignerKey: what is read is what would be written.
func FuzzSignerKey(f *testing.F) {
	f.Add([]byte(signerMagic))
	f.Add([]byte(signerMagic + "\x84\x60\x60\x40\x40"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseSigner(data)
		if err != nil {
			if !errors.Is(err, keystore.ErrDamaged) {
				t.Errorf("%v, want ErrDamaged", err)
			}
			return
		}
		if again, err := k.marshal(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x reads as %x, %v", data, again, err)
		}
	})
}

// TestKeystore_PKCS11SignerWorkedExample makes the key of docs/spec/ceremony.md.
func TestKeystore_PKCS11SignerWorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/ceremony.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```hex reference\n")
	text, _, _ := strings.Cut(rest, "```")
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	data, err := (&signerKey{Token: "roots", Serial: "0042", ID: bytes.Repeat([]byte{9}, idLen), Public: point}).marshal()
	if want := strings.Join(strings.Fields(text), ""); err != nil || !strings.HasSuffix(want, hex.EncodeToString(data)) {
		t.Errorf("%x (%v) is not in %s", data, err, want)
	}
	for n := range data {
		if _, err := parseSigner(data[:n]); !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%d bytes: %v, want ErrDamaged", n, err)
		}
	}
}
