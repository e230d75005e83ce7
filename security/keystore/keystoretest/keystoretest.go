// Package keystoretest implements the conformance suite of the keystore
// contract: every backend passes it.
//
// It is for tests only. It tests the contract of package keystore, not a
// backend's own files or tokens. The promise: a backend that passes can stand
// behind a module without the module noticing which it is.
package keystoretest

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore"
)

// Backend is what the suite tests.
type Backend struct {
	// Open returns the same keys each time it is called with the same t, and
	// other keys for another t. Required.
	Open func(t *testing.T) keystore.Keystore
	// Restart takes the power from the token or TPM and gives it back. What
	// Open gave before is of no use any more. Nil where there is no hardware.
	Restart func(t *testing.T)
	// Remove takes the token or TPM away, under an open keystore. Nil as above.
	Remove func(t *testing.T)
	// Export tries each way there is, beside the contract, to get a private or
	// the seal key of k out of the hardware, and says what came of each. Nil as above.
	Export func(t *testing.T, k keystore.Keystore) map[string]error
	// WrongPIN opens the keys of t with a wrong PIN. Nil where there is no PIN.
	WrongPIN func(t *testing.T) error
}

// Run tests a backend.
func Run(t *testing.T, b Backend) {
	t.Helper()
	for _, tc := range []struct {
		name string
		test func(*testing.T, func(*testing.T) keystore.Keystore)
	}{
		{"Signer", testSigner},
		{"KeyExchanger", testKeyExchanger},
		{"HPKE", testHPKE},
		{"KeysDiffer", testKeysDiffer},
		{"Roles", testRoles},
		{"Seal", testSeal},
		{"SealIsOfOneKeystore", testSealOther},
		{"Reopen", testReopen},
		{"PrintsNoKey", testPrints},
		{"NothingElseComesOut", testMethods},
		{"Concurrent", testConcurrent},
		{"Level", testLevel},
		{"Anchor", testAnchor},
		{"Clock", testClock},
		{"NonExportable", b.testExport},
		{"Restart", b.testRestart},
		{"Gone", b.testGone},
		{"WrongPIN", b.testPIN},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, b.Open) })
	}
}

func signer(t *testing.T, k keystore.Keystore, role keystore.Role) (crypto.Signer, *ecdsa.PublicKey) {
	t.Helper()
	s, err := k.Signer(role)
	if err != nil {
		t.Fatalf("Signer(%v): %v", role, err)
	}
	pub, ok := s.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		t.Fatalf("Signer(%v).Public() = %T, want a P-256 key", role, s.Public())
	}
	return s, pub
}

func testSigner(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	for _, role := range []keystore.Role{keystore.Identity, keystore.Delivery} {
		s, pub := signer(t, k, role)
		digest := sha256.Sum256([]byte(role.String()))
		for i := range 40 { // short r or s, about one in 128, must not be padded wrongly
			digest = sha256.Sum256(digest[:])
			der, err := s.Sign(nil, digest[:], crypto.SHA256)
			if err != nil {
				t.Fatalf("sign %d: %v", i, err)
			}
			if !ecdsa.VerifyASN1(pub, digest[:], der) {
				t.Fatalf("sign %d: the signature %x does not hold", i, der)
			}
			digest[0] ^= 1
			if ecdsa.VerifyASN1(pub, digest[:], der) {
				t.Fatal("a signature holds for another digest")
			}
		}
		raw, err := wire.SignRaw(s, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.VerifyRaw(pub, []byte("message"), raw); err != nil {
			t.Error(err)
		}
		if _, err := s.Sign(nil, digest[:20], crypto.SHA256); err == nil {
			t.Error("a digest of 20 bytes was signed as SHA-256")
		}
		if _, err := s.Sign(nil, digest[:], crypto.SHA512); err == nil {
			t.Error("a SHA-512 digest was signed")
		}
		if _, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, s); err != nil {
			t.Errorf("certificate request as %v: %v", role, err)
		}
	}
}

func testKeyExchanger(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	own, err := k.KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	if own.Curve() != ecdh.P256() || own.PublicKey().Curve() != ecdh.P256() {
		t.Fatal("the delivery key is not of P-256")
	}
	for range 20 { // a leading zero byte of x, one in 256, must stay
		peer, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		want, err := peer.ECDH(own.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		got, err := own.ECDH(peer.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the two sides agree on different secrets")
		}
	}
	for i := 0; ; i++ { // find a secret that starts with a zero byte: it has 32 bytes all the same
		peer, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := peer.ECDH(own.PublicKey()); err == nil && want[0] == 0 {
			if got, err := own.ECDH(peer.PublicKey()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("ECDH with a leading zero = %d bytes, %v", len(got), err)
			}
			return
		}
		if i > 1<<14 {
			t.Fatal("no secret with a leading zero in 16,384 tries")
		}
	}
}

func testKeysDiffer(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	_, identity := signer(t, k, keystore.Identity)
	_, delivery := signer(t, k, keystore.Delivery)
	if identity.Equal(delivery) {
		t.Error("identity and delivery are one key")
	}
	own, err := k.KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	if pub, err := delivery.ECDH(); err != nil || !own.PublicKey().Equal(pub) {
		t.Errorf("the delivery key's signer and key exchanger differ: %v", err)
	}
	t.Run("Other", func(t *testing.T) {
		if _, pub := signer(t, open(t), keystore.Identity); pub.Equal(identity) {
			t.Error("two keystores have one identity")
		}
	})
}

func testRoles(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	if _, err := k.KeyExchanger(keystore.Identity); !errors.Is(err, keystore.ErrRole) {
		t.Errorf("KeyExchanger(Identity) = %v, want ErrRole", err)
	}
	for _, role := range []keystore.Role{0, 3, 255} {
		if _, err := k.Signer(role); !errors.Is(err, keystore.ErrRole) {
			t.Errorf("Signer(%d) = %v, want ErrRole", role, err)
		}
	}
}

func testSeal(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	for _, data := range [][]byte{{}, []byte("a key"), bytes.Repeat([]byte{7}, keystore.MaxSealed)} {
		sealed, err := k.Seal(data, []byte("use"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Unseal(sealed, []byte("use")); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("Unseal of %d bytes: %v", len(data), err)
		}
		if len(data) > 4 && bytes.Contains(sealed, data[:5]) {
			t.Error("sealed data shows the data")
		}
	}
	if _, err := k.Seal(make([]byte, keystore.MaxSealed+1), nil); err == nil {
		t.Error("more than MaxSealed bytes were sealed")
	}
	a, errA := k.Seal([]byte("x"), nil)
	b, errB := k.Seal([]byte("x"), nil)
	if errA != nil || errB != nil || bytes.Equal(a, b) {
		t.Fatalf("two seals of the same are equal, or failed: %v %v", errA, errB)
	}
	for i := range a {
		bad := bytes.Clone(a)
		bad[i] ^= 0x10
		if _, err := k.Unseal(bad, nil); !errors.Is(err, keystore.ErrUnseal) {
			t.Fatalf("byte %d changed: %v, want ErrUnseal", i, err)
		}
	}
	for _, n := range []int{0, 1, len(a) / 2, len(a) - 1} {
		if _, err := k.Unseal(a[:n], nil); !errors.Is(err, keystore.ErrUnseal) {
			t.Errorf("first %d bytes: %v, want ErrUnseal", n, err)
		}
	}
	if _, err := k.Unseal(a, []byte("other")); !errors.Is(err, keystore.ErrUnseal) {
		t.Errorf("other additional data: %v, want ErrUnseal", err)
	}
}

func testSealOther(t *testing.T, open func(*testing.T) keystore.Keystore) {
	sealed, err := open(t).Seal([]byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Other", func(t *testing.T) {
		if _, err := open(t).Unseal(sealed, nil); !errors.Is(err, keystore.ErrUnseal) {
			t.Errorf("another keystore's Unseal: %v, want ErrUnseal", err)
		}
	})
}

func testReopen(t *testing.T, open func(*testing.T) keystore.Keystore) {
	first := open(t)
	sealed, err := first.Seal([]byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	second := open(t)
	for _, role := range []keystore.Role{keystore.Identity, keystore.Delivery} {
		_, a := signer(t, first, role)
		if _, b := signer(t, second, role); !a.Equal(b) {
			t.Errorf("%v changed by reopening", role)
		}
	}
	if got, err := second.Unseal(sealed, nil); err != nil || string(got) != "x" {
		t.Errorf("Unseal after reopening: %v", err)
	}
}

// testPrints looks for what a careless log line or encoder would leak.
func testPrints(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	s, _ := signer(t, k, keystore.Identity)
	e, err := k.KeyExchanger(keystore.Delivery)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{k, s, e} {
		switch v.(type) {
		case *ecdsa.PrivateKey, *ecdh.PrivateKey:
			t.Errorf("%T hands out the private key", v)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
			if out := fmt.Sprintf(verb, v); len(out) > 100 || strings.Contains(out, "big.Int") {
				t.Errorf("Sprintf(%q, %T) prints %d bytes", verb, v, len(out))
			}
		}
		if out, err := json.Marshal(v); err == nil && len(out) > 100 {
			t.Errorf("json.Marshal(%T) gives %d bytes", v, len(out))
		}
	}
}

func testLevel(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	if l := k.Level(); l < 1 || l > 3 {
		t.Errorf("Level() = %d, want 1 to 3", l)
	}
	if r, ok := k.(keystore.Rated); ok {
		if a := r.AnchorLevel(); a > 2 || a > 0 && !anchored(k) {
			t.Errorf("AnchorLevel() = %d, register %v", a, anchored(k))
		}
	}
}

// testAnchor holds for backends that have an anchor; one that has none has
// nothing to show, and its certificates say so.
func testAnchor(t *testing.T, open func(*testing.T) keystore.Keystore) {
	k := open(t)
	_, extends := k.(keystore.Anchorer)
	_, counts := k.(keystore.Counter)
	if extends {
		RunAnchorer(t, func(t *testing.T) keystore.Anchorer { return ability[keystore.Anchorer](t, open(t)) })
	}
	if counts {
		RunCounter(t, func(t *testing.T) keystore.Counter { return ability[keystore.Counter](t, open(t)) })
	}
	if !extends && !counts {
		t.Log("this backend has no anchor")
	}
}

func ability[A any](t *testing.T, k keystore.Keystore) A {
	t.Helper()
	a, ok := k.(A)
	if !ok {
		t.Fatalf("%T is gone after reopening", a)
	}
	return a
}

// RunAnchorer tests a register that is extended. open opens the same one each
// time; what it gave before is not used any more.
func RunAnchorer(t *testing.T, open func(t *testing.T) keystore.Anchorer) {
	t.Helper()
	r := open(t)
	want := anchor(t, r)
	for i := range 6 {
		h := sha256.Sum256([]byte{byte(i)})
		if err := r.Extend(h); err != nil {
			t.Fatal(err)
		}
		want = sha256.Sum256(append(want[:], h[:]...))
		if i%2 == 1 {
			r = open(t) // what returned is durable
		}
		if got := anchor(t, r); got != want {
			t.Fatalf("after %d steps: %x, want SHA-256(old ‖ h) = %x", i+1, got, want)
		}
	}
}

func anchor(t *testing.T, r keystore.Anchorer) [32]byte {
	t.Helper()
	v, err := r.Anchor()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// RunCounter tests a register that counts. open opens the same one each time;
// what it gave before is not used any more.
func RunCounter(t *testing.T, open func(t *testing.T) keystore.Counter) {
	t.Helper()
	r := open(t)
	want := count(t, r)
	for i := range 300 { // past a byte
		if err := r.Increment(); err != nil {
			t.Fatal(err)
		}
		want++
		if i%100 == 99 {
			r = open(t)
		}
		if got := count(t, r); got != want {
			t.Fatalf("after %d steps: %d, want %d", i+1, got, want)
		}
	}
}

func count(t *testing.T, r keystore.Counter) uint64 {
	t.Helper()
	n, err := r.Count()
	if err != nil {
		t.Fatal(err)
	}
	return n
}
