package bench

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Class IDs of the bench's trust domain. Source: local.
const (
	issuerClass pki.Class = 1
	homeClass   pki.Class = 2
)

// rsaBits is the length of a legacy destination's key, the most common of the
// three that a certificate may have. Source: docs/spec/certificates.md.
const rsaBits = 2048

// sltpDomain is a trust domain of this run: a root, one CA for license issuers
// and one for home servers, so that every chain has two certificates.
type sltpDomain struct {
	now     time.Time
	root    *pki.Authority
	trust   *pki.TrustStore
	roots   *x509.CertPool // the same root, for crypto/x509 and crypto/tls
	issuers *pki.Authority
	homes   *pki.Authority
	members map[pki.Class]uint32
}

// sltpParty is a certified party with a key of this run.
type sltpParty struct {
	id       ident.Device
	key      *ecdsa.PrivateKey
	chain    [][]byte // leaf and its CA
	profile  pki.Profile
	delivery *ecdh.PrivateKey // and its certificate; nil unless made
	delCert  []byte
}

func newSLTPDomain(now time.Time) (*sltpDomain, error) {
	d := &sltpDomain{now: now, roots: x509.NewCertPool(), members: map[pki.Class]uint32{0: 1}}
	key, err := newP256()
	if err != nil {
		return nil, err
	}
	root, err := pki.IssueRoot(key, pki.Profile{Name: "Bench Root", CA: &pki.CA{PathLen: 1, Range: pki.Range{First: 0, Last: pki.MaxClass}}}, now)
	if err != nil {
		return nil, err
	}
	if d.trust, err = pki.NewTrustStore(root); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(root)
	if err != nil {
		return nil, fmt.Errorf("read root: %w", err)
	}
	d.roots.AddCert(cert)
	d.root = &pki.Authority{Root: root, Signer: key}
	if d.issuers, err = d.authority(d.root, "Bench Issuer CA", pki.LicenseIssuer, issuerClass); err != nil {
		return nil, err
	}
	d.homes, err = d.authority(d.root, "Bench Home CA", pki.HomeServer, homeClass)
	return d, err
}

func (d *sltpDomain) authority(up *pki.Authority, name string, role pki.Role, class pki.Class) (*pki.Authority, error) {
	key, err := newP256()
	if err != nil {
		return nil, err
	}
	der, err := pki.Issue(up, pki.Profile{
		Name: name, Role: role, Member: d.member(0), Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
		CA: &pki.CA{Range: pki.Range{First: class, Last: class}},
	}, key.Public(), d.now)
	if err != nil {
		return nil, fmt.Errorf("issue %s: %w", name, err)
	}
	return &pki.Authority{Chain: [][]byte{der}, Root: up.Root, Signer: key}, nil
}

// party certifies a new key. suites is what the certificate says of its
// party's abilities; nil says nothing.
func (d *sltpDomain) party(role pki.Role, suites *pki.SLTP) (*sltpParty, error) {
	key, err := newP256()
	if err != nil {
		return nil, err
	}
	class := homeClass
	if role == pki.LicenseIssuer {
		class = issuerClass
	}
	p := &sltpParty{key: key, profile: pki.Profile{
		Name: "Bench " + role.String(), Role: role, Member: d.member(class), Issuer: ident.Issuer("shop.example"),
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0}, SLTP: suites, NotAfter: d.now.AddDate(0, 0, pki.MaxDays(role)),
	}}
	der, err := d.certify(p, p.profile, key.Public())
	if err != nil {
		return nil, err
	}
	p.chain = append([][]byte{der}, d.over(class).Chain...)
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read leaf: %w", err)
	}
	p.id = ident.DeviceOf(leaf.RawSubjectPublicKeyInfo)
	return p, nil
}

// deliver certifies a delivery key of the party, for pushes.
func (d *sltpDomain) deliver(p *sltpParty) (err error) {
	if p.delivery, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
		return fmt.Errorf("make delivery key: %w", err)
	}
	profile := p.profile
	profile.Kind = pki.KindECDH
	p.delCert, err = d.certify(p, profile, p.delivery.PublicKey())
	return err
}

// rsaKey certifies an RSA key of the party, for key transport.
func (d *sltpDomain) rsaKey(p *sltpParty) (*rsa.PrivateKey, []byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, nil, fmt.Errorf("make RSA key: %w", err)
	}
	profile := p.profile
	profile.Kind = pki.KindRSA
	cert, err := d.certify(p, profile, key.Public())
	return key, cert, err
}

func (d *sltpDomain) certify(p *sltpParty, profile pki.Profile, pub crypto.PublicKey) ([]byte, error) {
	der, err := pki.Issue(d.over(p.profile.Member.Class), profile, pub, d.now)
	if err != nil {
		return nil, fmt.Errorf("certify a %s: %w", profile.Role, err)
	}
	return der, nil
}

// over is the CA of a class.
func (d *sltpDomain) over(class pki.Class) *pki.Authority {
	if class == issuerClass {
		return d.issuers
	}
	return d.homes
}

func (d *sltpDomain) member(class pki.Class) pki.Member {
	m := pki.Member{Class: class, Index: d.members[class]}
	d.members[class]++
	return m
}

func newP256() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}
