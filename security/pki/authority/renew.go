package authority

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// RenewBefore is how long before its end a certificate may be renewed, but at
// most half of its validity, and RenewAfter how long after. Source: local,
// docs/spec/authority-api.md.
const (
	RenewBefore = 60 * 24 * time.Hour
	RenewAfter  = 30 * 24 * time.Hour
)

// ErrNotDue is returned for a renewal that would change nothing.
var ErrNotDue = errors.New("authority: the certificate is not due for renewal")

// Renewal asks for new certificates of a party that has some.
type Renewal struct {
	Chain    [][]byte // that it has, leaf first, root not included
	Signing  []byte   // PKCS#10 of the same signing key
	Delivery []byte   // PKCS#10 of its delivery key
}

// Renew certifies a party anew, for the signing key that its certificate has:
// when that ends soon or has ended lately, when its module says a higher
// security version (what a class demands after a fault was patched), or when a
// CA above it has another certificate (after a rotation of the root). The party
// must stand, but for its security version. It gets a new place, and is
// otherwise what it was. A license issuer shows itself by it (sunset.md), if its
// module made the request for the certificate that is renewed.
func (a *Authority) Renew(r Renewal, now time.Time) (*Certified, error) {
	peer, err := a.renewing(r.Chain, now)
	if err != nil {
		return nil, err
	}
	signing, delivery, err := bothKeys(r.Signing, r.Delivery)
	if err != nil {
		return nil, err
	}
	if !signing.Equal(peer.Public()) {
		return nil, fmt.Errorf("%w: another key than the certificate's", ErrRequest)
	}
	p, class, err := a.profile(Request{
		Role: peer.Role(), Class: peer.Class(), Signing: r.Signing, Issuer: peer.Issuer(), Level: peer.Level(), Anchor: peer.Anchor(),
		SVN: peer.SVN(), Implementation: peer.Implementation(), Stated: true,
	}, now)
	if err != nil {
		return nil, err
	}
	if p.SVN < peer.SVN() {
		return nil, fmt.Errorf("%w: security version %d, it was certified with %d", ErrRequest, p.SVN, peer.SVN())
	}
	if !a.due(peer, p.SVN, now) {
		return nil, ErrNotDue
	}
	if id := peer.Issuer(); id != "" {
		p.Issuer = id
	}
	if p.Role == pki.LicenseIssuer && a.fresh(peer, r) {
		a.heard(p.Issuer, now)
	}
	return a.certify(class, p, signing, delivery, now)
}

// renewing verifies a party that wants to renew.
func (a *Authority) renewing(chain [][]byte, now time.Time) (*pki.Peer, error) {
	at := now
	if len(chain) > 0 {
		if leaf, err := x509.ParseCertificate(chain[0]); err == nil && now.After(leaf.NotAfter) && !now.After(leaf.NotAfter.Add(RenewAfter)) {
			at = leaf.NotAfter
		}
	}
	v := &pki.Verifier{Trust: a.trust, Status: anyVersion{a.state}}
	return v.Verify(chain, at, pki.ContentProvider, pki.LicenseIssuer, pki.HomeServer, pki.Device)
}

// anyVersion is a state that forgives a security version below the minimum.
type anyVersion struct{ pki.Status }

func (s anyVersion) Check(class pki.Class, index, _ uint32) error {
	return s.Status.Check(class, index, 1<<32-1)
}

// due says whether a renewal would change something.
func (a *Authority) due(peer *pki.Peer, svn uint32, now time.Time) bool {
	c := a.find(peer.Class())
	before := min(RenewBefore, peer.NotAfter().Sub(peer.NotBefore())/2)
	return svn > peer.SVN() || peer.NotAfter().Sub(now) <= before || c == nil || !slices.EqualFunc(peer.Chain()[1:], c.Chain, bytes.Equal)
}

// Places are all places of the party that has this one: it gets one with each
// renewal. Who revokes a party revokes all of them.
func (a *Authority) Places(m pki.Member) ([]pki.Member, error) {
	entries, err := a.block(m.Class, m.Index/listBlock)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Index == m.Index && e.Device != (ident.Device{}) {
			return a.Find(e.Device)
		}
	}
	return []pki.Member{m}, nil
}
