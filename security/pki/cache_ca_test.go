package pki_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

// standing is a revocation state in which one member's standing changes.
type standing struct {
	at  pki.Member
	err error
}

func (s *standing) Check(class pki.Class, index, _ uint32) error {
	if s.at == (pki.Member{Class: class, Index: index}) {
		return s.err
	}
	return nil
}

func (*standing) Epoch() pki.Epoch { return pki.Epoch{Number: 7} }

// TestPKI_2_KnownCAsAreJudgedAnew: of CAs that were met, only the signatures are
// known. Time and standing are those of now, in the same epoch too.
func TestPKI_2_KnownCAsAreJudgedAnew(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	st := &standing{}
	v := &pki.Verifier{Trust: d.Trust, Status: st, Cache: pki.NewCache(0)}
	if _, err := v.Verify(d.Party(pki.Device).Chain, d.Now); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		err  error
		want pki.Rule
	}{
		{pki.ErrRevoked, pki.RuleRevoked},
		{pki.ErrClassRevoked, pki.RuleClass},
		{pki.ErrSuspended, pki.RuleSuspended},
		{pki.ErrSVN, pki.RuleSVN},
		{nil, ""},
	} {
		dev := d.Party(pki.Device)
		for i, m := range d.Peer(dev).Members() { // device, class CA, manufacturer CA, root
			if tc.err == nil && i > 0 {
				break
			}
			*st = standing{m, tc.err}
			_, err := v.Verify(dev.Chain, d.Now)
			if pki.RuleOf(err) != tc.want || (err == nil) != (tc.err == nil) {
				t.Errorf("member %d: %v, want rule %q", i, err, tc.want)
			}
		}
	}
	*st = standing{}
	if _, err := v.Verify(d.Party(pki.Device).Chain, d.Now.Add(-2*time.Hour)); pki.RuleOf(err) != pki.RuleValidity {
		t.Errorf("before its CAs were issued: %v", err)
	}
}

// TestPKI_2_KnownCAsAreTheirBytes: CAs are known by what they are, not by what
// they are called, and under the trust store that they were checked under.
func TestPKI_2_KnownCAsAreTheirBytes(t *testing.T) {
	d, other := pkitest.New(t, pkitest.Start()), pkitest.New(t, pkitest.Start())
	v := &pki.Verifier{Trust: d.Trust, Cache: pki.NewCache(0)}
	met, dev := d.Party(pki.Device), d.Party(pki.Device)
	if _, err := v.Verify(met.Chain, d.Now); err != nil {
		t.Fatal(err)
	}
	rule := func(name string, want pki.Rule, chain ...[]byte) {
		t.Helper()
		if _, err := v.Verify(chain, d.Now); pki.RuleOf(err) != want || (want == "") != (err == nil) {
			t.Errorf("%s: %v, want rule %q", name, err, want)
		}
	}
	flipped := slices.Clone(dev.Chain[1])
	flipped[len(flipped)-1] ^= 1
	rule("a CA whose signature does not hold", pki.RuleSignature, dev.Leaf(), flipped, dev.Chain[2])
	flipped = slices.Clone(dev.Leaf())
	flipped[len(flipped)-1] ^= 1
	rule("a leaf whose signature does not hold", pki.RuleSignature, flipped, dev.Chain[1], dev.Chain[2])
	stranger := other.Party(pki.Device) // of CAs with the same names
	rule("a stranger's leaf below known CAs", pki.RuleSignature, stranger.Leaf(), dev.Chain[1], dev.Chain[2])
	rule("known CAs in another order", pki.RuleTrust, dev.Leaf(), dev.Chain[2], dev.Chain[1])
	rule("one of two known CAs", pki.RuleTrust, dev.Leaf(), dev.Chain[1])
	rule("the known ones", "", dev.Chain...)
	// A root with the same name and another key: nothing of the first counts.
	v.Trust = other.Trust
	rule("under another root", pki.RuleTrust, d.Party(pki.Device).Chain...)
	v.Trust = d.Trust
	rule("and back", "", d.Party(pki.Device).Chain...)
}

// TestPKI_2_RootsOfOneName: the root right above a leaf is the one that issued it,
// whichever root was met before.
func TestPKI_2_RootsOfOneName(t *testing.T) {
	a, b := pkitest.New(t, pkitest.Start()), pkitest.New(t, pkitest.Start())
	both, err := pki.NewTrustStore(a.Root, b.Root)
	if err != nil {
		t.Fatal(err)
	}
	v := &pki.Verifier{Trust: both, Cache: pki.NewCache(0)}
	for range 2 {
		for _, d := range []*pkitest.Domain{a, b} {
			for _, role := range []pki.Role{pki.StateSigner, pki.Device} {
				if _, err := v.Verify(d.Party(role).Chain, d.Now); err != nil {
					t.Errorf("%v: %v", role, err)
				}
			}
		}
	}
}

// TestPKI_2_CacheCannotBeFilled: what is refused leaves nothing behind, many
// devices leave nothing of CAs, and CAs have a bound.
func TestPKI_2_CacheCannotBeFilled(t *testing.T) {
	d, other := pkitest.New(t, pkitest.Start()), pkitest.New(t, pkitest.Start())
	v := &pki.Verifier{Trust: d.Trust, Cache: pki.NewCache(4)}
	for range 10 {
		flipped := slices.Clone(d.Party(pki.Device).Leaf())
		flipped[len(flipped)-1] ^= 1
		for _, chain := range [][][]byte{other.Party(pki.Device).Chain, append([][]byte{flipped}, d.CAs[pkitest.Devices].Chain...)} {
			if _, err := v.Verify(chain, d.Now); err == nil {
				t.Fatal("accepted")
			}
		}
	}
	if v.Cache.Len() != 0 || v.Cache.CAs() != 0 {
		t.Errorf("%d chains and %d CAs of parties that were refused", v.Cache.Len(), v.Cache.CAs())
	}
	for range 10 {
		if _, err := v.Verify(d.Party(pki.Device).Chain, d.Now); err != nil {
			t.Fatal(err)
		}
	}
	if v.Cache.Len() != 4 || v.Cache.CAs() != 1 {
		t.Errorf("%d chains and %d CAs of ten devices, want 4 and 1", v.Cache.Len(), v.Cache.CAs())
	}
	for i := range 140 { // device classes of one maker
		class := pkitest.SecondDevices + 1 + pki.Class(i)
		d.CA(pkitest.Manufacturer, fmt.Sprint("Class ", i), pki.Device, 0, class, class)
		dev := d.Party(pki.Device, func(p *pki.Profile) { p.Member.Class = class })
		if _, err := v.Verify(dev.Chain, d.Now); err != nil {
			t.Fatal(err)
		}
	}
	if v.Cache.Len() != 4 || v.Cache.CAs() != 128 {
		t.Errorf("%d chains and %d CAs, want 4 and 128", v.Cache.Len(), v.Cache.CAs())
	}
}

// TestPKI_2_KnownCAsSaveTheirSignatures: what it is for.
func TestPKI_2_KnownCAsSaveTheirSignatures(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	parties := []*pkitest.Party{d.Party(pki.Device), d.Party(pki.Device)}
	cost := func(cache *pki.Cache) float64 {
		v, i := &pki.Verifier{Trust: d.Trust, Cache: cache}, 0
		return testing.AllocsPerRun(20, func() {
			i++
			if _, err := v.Verify(parties[i%2].Chain, d.Now); err != nil {
				t.Error(err)
			}
		})
	}
	if known, unknown := cost(pki.NewCache(1)), cost(nil); known > unknown/6 {
		t.Errorf("%v allocations for a new device below known CAs, %v below unknown ones", known, unknown)
	}
}

// TestPKI_2_NamesAreForX509: a CA that constrains names is not known, so what is
// below it goes through crypto/x509 each time.
func TestPKI_2_NamesAreForX509(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dev := d.Party(pki.Device)
	v := &pki.Verifier{Trust: d.Trust, Cache: pki.NewCache(0)}
	narrow := forge(t, d.CAs[pkitest.Manufacturer], dev.Chain[1], func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.org"} })
	if _, err := v.Verify([][]byte{dev.Leaf(), narrow, dev.Chain[2]}, d.Now); err != nil {
		t.Fatal(err)
	}
	if v.Cache.Len() != 1 || v.Cache.CAs() != 0 {
		t.Errorf("%d chains and %d CAs, want 1 and 0", v.Cache.Len(), v.Cache.CAs())
	}
	named := forge(t, d.CAs[pkitest.Devices], dev.Leaf(), func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} })
	if _, err := v.Verify([][]byte{named, narrow, dev.Chain[2]}, d.Now); err == nil {
		t.Error("accepted under a name that its CA may not give")
	}
}

// TestPKI_2_OddLeafBelowKnownCAs: what is not of the usual form, and a leaf that
// bears its CA's name, gets the same answer below CAs that are known.
func TestPKI_2_OddLeafBelowKnownCAs(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dev := d.Party(pki.Device)
	ca, err := x509.ParseCertificate(dev.Chain[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range []func(*x509.Certificate){
		func(c *x509.Certificate) { c.Subject, c.RawSubject = ca.Subject, nil },
		func(c *x509.Certificate) { c.Subject, c.RawSubject, c.PublicKey = ca.Subject, nil, ca.PublicKey },
		func(c *x509.Certificate) { c.Subject, c.RawSubject = pkix.Name{CommonName: "Grüße"}, nil },
		func(c *x509.Certificate) {
			c.Subject, c.RawSubject = pkix.Name{CommonName: "a", Organization: []string{"b"}}, nil
		},
		func(c *x509.Certificate) { c.AuthorityKeyId = []byte{1} },
		func(c *x509.Certificate) { c.NotBefore = d.Now.AddDate(-100, 0, 0) },
		func(c *x509.Certificate) {
			setExtension(c, asn1.ObjectIdentifier{2, 5, 29, 30}, []byte{0x30, 0}, false)
		},
	} {
		_, _ = verify(t, d, dev, append([][]byte{forge(t, d.CAs[pkitest.Devices], dev.Leaf(), edit)}, dev.Chain[1:]...), d.Now)
	}
}
