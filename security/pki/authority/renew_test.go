package authority_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

// party is somebody with keys, who enrolls and renews.
type party struct {
	testing.TB
	role              pki.Role
	signing, delivery *ecdsa.PrivateKey
}

func newParty(t testing.TB, role pki.Role) *party {
	t.Helper()
	p := &party{TB: t, role: role}
	for _, k := range []**ecdsa.PrivateKey{&p.signing, &p.delivery} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		*k = key
	}
	return p
}

// requests are the party's signing requests, when its module has this version.
func (p *party) requests(svn uint32) (signing, delivery []byte) {
	p.Helper()
	signing, err := pki.NewRequest(p.signing, &pki.Module{SVN: svn, Implementation: []byte("test")})
	must(p, err)
	delivery, err = pki.NewRequest(p.delivery, nil)
	must(p, err)
	return signing, delivery
}

func (p *party) enroll(a *authority.Authority, svn uint32, now time.Time) *authority.Certified {
	p.Helper()
	r := authority.Request{Role: p.role, Stated: true}
	if p.role == pki.LicenseIssuer {
		r.Issuer = "shop.example"
	}
	r.Signing, r.Delivery = p.requests(svn)
	c, err := a.Enroll(r, now)
	must(p, err)
	return c
}

func (p *party) renew(a *authority.Authority, chain [][]byte, svn uint32, now time.Time) (*authority.Certified, error) {
	p.Helper()
	r := authority.Renewal{Chain: chain}
	r.Signing, r.Delivery = p.requests(svn)
	return a.Renew(r, now)
}

// TestPKI_1_RenewalKeepsWhoOneIs: near its end, a certificate is renewed for the same key, role,
// level and issuer ID, and at no other time.
func TestPKI_1_RenewalKeepsWhoOneIs(t *testing.T) {
	for _, role := range []pki.Role{pki.HomeServer, pki.LicenseIssuer, pki.ContentProvider} {
		a := ceremony(t, newMemory())
		p := newParty(t, role)
		c := p.enroll(a, 1, start())
		old, err := verifier(t, a).Verify(c.Chain, start())
		must(t, err)
		end := old.NotAfter()
		if _, err := p.renew(a, c.Chain, 1, start().AddDate(0, 0, 20)); !errors.Is(err, authority.ErrNotDue) {
			t.Errorf("%v: too early: %v", role, err)
		}
		for _, at := range []time.Time{end.AddDate(0, 0, -30), end, end.Add(authority.RenewAfter)} {
			got, err := p.renew(a, c.Chain, 1, at)
			must(t, err)
			peer, err := verifier(t, a).Verify(got.Chain, at, role)
			must(t, err)
			if peer.ID() != old.ID() || peer.Issuer() != old.Issuer() || peer.Level() != old.Level() || peer.Index() == old.Index() || !peer.NotAfter().After(end) {
				t.Errorf("%v: %v became %v", role, old.Index(), peer.Index())
			}
			if _, err := verifier(t, a).VerifyDelivery(peer, got.Delivery, at); err != nil {
				t.Error(err)
			}
		}
		if _, err := p.renew(a, c.Chain, 1, end.Add(authority.RenewAfter+time.Second)); pki.RuleOf(err) != pki.RuleValidity {
			t.Errorf("%v: too late: %v", role, err)
		}
		places, err := a.Find(old.ID())
		if err != nil || len(places) != 4 {
			t.Errorf("%v: places %v, %v", role, places, err)
		}
		if again, err := a.Places(places[2]); err != nil || len(again) != 4 {
			t.Errorf("%v: places of one of them: %v, %v", role, again, err)
		}
	}
}

// TestPKI_2_PatchedModuleIsCertifiedAnew: a class demands a security version, and who has it gets a
// certificate that says so.
func TestPKI_2_PatchedModuleIsCertifiedAnew(t *testing.T) {
	a := ceremony(t, newMemory())
	p := newParty(t, pki.Device)
	c := p.enroll(a, 1, start())
	must(t, a.SetMinSVN(c.Member.Class, 3))
	must(t, a.Publish(start().Add(time.Minute)))
	v := verifier(t, a)
	if _, err := v.Verify(c.Chain, start()); pki.RuleOf(err) != pki.RuleSVN {
		t.Fatalf("below the minimum: %v", err)
	}
	for svn, want := range map[uint32]error{0: authority.ErrRequest, 1: authority.ErrNotDue} {
		if _, err := p.renew(a, c.Chain, svn, start()); !errors.Is(err, want) {
			t.Errorf("version %d: %v, want %v", svn, err, want)
		}
	}
	if _, err := p.renew(a, c.Chain, 2, start()); pki.RuleOf(err) != pki.RuleSVN {
		t.Errorf("patched, and not enough: %v", err)
	}
	got, err := p.renew(a, c.Chain, 3, start())
	must(t, err)
	peer, err := v.Verify(got.Chain, start())
	if err != nil || peer.SVN() != 3 || peer.ID() != c.Device || !bytes.Equal(peer.Implementation(), []byte("test")) {
		t.Errorf("%v", err)
	}
}

func TestPKI_1_RenewalsThatAreRefused(t *testing.T) {
	a := ceremony(t, newMemory())
	p, other := newParty(t, pki.Device), newParty(t, pki.Device)
	c, d := p.enroll(a, 1, start()), other.enroll(a, 1, start())
	if _, err := p.renew(a, d.Chain, 2, start()); !errors.Is(err, authority.ErrRequest) {
		t.Errorf("another party's certificate: %v", err)
	}
	if _, err := p.renew(a, nil, 2, start()); pki.RuleOf(err) != pki.RuleChain {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := p.renew(a, a.Trust().StateSigner, 2, start()); pki.RuleOf(err) != pki.RuleRole {
		t.Errorf("a signer's: %v", err)
	}
	r := authority.Renewal{Chain: c.Chain}
	r.Signing, _ = p.requests(2)
	r.Delivery = r.Signing
	if _, err := a.Renew(r, start()); !errors.Is(err, authority.ErrRequest) {
		t.Errorf("one key for both: %v", err)
	}
	must(t, a.RevokeDevice(c.Member))
	must(t, a.Publish(start().Add(time.Minute)))
	if _, err := p.renew(a, c.Chain, 2, start()); pki.RuleOf(err) != pki.RuleRevoked {
		t.Errorf("revoked: %v", err)
	}
	must(t, a.RevokeClass(d.Member.Class, 1))
	must(t, a.Publish(start().Add(2*time.Minute)))
	if _, err := other.renew(a, d.Chain, 2, start()); pki.RuleOf(err) != pki.RuleClass {
		t.Errorf("class revoked: %v", err)
	}
}

// TestPKI_1_RenewalGetsTheNewRoot: after a rotation a device renews once, and its new chain ends at the new root.
func TestPKI_1_RenewalGetsTheNewRoot(t *testing.T) {
	a := ceremony(t, newMemory())
	p := newParty(t, pki.Device)
	c := p.enroll(a, 1, start())
	if _, err := p.renew(a, c.Chain, 1, start()); !errors.Is(err, authority.ErrNotDue) {
		t.Errorf("before the rotation: %v", err)
	}
	now := start().Add(time.Hour)
	must(t, a.RotateRoot(now))
	got, err := p.renew(a, c.Chain, 1, now)
	must(t, err)
	if _, err := verifier(t, a).Verify(got.Chain, now); err != nil {
		t.Error(err)
	}
	if _, err := p.renew(a, got.Chain, 1, now); !errors.Is(err, authority.ErrNotDue) {
		t.Errorf("twice: %v", err)
	}
}
