//go:build pkcs11 && cgo

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/keystore/keystoretest"
	"github.com/lares-drm/lares/security/pki/authority"
)

// TestPKI_4_CAKeysInPKCS11 holds a ceremony in a token.
func TestPKI_4_CAKeysInPKCS11(t *testing.T) {
	c, token := newCATest(t), keystoretest.NewToken(t)
	pin := filepath.Join(t.TempDir(), "pin")
	c.pin(pin, token.PIN)
	c.ceremonyIn(authority.KeyPlace{Kind: authority.PlacePKCS11, Module: token.Module, Token: token.Label, PINFile: pin})
	c.works()
	c.noKeyFiles(10)
	c.pin(pin, "wrong")
	c.refuses("does not take this PIN", "put the right PIN into "+pin)
	c.pin(pin, token.PIN)
	if err := os.Rename(token.Dir, token.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	c.refuses("the token or TPM is gone", "connect the token")
	if err := os.Rename(token.Dir+".away", token.Dir); err != nil {
		t.Fatal(err)
	}
	c.forget(token)
	c.refuses("has 0 of its keys", "connect the token that has the key")
}

// forget destroys the keys of a token.
func (c *caTest) forget(token *keystoretest.Token) {
	c.Helper()
	all, err := filepath.Glob(filepath.Join(token.Dir, "*", "*"))
	if err != nil {
		c.Fatal(err)
	}
	n := 0
	for _, name := range all {
		if base := filepath.Base(name); strings.HasSuffix(base, ".object") && base != "token.object" {
			n++
			if err := os.Remove(name); err != nil {
				c.Fatal(err)
			}
		}
	}
	if n != 20 { // key pairs
		c.Errorf("%d objects in the token, want 20", n)
	}
}
