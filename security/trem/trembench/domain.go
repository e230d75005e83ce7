package trembench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// shop is the license issuer of a house.
const shop = ident.Issuer("shop.example")

// classes are those of each role's members. Source: local.
func classes() map[pki.Role]pki.Class {
	return map[pki.Role]pki.Class{pki.LicenseIssuer: 1, pki.HomeServer: 2, pki.Device: 3} // others: the root's
}

// domain is a trust domain of one run: a root, one CA for each role, so that
// every chain has two certificates, and a signer each of state and time.
type domain struct {
	now         time.Time
	root        *pki.Authority
	cas         map[pki.Role]*pki.Authority
	last        map[pki.Class]uint32 // member of each class
	state, time signer
	published   *revocation.State
}

// signer is a key of this process and its certificates.
type signer struct {
	key   *ecdsa.PrivateKey
	chain [][]byte
}

func newDomain(now time.Time) (*domain, error) {
	d := &domain{now: now, cas: map[pki.Role]*pki.Authority{}, last: map[pki.Class]uint32{}}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	root, err := pki.IssueRoot(key, pki.Profile{Name: "Bench Root", CA: &pki.CA{PathLen: 1, Range: pki.Range{First: 0, Last: pki.MaxClass}}}, now)
	if err != nil {
		return nil, fmt.Errorf("issue root: %w", err)
	}
	d.root = &pki.Authority{Root: root, Signer: key}
	builder := revocation.NewBuilder(nil)
	for role, class := range classes() {
		if err := d.authority(role, class); err != nil {
			return nil, err
		}
		if err := builder.Allot(class, revocation.PageSize); err != nil {
			return nil, err
		}
	}
	if err := builder.Allot(0, revocation.PageSize); err != nil {
		return nil, err
	}
	if d.state, err = d.signer(pki.StateSigner); err != nil {
		return nil, err
	}
	if d.time, err = d.signer(pki.TimeSigner); err != nil {
		return nil, err
	}
	d.published, err = builder.Sign(d.state.key, revocation.Issue{
		Epoch: pki.Epoch{Number: 1}, IssuedAt: now, NextUpdate: now.Add(24 * time.Hour),
	})
	return d, err
}

func (d *domain) authority(role pki.Role, class pki.Class) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	p := d.profile(role, 0)
	p.CA, p.NotAfter = &pki.CA{Range: pki.Range{First: class, Last: class}}, time.Time{}
	der, err := d.issue(d.root, p, key.Public())
	d.cas[role] = &pki.Authority{Chain: [][]byte{der}, Root: d.root.Root, Signer: key}
	return err
}

// profile is that of the next member of a class.
func (d *domain) profile(role pki.Role, class pki.Class) pki.Profile {
	d.last[class]++
	p := pki.Profile{
		Name: "Bench " + role.String(), Role: role, Member: pki.Member{Class: class, Index: d.last[class]},
		Levels: []pki.Level{pki.SL1}, Anchors: []pki.Anchor{pki.A0},
	}
	if days := pki.MaxDays(role); days > 0 {
		p.NotAfter = d.now.AddDate(0, 0, days)
	}
	return p
}

func (d *domain) issue(by *pki.Authority, p pki.Profile, pub crypto.PublicKey) ([]byte, error) {
	der, err := pki.Issue(by, p, pub, d.now)
	if err != nil {
		return nil, fmt.Errorf("certify a %s: %w", p.Role, err)
	}
	return der, nil
}

func (d *domain) signer(role pki.Role) (out signer, err error) {
	if out.key, err = newKey(); err != nil {
		return out, err
	}
	der, err := d.issue(d.root, d.profile(role, 0), out.key.Public())
	out.chain = [][]byte{der}
	return out, err
}

// enroll certifies the keys of a module.
func (d *domain) enroll(role pki.Role, req trem.SigningRequest) (trem.Enrollment, error) {
	ca, p := d.cas[role], d.profile(role, classes()[role])
	if role != pki.Device {
		p.Issuer = shop
	}
	out := trem.Enrollment{Roots: [][]byte{d.root.Root}}
	pub, err := pki.ParseRequest(req.Signing)
	if err != nil {
		return out, err
	}
	leaf, err := d.issue(ca, p, pub)
	if err != nil {
		return out, err
	}
	out.Chain, p.Kind = append([][]byte{leaf}, ca.Chain...), pki.KindECDH
	if pub, err = pki.ParseRequest(req.Delivery); err != nil {
		return out, err
	}
	out.Delivery, err = d.issue(ca, p, pub)
	return out, err
}

// learned is what makes a module's clock SECURE and its revocation state new.
func (d *domain) learned(nonce []byte) (trem.Learned, error) {
	token, err := revocation.SignTime(d.time.key, d.time.chain[0], d.now, [revocation.NonceLen]byte(nonce))
	return trem.Learned{
		Head: d.published.Head().Bytes(), HeadChain: d.state.chain, Snapshot: d.published.Snapshot(), Time: token, TimeChain: d.time.chain,
	}, err
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}
