package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

func device(edit func(*pki.Profile)) pki.Profile {
	p := pki.Profile{
		Name: "Device", Role: pki.Device, Member: pki.Member{Class: pkitest.Devices, Index: 7}, SVN: 2,
		Implementation: []byte("lares-trem"), Interfaces: pki.DecoderTREM,
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
	}
	edit(&p)
	return p
}

func TestPKI_1_LintRefusesBeforeTheCASigns(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	ca := *d.CAs[pkitest.Devices]
	counted := &countingSigner{Signer: ca.Signer}
	ca.Signer = counted
	manufacturer := *d.CAs[pkitest.Manufacturer]
	manufacturer.Signer = &countingSigner{Signer: manufacturer.Signer}
	classCA := func(edit func(*pki.Profile)) pki.Profile {
		p := pki.Profile{
			Name: "Class", Role: pki.Device, Member: pki.Member{Class: pkitest.Manufacturer, Index: 9},
			Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
			CA: &pki.CA{Range: pki.Range{First: 0x1003, Last: 0x1003}},
		}
		edit(&p)
		return p
	}
	for _, tc := range []struct {
		name string
		ca   *pki.Authority
		p    pki.Profile
		want pki.Rule
	}{
		{"class of another CA", &ca, device(func(p *pki.Profile) { p.Member.Class++ }), pki.RuleRange},
		{"expiring device", &ca, device(func(p *pki.Profile) { p.NotAfter = d.Now.AddDate(1, 0, 0) }), pki.RulePeriod},
		{"level not granted", &ca, device(func(p *pki.Profile) { p.Levels = []pki.Level{pki.SL3} }), pki.RuleLevel},
		{"no level", &ca, device(func(p *pki.Profile) { p.Levels = nil }), pki.RulePolicy},
		{"anchor not granted", &ca, device(func(p *pki.Profile) { p.Anchors = []pki.Anchor{pki.A2} }), pki.RuleAnchor},
		{"role of another CA", &ca, device(func(p *pki.Profile) {
			p.Role, p.Issuer, p.NotAfter = pki.HomeServer, "home", d.Now.AddDate(1, 0, 0)
		}), pki.RuleNesting},
		{"device with an issuer ID", &ca, device(func(p *pki.Profile) { p.Issuer = "shop" }), pki.RuleMember},
		{"long implementation ID", &ca, device(func(p *pki.Profile) { p.Implementation = make([]byte, 33) }), pki.RuleMember},
		{"CA below a class CA", &ca, classCA(func(p *pki.Profile) { p.Member.Class = pkitest.Devices }), pki.RuleRange},
		{"class outside the manufacturer's range", &manufacturer, classCA(func(p *pki.Profile) { p.CA.Range = pki.Range{First: 0x2000, Last: 0x2000} }), pki.RuleRange},
		{"path length as the parent's", &manufacturer, classCA(func(p *pki.Profile) { p.CA.PathLen = 1 }), pki.RulePathLength},
		{"CA that grants more", &manufacturer, classCA(func(p *pki.Profile) { p.Levels = []pki.Level{pki.SL1, pki.SL3} }), pki.RuleLevel},
		{"CA with suites", &manufacturer, classCA(func(p *pki.Profile) { p.SLTP = &pki.SLTP{Suites: []int{2}} }), pki.RuleSLTP},
		{"CA that expires", &manufacturer, classCA(func(p *pki.Profile) { p.NotAfter = d.Now.AddDate(9, 0, 0) }), pki.RulePeriod},
		{"device straight from the manufacturer", &manufacturer, device(func(p *pki.Profile) { p.Member.Class = pkitest.Manufacturer }), pki.RuleRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := pki.Issue(tc.ca, tc.p, d.Key().Public(), d.Now); pki.RuleOf(err) != tc.want {
				t.Errorf("got %v, want rule %q", err, tc.want)
			}
		})
	}
	if n := counted.n + manufacturer.Signer.(*countingSigner).n; n != 0 {
		t.Errorf("the CAs signed %d times", n)
	}
	if _, err := pki.Issue(&ca, device(func(*pki.Profile) {}), d.Key().Public(), d.Now); err != nil || counted.n != 1 {
		t.Errorf("good profile: %v, signed %d times", err, counted.n)
	}
}

// countingSigner counts how often its key signs.
type countingSigner struct {
	crypto.Signer
	n int
}

func (s *countingSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.n++
	return s.Signer.Sign(r, digest, opts)
}

func TestPKI_1_CertificateSaysWhatTheProfileSays(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	p := device(func(*pki.Profile) {})
	key := d.Key()
	ca := d.CAs[pkitest.Devices]
	der, err := pki.Issue(ca, p, key.Public(), d.Now)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := (&pki.Verifier{Trust: d.Trust}).Verify(append([][]byte{der}, ca.Chain...), d.Now, pki.Device)
	if err != nil {
		t.Fatal(err)
	}
	got := pki.Profile{
		Name: p.Name, Role: peer.Role(), Member: pki.Member{Class: peer.Class(), Index: peer.Index()}, SVN: peer.SVN(),
		Implementation: peer.Implementation(), Interfaces: peer.Interfaces(), Issuer: peer.Issuer(),
		Levels: []pki.Level{peer.Level()}, Anchors: []pki.Anchor{peer.Anchor()},
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Error(diff)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if want := "010000100100000007"; fmt.Sprintf("%018x", c.SerialNumber) != want {
		t.Errorf("serial number %x, want %s", c.SerialNumber, want)
	}
	if !c.NotBefore.Equal(d.Now.Add(-pki.Backdate)) || peer.ID() != ident.DeviceOf(c.RawSubjectPublicKeyInfo) {
		t.Errorf("from %v, ID %v", c.NotBefore, peer.ID())
	}
}

func TestPKI_1_KeyIdentifiersAreShort(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	var above []byte // identifier of the CA above
	chain := append(slices.Clone(d.Party(pki.Device).Chain), d.Root)
	for i, der := range slices.Backward(chain) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.AuthorityKeyId, above) {
			t.Errorf("certificate %d is under %x, want %x", i, c.AuthorityKeyId, above)
		}
		id := ident.DeviceOf(c.RawSubjectPublicKeyInfo)
		if want := id[:8]; i == 0 && c.SubjectKeyId != nil || i > 0 && !bytes.Equal(c.SubjectKeyId, want) {
			t.Errorf("certificate %d has the identifier %x", i, c.SubjectKeyId)
		}
		above = c.SubjectKeyId
	}
}

func TestPKI_1_OnlyP256(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Issue(d.CAs[pkitest.Devices], device(func(*pki.Profile) {}), p384.Public(), d.Now); !errors.Is(err, pki.ErrProfile) {
		t.Errorf("P-384: %v", err)
	}
	for _, key := range []*ecdsa.PrivateKey{p384, d.Key()} {
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := pki.ParseRequest(csr)
		if ok := key != p384; ok != (err == nil) || ok && !pub.Equal(key.Public()) {
			t.Errorf("request of %s: %v", key.Params().Name, err)
		}
		csr[len(csr)-1] ^= 1
		if _, err := pki.ParseRequest(csr); !errors.Is(err, pki.ErrRequest) {
			t.Errorf("request without possession: %v", err)
		}
	}
}

func TestPKI_2_EpochsCompareByGenerationFirst(t *testing.T) {
	for _, tc := range []struct {
		a, b pki.Epoch
		want int
	}{
		{pki.Epoch{Generation: 1, Number: 9}, pki.Epoch{Generation: 2, Number: 1}, -1},
		{pki.Epoch{Generation: 2, Number: 9}, pki.Epoch{Generation: 2, Number: 1}, 1},
		{pki.Epoch{Generation: 2, Number: 1}, pki.Epoch{Generation: 2, Number: 1}, 0},
	} {
		if got := tc.a.Compare(tc.b); got != tc.want {
			t.Errorf("%v against %v: %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
