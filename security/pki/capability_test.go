package pki_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// TestPKI_1_SLTPExtension: a certificate says which suites its party has; one
// that says nothing is of a party that must be dealt with by Diffie-Hellman.
func TestPKI_1_SLTPExtension(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	for _, tc := range []struct {
		name   string
		sltp   *pki.SLTP
		suites []int
		dh     bool
	}{
		{"nothing said", nil, nil, true},
		{"three suites", &pki.SLTP{Suites: []int{-22, 2, 3}}, []int{-22, 2, 3}, true},
		{"no Diffie-Hellman", &pki.SLTP{}, nil, false},
	} {
		p := d.Party(pki.Device, func(p *pki.Profile) { p.SLTP = tc.sltp })
		peer := d.Peer(p)
		if got := peer.Suites(); !slices.Equal(got, tc.suites) || peer.DiffieHellman() != tc.dh {
			t.Errorf("%s: suites %v, Diffie-Hellman %v", tc.name, got, peer.DiffieHellman())
		}
	}
	if !(*pki.Peer)(nil).DiffieHellman() || (&pki.Peer{}).Suites() != nil {
		t.Error("no peer may be dealt with by RSA")
	}
	for _, bad := range [][]int{{3, 2}, {2, 2}, {1 << 20}, make([]int, 17)} {
		if _, err := pki.Issue(d.CAs[pkitest.Devices], device(func(p *pki.Profile) { p.SLTP = &pki.SLTP{Suites: bad} }), d.Key().Public(), d.Now); !errors.Is(err, pki.ErrProfile) {
			t.Errorf("suites %v: %v", bad, err)
		}
	}
	// The page's example of the extension.
	der := d.Party(pki.Device, func(p *pki.Profile) { p.SLTP = &pki.SLTP{Suites: []int{-22, 2, 3}} }).Leaf()
	if !bytes.Contains(der, pageHex(t, "SLTP extension")) {
		t.Error("the page shows another extension")
	}
}

func TestPKI_1_RSAKeyIsTheDevices(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	a, b := d.Party(pki.Device), d.Party(pki.Device)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := d.RSA(a, &key.PublicKey)
	v := &pki.Verifier{Trust: d.Trust}
	if pub, err := v.VerifyRSA(d.Peer(a), der, d.Now); err != nil || !pub.Equal(&key.PublicKey) {
		t.Errorf("its own: %v", err)
	}
	for name, tc := range map[string]struct {
		peer *pki.Peer
		leaf []byte
		rule pki.Rule
	}{
		"another device's":        {d.Peer(b), der, pki.RuleSame},
		"the delivery key":        {d.Peer(a), a.DelLeaf, pki.RuleKind},
		"the signing certificate": {d.Peer(a), a.Leaf(), pki.RuleKind},
	} {
		if _, err := v.VerifyRSA(tc.peer, tc.leaf, d.Now); pki.RuleOf(err) != tc.rule {
			t.Errorf("%s: %v, want %q", name, err, tc.rule)
		}
	}
	if _, err := v.VerifyRSA(&pki.Peer{}, der, d.Now); !errors.Is(err, pki.ErrNotVerified) {
		t.Errorf("no peer: %v", err)
	}
	if _, err := v.Verify(append([][]byte{der}, a.Chain[1:]...), d.Now); pki.RuleOf(err) != pki.RuleKind {
		t.Errorf("as an identity: %v", err)
	}
	if _, err := v.VerifyDelivery(d.Peer(a), der, d.Now); pki.RuleOf(err) != pki.RuleKind {
		t.Errorf("as a delivery key: %v", err)
	}
}

func TestPKI_1_RSASizes(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other := odd.PublicKey
	other.E = 3
	for name, tc := range map[string]struct {
		kind pki.KeyKind
		pub  any
	}{
		"1,024 bits": {pki.KindRSA, &small.PublicKey}, "exponent 3": {pki.KindRSA, &other},
		"P-256 as RSA": {pki.KindRSA, d.Key().Public()}, "RSA as P-256": {pki.KindECDH, &odd.PublicKey},
	} {
		if _, err := pki.Issue(d.CAs[pkitest.Devices], device(func(p *pki.Profile) { p.Kind = tc.kind }), tc.pub, d.Now); !errors.Is(err, pki.ErrProfile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
