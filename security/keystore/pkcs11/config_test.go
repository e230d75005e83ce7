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

// TestKeystore_PKCS11WorkedExample makes the file of docs/spec/keystore.md, and
// reads it.
func TestKeystore_PKCS11WorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/keystore.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "## Worked example of a token")
	if !ok {
		t.Fatal("the page has no such section")
	}
	want := strings.Join(strings.Fields(strings.TrimPrefix(strings.Split(rest, "```")[1], "hex")), "")
	f := &file{Version: 1, Token: "house", Serial: "0042", ID: bytes.Repeat([]byte{9}, idLen)}
	for at, scalar := range map[*[]byte]byte{&f.Identity: 2, &f.Delivery: 3} {
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{scalar}, 32))
		if err != nil {
			t.Fatal(err)
		}
		if *at, err = key.PublicKey.Bytes(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := f.marshal()
	if err != nil || hex.EncodeToString(data) != want {
		t.Fatalf("the file is %x (%v), the page has %s", data, err, want)
	}
	got, err := parse(data)
	if err != nil || got.Token != f.Token || got.Serial != f.Serial || !bytes.Equal(got.ID, f.ID) || !bytes.Equal(got.Identity, f.Identity) || !bytes.Equal(got.Delivery, f.Delivery) {
		t.Errorf("reads as %+v, %v", got, err)
	}
	for i := range data {
		if _, err := parse(data[:i]); !errors.Is(err, keystore.ErrDamaged) {
			t.Errorf("%d bytes: %v, want ErrDamaged", i, err)
		}
	}
}

// FuzzKeyFile: what is read is what would be written.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parse(data)
		if err != nil {
			if !errors.Is(err, keystore.ErrDamaged) {
				t.Errorf("%v, want ErrDamaged", err)
			}
			return
		}
		if again, err := got.marshal(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x reads as %x, %v", data, again, err)
		}
	})
}
