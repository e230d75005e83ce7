// Package pkitest is a test kit: a trust domain with every CA, for tests of
// packages that need certified parties. Keys are new in every run.
//
// It keeps no revocation state and writes nothing. The promise: what it issues
// went through pki.Issue, so it is what a real authority issues.
package pkitest

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Class IDs of the domain.
const (
	RootClass     pki.Class = 0 // first-level CAs, state and time signers
	Providers     pki.Class = 1
	Issuers       pki.Class = 2
	HomeServers   pki.Class = 3
	Manufacturer  pki.Class = 0x1000 // its device class CAs
	Devices       pki.Class = 0x1001 // a device class, SL1 and SL2
	SecondDevices pki.Class = 0x1002 // another one
)

// Domain is a trust domain.
type Domain struct {
	Now   time.Time // when everything is issued
	Root  []byte
	Trust *pki.TrustStore
	CAs   map[pki.Class]*pki.Authority // by the class of the members that it issues
	next  map[pki.Class]uint32
	tb    testing.TB
}

// Party is a certified key.
type Party struct {
	Key      *ecdsa.PrivateKey
	Chain    [][]byte
	Member   pki.Member
	Delivery *ecdh.PrivateKey // nil for signers of state and time
	DelLeaf  []byte           // certificate of Delivery
	profile  pki.Profile
}

// Leaf is the party's own certificate.
func (p *Party) Leaf() []byte { return p.Chain[0] }

// Start is the time at which tests usually start.
func Start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// New makes a domain with a root, the four first-level CAs and two device class CAs.
func New(tb testing.TB, now time.Time) *Domain {
	tb.Helper()
	d := &Domain{Now: now, CAs: map[pki.Class]*pki.Authority{}, next: map[pki.Class]uint32{RootClass: 1}, tb: tb}
	key := d.Key()
	root, err := pki.IssueRoot(key, pki.Profile{Name: "Test Root", CA: &pki.CA{PathLen: 2, Range: pki.Range{First: 0, Last: pki.MaxClass}}}, now)
	d.must(err)
	d.Root = root
	d.Trust, err = pki.NewTrustStore(root)
	d.must(err)
	d.CAs[RootClass] = &pki.Authority{Root: root, Signer: key}
	d.CA(RootClass, "Test Provider CA", pki.ContentProvider, 0, Providers, Providers)
	d.CA(RootClass, "Test Issuer CA", pki.LicenseIssuer, 0, Issuers, Issuers)
	d.CA(RootClass, "Test Home Server CA", pki.HomeServer, 0, HomeServers, HomeServers)
	d.CA(RootClass, "Test Manufacturer CA", pki.Device, 1, Manufacturer, Manufacturer+0xfff)
	d.CA(Manufacturer, "Test Device Class CA 1", pki.Device, 0, Devices, Devices)
	d.CA(Manufacturer, "Test Device Class CA 2", pki.Device, 0, SecondDevices, SecondDevices)
	return d
}

// CA adds a CA that issues classes first to last.
func (d *Domain) CA(parent pki.Class, name string, role pki.Role, pathLen int, first, last pki.Class) {
	d.tb.Helper()
	key := d.Key()
	up := d.CAs[parent]
	der, err := pki.Issue(up, pki.Profile{
		Name: name, Role: role, Member: d.member(parent),
		Levels: []pki.Level{pki.SL1, pki.SL2}, Anchors: []pki.Anchor{pki.A0, pki.A1},
		CA: &pki.CA{PathLen: pathLen, Range: pki.Range{First: first, Last: last}},
	}, key.Public(), d.Now)
	d.must(err)
	d.CAs[first] = &pki.Authority{Chain: append([][]byte{der}, up.Chain...), Root: d.Root, Signer: key}
}

// Party issues certificates to a new party: class Devices for a device, the
// role's class for others. Each edit may change the profile before that.
func (d *Domain) Party(role pki.Role, edit ...func(*pki.Profile)) *Party {
	d.tb.Helper()
	class := map[pki.Role]pki.Class{
		pki.ContentProvider: Providers, pki.LicenseIssuer: Issuers, pki.HomeServer: HomeServers, pki.Device: Devices,
	}[role] // others: the root's
	p := pki.Profile{
		Name: "Test " + role.String(), Role: role, Member: pki.Member{Class: class},
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
	}
	if days := pki.MaxDays(role); days > 0 {
		p.NotAfter = d.Now.AddDate(0, 0, days)
	}
	if role == pki.LicenseIssuer || role == pki.HomeServer {
		p.Issuer = ident.Issuer("test-" + class.String())
	}
	for _, f := range edit {
		f(&p)
	}
	if p.Member.Index == 0 {
		p.Member = d.member(p.Member.Class)
	}
	ca := d.CAs[p.Member.Class]
	out := &Party{Key: d.Key(), Member: p.Member, profile: p}
	der, err := pki.Issue(ca, p, out.Key.Public(), d.Now)
	d.must(err)
	out.Chain = append([][]byte{der}, ca.Chain...)
	if role == pki.StateSigner || role == pki.TimeSigner {
		return out
	}
	out.Delivery, err = ecdh.P256().GenerateKey(rand.Reader)
	d.must(err)
	p.Kind = pki.KindECDH
	out.DelLeaf, err = pki.Issue(ca, p, out.Delivery.PublicKey(), d.Now)
	d.must(err)
	return out
}

// RSA certifies a party's RSA key, for key transport.
func (d *Domain) RSA(p *Party, key *rsa.PublicKey) []byte {
	d.tb.Helper()
	profile := p.profile
	profile.Kind = pki.KindRSA
	der, err := pki.Issue(d.CAs[p.Member.Class], profile, key, d.Now)
	d.must(err)
	return der
}

// Peer verifies a party in the domain, with no revocation state.
func (d *Domain) Peer(p *Party) *pki.Peer {
	d.tb.Helper()
	peer, err := (&pki.Verifier{Trust: d.Trust}).Verify(p.Chain, d.Now)
	d.must(err)
	return peer
}

// Key makes a P-256 key.
func (d *Domain) Key() *ecdsa.PrivateKey {
	d.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	d.must(err)
	return key
}

func (d *Domain) member(class pki.Class) pki.Member {
	m := pki.Member{Class: class, Index: d.next[class]}
	d.next[class]++
	return m
}

func (d *Domain) must(err error) {
	d.tb.Helper()
	if err != nil {
		d.tb.Fatal(err)
	}
}
