package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
)

func TestPKI_1_EveryRoleVerifies(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	v := &pki.Verifier{Trust: d.Trust}
	for role := pki.ContentProvider; role <= pki.TimeSigner; role++ {
		t.Run(role.String(), func(t *testing.T) {
			p := d.Party(role)
			peer, err := v.Verify(p.Chain, d.Now, role)
			if err != nil {
				t.Fatal(err)
			}
			if peer.Role() != role || peer.Class() != p.Member.Class || peer.Index() != p.Member.Index || peer.Level() != pki.SL1 || peer.Anchor() != pki.A0 {
				t.Errorf("got %v %v/%d %v %v", peer.Role(), peer.Class(), peer.Index(), peer.Level(), peer.Anchor())
			}
			if !peer.Public().Equal(p.Key.Public()) || !bytes.Equal(peer.Leaf(), p.Leaf()) || len(peer.Members()) != len(p.Chain)+1 {
				t.Error("the peer is not the party")
			}
			if needs := role == pki.LicenseIssuer || role == pki.HomeServer; needs != (peer.Issuer() != "") {
				t.Errorf("issuer ID %q", peer.Issuer())
			}
			if never := role == pki.Device; never != peer.NotAfter().Equal(pki.Never()) {
				t.Errorf("ends %v", peer.NotAfter())
			}
			if p.DelLeaf == nil {
				return
			}
			pub, err := v.VerifyDelivery(peer, p.DelLeaf, d.Now)
			if err != nil || !pub.Equal(p.Delivery.Public()) {
				t.Errorf("delivery key: %v", err)
			}
		})
	}
}

func TestPKI_1_ZeroPeerIsRefused(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dev := d.Party(pki.Device)
	for _, p := range []*pki.Peer{nil, {}} {
		if p.Verified() || p.Public() != nil || p.Role() != 0 || p.Level() != 0 || p.Leaf() != nil || p.Chain() != nil || p.Members() != nil || p.Issuer() != "" {
			t.Errorf("%v says something", p)
		}
		if _, err := (&pki.Verifier{Trust: d.Trust}).VerifyDelivery(p, dev.DelLeaf, d.Now); err != pki.ErrNotVerified { //nolint:errorlint // the sentinel itself
			t.Errorf("delivery of no peer: %v", err)
		}
	}
}

// status is a revocation state with one answer for one member.
type status struct {
	at  pki.Member
	err error
	svn uint32
}

func (s status) Check(class pki.Class, index, svn uint32) error {
	if s.at == (pki.Member{Class: class, Index: index}) && svn <= s.svn {
		return fmt.Errorf("epoch 0.1: %w", s.err)
	}
	return nil
}

func (status) Epoch() pki.Epoch { return pki.Epoch{Number: 1} }

func TestPKI_2_StatusOfEveryCertificateCounts(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dev := d.Party(pki.Device, func(p *pki.Profile) { p.SVN = 3 })
	members := d.Peer(dev).Members() // device, class CA, manufacturer CA, root
	for _, tc := range []struct {
		err  error
		want pki.Rule
	}{
		{pki.ErrRevoked, pki.RuleRevoked},
		{pki.ErrClassRevoked, pki.RuleClass},
		{pki.ErrSuspended, pki.RuleSuspended},
		{pki.ErrRetired, pki.RuleRetired},
		{pki.ErrSVN, pki.RuleSVN},
		{pki.ErrNotIssued, pki.RuleIndex},
		{pki.ErrUnknownClass, pki.RuleUnknown},
		{fmt.Errorf("disk on fire"), pki.RuleUnavailable},
	} {
		for i, m := range members {
			v := &pki.Verifier{Trust: d.Trust, Status: status{m, tc.err, 3}}
			_, err := v.Verify(dev.Chain, d.Now, pki.Device)
			if got := pki.RuleOf(err); got != tc.want || !strings.Contains(err.Error(), fmt.Sprintf("certificate %d", i)) {
				t.Errorf("member %v: %v, want rule %q of certificate %d", m, err, tc.want, i)
			}
		}
	}
	// The certificate's SVN is what the state is asked about.
	v := &pki.Verifier{Trust: d.Trust, Status: status{members[0], pki.ErrSVN, 2}}
	if _, err := v.Verify(dev.Chain, d.Now); err != nil {
		t.Errorf("SVN 3 of at least 3: %v", err)
	}
	// A delivery key is refused when its device is.
	v.Status = status{members[0], pki.ErrRevoked, 3}
	if _, err := v.VerifyDelivery(d.Peer(dev), dev.DelLeaf, d.Now); pki.RuleOf(err) != pki.RuleRevoked {
		t.Errorf("delivery: %v", err)
	}
}

// forge signs a template with a real CA key, past the lint: what a broken or
// hostile CA could issue.
func forge(t *testing.T, ca *pki.Authority, like []byte, edit func(*x509.Certificate)) []byte {
	t.Helper()
	parent, err := x509.ParseCertificate(append(slices.Clone(ca.Chain), ca.Root)[0])
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := x509.ParseCertificate(like)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tmpl.Extensions { // what CreateCertificate cannot derive
		if len(e.Id) > 4 || e.Id[3] == 36 || e.Id[3] == 54 {
			tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, e)
		}
	}
	pub := tmpl.PublicKey
	edit(tmpl)
	if tmpl.PublicKey != nil {
		pub = tmpl.PublicKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, ca.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func setExtension(c *x509.Certificate, id asn1.ObjectIdentifier, value []byte, critical bool) {
	for i, e := range c.ExtraExtensions {
		if e.Id.Equal(id) {
			c.ExtraExtensions = append(c.ExtraExtensions[:i], c.ExtraExtensions[i+1:]...)
			break
		}
	}
	if value != nil {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Value: value, Critical: critical})
	}
}

func pen(arcs ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473}, arcs...)
}

func policy(t *testing.T, arcs ...uint64) x509.OID {
	t.Helper()
	id, err := x509.OIDFromInts(append([]uint64{1, 3, 6, 1, 4, 1, 32473}, arcs...))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// memberValue is the extension written by hand from docs/spec/certificates.md.
func memberValue(t *testing.T, class, index, svn int64) []byte {
	t.Helper()
	b, err := asn1.Marshal(struct{ V, Class, Index, SVN int64 }{1, class, index, svn})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verify checks a chain twice, the second time where another party under these CAs
// was met before: whoever was met, the answer is the same.
func verify(t *testing.T, d *pkitest.Domain, met *pkitest.Party, chain [][]byte, now time.Time, roles ...pki.Role) (*pki.Peer, error) {
	t.Helper()
	peer, err := (&pki.Verifier{Trust: d.Trust}).Verify(chain, now, roles...)
	v := &pki.Verifier{Trust: d.Trust, Cache: pki.NewCache(0)}
	if _, err := v.Verify(met.Chain, d.Now); err != nil {
		t.Fatal(err)
	}
	again, err2 := v.Verify(chain, now, roles...)
	if fmt.Sprint(err) != fmt.Sprint(err2) || peer.ID() != again.ID() || !slices.EqualFunc(peer.Chain(), again.Chain(), bytes.Equal) {
		t.Errorf("with its CAs known: %v; without: %v", err2, err)
	}
	return peer, err
}

func TestPKI_1_ForgedLeafIsRejectedByRule(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dev := d.Party(pki.Device)
	rsaLike, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		edit func(*x509.Certificate)
		want pki.Rule
	}{
		{"unchanged", func(*x509.Certificate) {}, ""},
		{"expired", func(c *x509.Certificate) { c.NotAfter = d.Now.Add(-time.Second) }, pki.RuleValidity},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = d.Now.Add(time.Second) }, pki.RuleValidity},
		{"device that expires", func(c *x509.Certificate) { c.NotAfter = d.Now.AddDate(1, 0, 0) }, pki.RulePeriod},
		{"role not nested", func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.NotAfter = []asn1.ObjectIdentifier{pen(1, 1)}, d.Now.AddDate(1, 0, 0)
		}, pki.RuleNesting},
		{"two roles", func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{pen(1, 4), pen(1, 3)} }, pki.RuleRole},
		{"no role", func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }, pki.RuleRole},
		{"foreign EKU", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, pki.RuleRole},
		{"unknown role", func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{pen(1, 7)} }, pki.RuleRole},
		{"signer role below a CA", func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{pen(1, 5)} }, pki.RuleChain},
		{"level not granted", func(c *x509.Certificate) { c.Policies = []x509.OID{policy(t, 2, 3), policy(t, 3, 0)} }, pki.RuleLevel},
		{"anchor not granted", func(c *x509.Certificate) { c.Policies = []x509.OID{policy(t, 2, 1), policy(t, 3, 2)} }, pki.RuleAnchor},
		{"two levels", func(c *x509.Certificate) {
			c.Policies = []x509.OID{policy(t, 2, 1), policy(t, 2, 2), policy(t, 3, 0)}
		}, pki.RulePolicy},
		{"no anchor", func(c *x509.Certificate) { c.Policies = []x509.OID{policy(t, 2, 1)} }, pki.RulePolicy},
		{"no policy", func(c *x509.Certificate) { c.Policies = nil }, pki.RulePolicy},
		{"foreign policy", func(c *x509.Certificate) { c.Policies = append(c.Policies, policy(t, 9, 9)) }, pki.RulePolicy},
		{"another class", func(c *x509.Certificate) {
			c.SerialNumber = new(big.Int).SetBytes([]byte{1, 0, 0, 0x10, 2, 0, 0, 0, 0})
			setExtension(c, pen(4), memberValue(t, 0x1002, 0, 0), false)
		}, pki.RuleRange},
		{"serial of another index", func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Add(c.SerialNumber, big.NewInt(1)) }, pki.RuleSerial},
		{"short serial", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(17) }, pki.RuleSerial},
		{"no member extension", func(c *x509.Certificate) { setExtension(c, pen(4), nil, false) }, pki.RuleMember},
		{"critical member extension", func(c *x509.Certificate) {
			setExtension(c, pen(4), memberValue(t, 0x1001, 0, 0), true)
		}, pki.RuleCritical},
		{"malformed member extension", func(c *x509.Certificate) { setExtension(c, pen(4), []byte{0x30, 0}, false) }, pki.RuleMember},
		{"issuer ID of a device", func(c *x509.Certificate) {
			v, _ := asn1.Marshal(struct {
				V, Class, Index, SVN int64
				Issuer               []byte `asn1:"tag:2"`
			}{1, 0x1001, 0, 0, []byte("shop")})
			setExtension(c, pen(4), v, false)
		}, pki.RuleMember},
		{"unknown critical extension", func(c *x509.Certificate) { setExtension(c, pen(99), []byte{5, 0}, true) }, pki.RuleCritical},
		{"unknown extension, not critical", func(c *x509.Certificate) { setExtension(c, pen(99), []byte{5, 0}, false) }, ""},
		{"RSA key kind", func(c *x509.Certificate) {
			c.SerialNumber = new(big.Int).SetBytes([]byte{3, 0, 0, 0x10, 1, 0, 0, 0, 0})
		}, pki.RuleAlgorithm},
		{"malformed SLTP extension", func(c *x509.Certificate) { setExtension(c, pen(5), []byte{0x30, 0}, false) }, pki.RuleSLTP},
		{"SLTP extension of version 2", func(c *x509.Certificate) { setExtension(c, pen(5), []byte{0x30, 5, 2, 1, 2, 0x30, 0}, false) }, pki.RuleSLTP},
		{"suites out of order", func(c *x509.Certificate) {
			setExtension(c, pen(5), []byte{0x30, 11, 2, 1, 1, 0x30, 6, 2, 1, 3, 2, 1, 2}, false)
		}, pki.RuleSLTP},
		{"SLTP extension, good", func(c *x509.Certificate) {
			setExtension(c, pen(5), []byte{0x30, 11, 2, 1, 1, 0x30, 6, 2, 1, 2, 2, 1, 3}, false)
		}, ""},
		{"critical SLTP extension", func(c *x509.Certificate) { setExtension(c, pen(5), []byte{0x30, 5, 2, 1, 1, 0x30, 0}, true) }, pki.RuleCritical},
		{"unknown key kind", func(c *x509.Certificate) {
			c.SerialNumber = new(big.Int).SetBytes([]byte{4, 0, 0, 0x10, 1, 0, 0, 0, 0})
		}, pki.RuleSerial},
		{"key usage of the other kind", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, pki.RuleKeyUsage},
		{"P-384", func(c *x509.Certificate) { c.PublicKey = rsaLike.Public() }, pki.RuleAlgorithm},
		{"no basic constraints", func(c *x509.Certificate) { c.BasicConstraintsValid = false }, pki.RuleCA},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ca := d.CAs[pkitest.Devices]
			chain := append([][]byte{forge(t, ca, dev.Leaf(), tc.edit)}, ca.Chain...)
			_, err := verify(t, d, dev, chain, d.Now)
			if got := pki.RuleOf(err); got != tc.want || (tc.want == "") != (err == nil) {
				t.Errorf("got %v, want rule %q", err, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), "certificate 0") && tc.want != pki.RuleNesting {
				t.Errorf("%q does not name the leaf", err)
			}
		})
	}
}

func TestPKI_1_ForgedCAIsRejectedByRule(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dev := d.Party(pki.Device)
	manufacturer, root := d.CAs[pkitest.Manufacturer], d.CAs[pkitest.RootClass]
	ranged := func(class, index, first, last int64) []byte {
		v, err := asn1.Marshal(struct {
			V, Class, Index, SVN int64
			Range                struct{ First, Last int64 } `asn1:"tag:3"`
		}{1, class, index, 0, struct{ First, Last int64 }{first, last}})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tc := range []struct {
		name string
		pos  int // which CA of the chain is forged
		edit func(*x509.Certificate)
		want pki.Rule
	}{
		{"class CA unchanged", 1, func(*x509.Certificate) {}, ""},
		{"manufacturer CA unchanged", 2, func(*x509.Certificate) {}, ""},
		{"expired class CA", 1, func(c *x509.Certificate) { c.NotAfter = d.Now.Add(-time.Hour) }, pki.RuleValidity},
		{"class outside the manufacturer's range", 1, func(c *x509.Certificate) {
			setExtension(c, pen(4), ranged(0x1000, 0, 0x3001, 0x3001), false)
		}, pki.RuleRange},
		{"class is the manufacturer's own", 1, func(c *x509.Certificate) {
			setExtension(c, pen(4), ranged(0x1000, 0, 0x1000, 0x1001), false)
		}, pki.RuleRange},
		{"class CA issues a whole range", 1, func(c *x509.Certificate) {
			setExtension(c, pen(4), ranged(0x1000, 0, 0x1001, 0x1002), false)
		}, pki.RuleRange},
		{"CA without a range", 1, func(c *x509.Certificate) { setExtension(c, pen(4), memberValue(t, 0x1000, 0, 0), false) }, pki.RuleRange},
		{"CA with another role", 1, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{pen(1, 3)} }, pki.RuleNesting},
		{"manufacturer with another role", 2, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{pen(1, 3)} }, pki.RuleNesting},
		{"manufacturer grants SL2 only", 2, func(c *x509.Certificate) { c.Policies = []x509.OID{policy(t, 2, 2), policy(t, 3, 0)} }, pki.RuleLevel},
		{"path length of the manufacturer", 2, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, pki.RulePathLength},
		{"no path length", 2, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false }, pki.RulePathLength},
		{"not a CA", 1, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, -1, false }, pki.RuleRange},
		{"CA that may not sign certificates", 1, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, pki.RuleKeyUsage},
		{"first-level CA without requireExplicitPolicy", 2, func(c *x509.Certificate) {
			setExtension(c, asn1.ObjectIdentifier{2, 5, 29, 36}, nil, false)
		}, pki.RulePolicy},
		{"first-level CA without inhibitAnyPolicy", 2, func(c *x509.Certificate) {
			setExtension(c, asn1.ObjectIdentifier{2, 5, 29, 54}, nil, false)
		}, pki.RulePolicy},
		{"unknown critical extension", 2, func(c *x509.Certificate) { setExtension(c, pen(99), []byte{5, 0}, true) }, pki.RuleCritical},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain := append([][]byte{}, dev.Chain...)
			parent := map[int]*pki.Authority{1: manufacturer, 2: root}[tc.pos]
			chain[tc.pos] = forge(t, parent, chain[tc.pos], tc.edit)
			_, err := verify(t, d, dev, chain, d.Now)
			if got := pki.RuleOf(err); got != tc.want || (tc.want == "") != (err == nil) {
				t.Errorf("got %v, want rule %q", err, tc.want)
			}
		})
	}
}

func TestPKI_1_WrongChainsAreRejectedByRule(t *testing.T) {
	d, other := pkitest.New(t, pkitest.Start()), pkitest.New(t, pkitest.Start())
	dev, home, issuer, stranger := d.Party(pki.Device), d.Party(pki.HomeServer), d.Party(pki.LicenseIssuer), other.Party(pki.Device)
	key := d.Key()
	self := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: d.Now, NotAfter: d.Now.AddDate(1, 0, 0)}
	selfSigned, err := x509.CreateCertificate(rand.Reader, self, self, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	// A stranger's self-signed certificate that follows the profile to the letter.
	byCA := forge(t, d.CAs[pkitest.Devices], dev.Leaf(), func(c *x509.Certificate) { c.PublicKey = key.Public() })
	likeLeaf := forge(t, &pki.Authority{Root: byCA, Signer: key}, byCA, func(*x509.Certificate) {})
	// A leaf as CA: the device signs a certificate for a friend.
	byLeaf := forge(t, &pki.Authority{Root: dev.Leaf(), Signer: dev.Key}, dev.Leaf(), func(c *x509.Certificate) { c.PublicKey = key.Public() })
	flipped := append([]byte(nil), dev.Leaf()...)
	flipped[len(flipped)-1] ^= 1
	never := time.Time{}
	for _, tc := range []struct {
		name  string
		chain [][]byte
		now   time.Time
		roles []pki.Role
		want  pki.Rule
	}{
		{"no time", dev.Chain, never, nil, pki.RuleTime},
		{"no certificate", nil, d.Now, nil, pki.RuleChain},
		{"five certificates", append(append([][]byte{}, dev.Chain...), dev.Chain...), d.Now, nil, pki.RuleChain},
		{"a huge certificate", [][]byte{make([]byte, pki.MaxCert+1)}, d.Now, nil, pki.RuleChain},
		{"no DER", [][]byte{[]byte("hello")}, d.Now, nil, pki.RuleEncoding},
		{"trailing byte", [][]byte{append(append([]byte{}, dev.Leaf()...), 0), dev.Chain[1], dev.Chain[2]}, d.Now, nil, pki.RuleEncoding},
		{"wrong role", dev.Chain, d.Now, []pki.Role{pki.HomeServer, pki.LicenseIssuer}, pki.RuleRole},
		{"home server as device", home.Chain, d.Now, []pki.Role{pki.Device}, pki.RuleRole},
		{"expired issuer", issuer.Chain, d.Now.AddDate(0, 0, 91), nil, pki.RuleValidity},
		{"before its time", issuer.Chain, d.Now.Add(-2 * time.Hour), nil, pki.RuleValidity},
		{"another domain", stranger.Chain, d.Now, nil, pki.RuleTrust},
		{"CA missing", [][]byte{dev.Leaf(), dev.Chain[2]}, d.Now, nil, pki.RuleTrust},
		{"wrong order", [][]byte{dev.Leaf(), dev.Chain[2], dev.Chain[1]}, d.Now, nil, pki.RuleTrust},
		{"root included", append(append([][]byte{}, dev.Chain...), d.Root), d.Now, nil, pki.RuleNesting},
		{"CA as a party", dev.Chain[1:], d.Now, nil, pki.RuleCA},
		{"signature", [][]byte{flipped, dev.Chain[1], dev.Chain[2]}, d.Now, nil, pki.RuleSignature},
		{"CA of another domain's key", [][]byte{dev.Leaf(), stranger.Chain[1], dev.Chain[2]}, d.Now, nil, pki.RuleSignature},
		{"self-signed stranger", [][]byte{selfSigned}, d.Now, nil, pki.RuleSerial},
		{"self-signed stranger in our profile", [][]byte{likeLeaf}, d.Now, nil, pki.RuleTrust},
		{"leaf as CA", append([][]byte{byLeaf}, dev.Chain...), d.Now, nil, pki.RuleCA},
		{"delivery certificate as signing", append([][]byte{dev.DelLeaf}, dev.Chain[1:]...), d.Now, nil, pki.RuleKind},
	} {
		t.Run(tc.name, func(t *testing.T) {
			peer, err := verify(t, d, dev, tc.chain, tc.now, tc.roles...)
			if got := pki.RuleOf(err); got != tc.want || peer != nil {
				t.Errorf("got %v, want rule %q", err, tc.want)
			}
		})
	}
}

func TestPKI_1_DeliveryKeyIsTheDevices(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	a, b := d.Party(pki.Device), d.Party(pki.Device)
	v := &pki.Verifier{Trust: d.Trust}
	peer := d.Peer(a)
	if _, err := v.VerifyDelivery(peer, b.DelLeaf, d.Now); pki.RuleOf(err) != pki.RuleSame {
		t.Errorf("another device's: %v", err)
	}
	if _, err := v.VerifyDelivery(peer, a.Leaf(), d.Now); pki.RuleOf(err) != pki.RuleKind {
		t.Errorf("the signing certificate: %v", err)
	}
	if _, err := v.VerifyDelivery(peer, d.Party(pki.HomeServer).DelLeaf, d.Now); pki.RuleOf(err) == "" {
		t.Errorf("a home server's: %v", err)
	}
	other := d.Party(pki.Device, func(p *pki.Profile) { p.Member, p.Levels = b.Member, []pki.Level{pki.SL2} })
	if _, err := v.VerifyDelivery(d.Peer(b), other.DelLeaf, d.Now); pki.RuleOf(err) != pki.RuleSame {
		t.Errorf("another level: %v", err)
	}
}

func TestPKI_1_TrustStoreTakesRootsOnly(t *testing.T) {
	d := pkitest.New(t, pkitest.Start())
	dev := d.Party(pki.Device)
	flipped := append([]byte(nil), d.Root...)
	flipped[len(flipped)-1] ^= 1
	for name, der := range map[string][]byte{"leaf": dev.Leaf(), "intermediate CA": dev.Chain[2], "flipped root": flipped, "nothing": nil} {
		if _, err := pki.NewTrustStore(der); err == nil {
			t.Errorf("%s accepted as a root", name)
		}
	}
	if _, err := pki.NewTrustStore(); err == nil {
		t.Error("empty trust store")
	}
	other := pkitest.New(t, pkitest.Start())
	both, err := pki.NewTrustStore(other.Root, d.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*pkitest.Party{dev, other.Party(pki.Device)} {
		if _, err := (&pki.Verifier{Trust: both}).Verify(p.Chain, d.Now); err != nil {
			t.Errorf("two trust domains with equal names: %v", err)
		}
	}
}
