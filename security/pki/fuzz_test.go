package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
)

// example reads the certificates of the worked example: leaf, class CA, manufacturer CA, root, delivery.
func example(tb testing.TB) [][]byte {
	tb.Helper()
	rest, err := os.ReadFile("testdata/example.pem")
	if err != nil {
		tb.Fatal(err)
	}
	var out [][]byte
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out
		}
		out = append(out, b.Bytes)
	}
}

// FuzzVerify: whatever a chain is, Verify does not panic, rejections name a
// rule, and a Peer is exactly the chain that was shown.
func FuzzVerify(f *testing.F) {
	ex := example(f)
	trust, err := pki.NewTrustStore(ex[3])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ex[0], ex[1], ex[2], int64(1772366400))
	f.Add(ex[4], ex[1], ex[2], int64(1772366400))
	f.Add(ex[0], ex[2], []byte{}, int64(0))
	f.Fuzz(func(t *testing.T, a, b, c []byte, now int64) {
		chain := slices.DeleteFunc([][]byte{a, b, c}, func(d []byte) bool { return len(d) == 0 })
		v := &pki.Verifier{Trust: trust}
		peer, err := v.Verify(chain, time.Unix(now, 0))
		if err != nil {
			if pki.RuleOf(err) == "" || peer != nil {
				t.Fatalf("rejected without a rule: %v", err)
			}
			return
		}
		if !slices.EqualFunc(peer.Chain(), chain, slices.Equal) || !peer.Verified() {
			t.Fatal("another chain")
		}
		// Only the example's own leaf can have been signed by its class CA.
		if !peer.Public().Equal(keyOf(t, ex[0])) {
			t.Fatal("accepted a key that the authority did not certify")
		}
	})
}

func keyOf(t *testing.T, der []byte) *ecdsa.PublicKey {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		t.Fatal("not an ECDSA key")
	}
	return key
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		if pub, err := pki.ParseRequest(der); err == nil && pub.Curve != elliptic.P256() {
			t.Fatal("not P-256")
		}
		m, err := pki.ModuleOf(der)
		if _, err2 := pki.ParseRequest(der); (err == nil) != (err2 == nil) {
			t.Fatal("one reader takes it, the other does not")
		}
		if m != nil && (len(m.Implementation) < 1 || len(m.Implementation) > pki.MaxImplementation) {
			t.Fatal("a module without a name")
		}
	})
}
