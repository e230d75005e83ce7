package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

// notary is an issuer's notice key.
type notary struct {
	key   *ecdsa.PrivateKey
	point []byte
}

func newNotary(t testing.TB) notary {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := license.NoticeKey(key.Public())
	must(t, err)
	return notary{key, point}
}

func (n notary) notice(t testing.TB, at time.Time) []byte {
	t.Helper()
	data, err := license.SignNotice(n.key, license.Notice{Issuer: "shop.example", Effective: at.UnixMilli()})
	must(t, err)
	return data
}

func (n notary) withdrawal(t testing.TB, notice []byte) []byte {
	t.Helper()
	data, err := license.SignWithdrawal(n.key, notice)
	must(t, err)
	return data
}

// withIssuer is an authority that has certified one issuer.
func withIssuer(t testing.TB, dir authority.Dir) *authority.Authority {
	t.Helper()
	a := ceremony(t, dir)
	_, err := a.Enroll(request(t, pki.LicenseIssuer), start().Add(time.Hour))
	must(t, err)
	return a
}

func TestSunset_3_IssuersAreHeardByTheirCertificates(t *testing.T) {
	a := withIssuer(t, newMemory())
	must(t, a.Publish(start().Add(5*time.Hour)))
	leaf, ok := a.State().Issuer("shop.example")
	if !ok || leaf.Sunset || leaf.LastSeen != start().Add(time.Hour).UnixMilli() {
		t.Errorf("%+v, %v", leaf, ok)
	}
}

// TestSunset_3_RepeatedRenewalHidesNoSilence: an issuer is seen at the renewals that its module asks
// for with the certificate that it has, and not when somebody sends such a request again.
func TestSunset_3_RepeatedRenewalHidesNoSilence(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	p := newParty(t, pki.LicenseIssuer)
	seen := func() time.Time { return a.Issuers()[0].LastSeen }
	renewal := func(chain, named [][]byte) authority.Renewal {
		m := &pki.Module{SVN: 1, Implementation: []byte("test")}
		if named != nil {
			sum := sha256.Sum256(named[0])
			m.Renews = sum[:]
		}
		signing, err := pki.NewRequest(p.signing, m)
		must(t, err)
		_, delivery := p.requests(1)
		return authority.Renewal{Chain: chain, Signing: signing, Delivery: delivery}
	}
	end := func(chain [][]byte) time.Time {
		c, err := x509.ParseCertificate(chain[0])
		must(t, err)
		return c.NotAfter
	}
	first := p.enroll(a, 1, start()).Chain
	was := seen()
	if _, err := a.Renew(renewal(first, nil), end(first)); err != nil || seen() != was {
		t.Errorf("a request that names nothing: %v, %v", seen(), err)
	}
	held := renewal(first, first)
	c, err := a.Renew(held, end(first))
	must(t, err)
	if was = seen(); !was.Equal(end(first)) {
		t.Fatalf("seen %v", was)
	}
	a, err = authority.Open(dir)
	must(t, err)
	again, err := a.Renew(held, end(first).Add(authority.RenewAfter))
	if err != nil || seen() != was {
		t.Errorf("repeated: %v, %v", seen(), err)
	}
	held.Chain = again.Chain // beside what names the first certificate
	if _, err := a.Renew(held, end(again.Chain)); err != nil || seen() != was {
		t.Errorf("an old request beside a new chain: %v, %v", seen(), err)
	}
	if _, err := a.Renew(renewal(c.Chain, c.Chain), end(c.Chain)); err != nil || !seen().Equal(end(c.Chain)) {
		t.Errorf("the living module after all that: %v, %v", seen(), err)
	}
}

func TestSunset_3_NoticeStandsAndIsWithdrawn(t *testing.T) {
	dir, n := newMemory(), newNotary(t)
	a := withIssuer(t, dir)
	now := start().Add(10 * time.Hour)
	notice := n.notice(t, now.AddDate(0, 0, 40))
	must(t, a.Stand(notice, n.point, now))
	must(t, a.Stand(notice, n.point, now.Add(time.Hour))) // the same again changes nothing
	a, err := authority.Open(dir)
	must(t, err)
	leaf, _ := a.State().Issuer("shop.example")
	if !leaf.Sunset || leaf.LastSeen != now.UnixMilli() {
		t.Fatalf("%+v", leaf)
	}
	shown, err := a.Notices()
	if err != nil || len(shown) != 1 {
		t.Fatalf("%d, %v", len(shown), err)
	}
	signer, err := x509.ParseCertificate(a.Trust().StateSigner[0])
	must(t, err)
	got, since, err := license.ParseStanding(shown[0], signer.PublicKey)
	if err != nil || since != leaf.LastSeen || got.Verify(n.point) != nil {
		t.Fatalf("%v, %v", since, err)
	}
	if _, err := a.Enroll(request(t, pki.LicenseIssuer), now.Add(2*time.Hour)); err != nil { // a new certificate leaves the leaf to its notice
		t.Fatal(err)
	}
	must(t, a.Publish(now.Add(3*time.Hour)))
	if leaf, _ := a.State().Issuer("shop.example"); leaf.LastSeen != since {
		t.Errorf("last seen %d, the notice stands since %d", leaf.LastSeen, since)
	}
	must(t, a.Withdraw("shop.example", n.withdrawal(t, notice), now.Add(24*time.Hour)))
	if leaf, _ := a.State().Issuer("shop.example"); leaf.Sunset {
		t.Errorf("withdrawn: %+v", leaf)
	}
	if shown, err := a.Notices(); err != nil || len(shown) != 0 {
		t.Errorf("%d, %v", len(shown), err)
	}
}

func TestSunset_3_WhatCannotStand(t *testing.T) {
	n, other := newNotary(t), newNotary(t)
	now := start().Add(10 * time.Hour)
	a := withIssuer(t, newMemory())
	good := n.notice(t, now.AddDate(0, 0, 30))
	foreign, err := license.SignNotice(n.key, license.Notice{Issuer: "nobody", Effective: now.AddDate(0, 0, 40).UnixMilli()})
	must(t, err)
	for name, do := range map[string]func() error{
		"29 days ahead":         func() error { return a.Stand(n.notice(t, now.AddDate(0, 0, 30).Add(-time.Millisecond)), n.point, now) },
		"another key":           func() error { return a.Stand(good, other.point, now) },
		"no issuer of this one": func() error { return a.Stand(foreign, n.point, now) },
		"no notice":             func() error { return a.Stand([]byte("notice"), n.point, now) },
		"nothing to withdraw":   func() error { return a.Withdraw("shop.example", n.withdrawal(t, good), now) },
	} {
		if err := do(); !errors.Is(err, authority.ErrSunset) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, a.Stand(good, n.point, now))
	for name, do := range map[string]func() error{
		"a second notice":      func() error { return a.Stand(n.notice(t, now.AddDate(0, 0, 50)), n.point, now) },
		"withdrawn by another": func() error { return a.Withdraw("shop.example", other.withdrawal(t, good), now) },
		"withdrawal of another": func() error {
			return a.Withdraw("shop.example", n.withdrawal(t, n.notice(t, now.AddDate(0, 0, 50))), now)
		},
		"withdrawn when it is on": func() error { return a.Withdraw("shop.example", n.withdrawal(t, good), now.AddDate(0, 0, 30)) },
	} {
		if err := do(); !errors.Is(err, authority.ErrSunset) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSunset_3_PowerFailsAtEveryWrite: a notice stands wholly or not at all, and so
// does its withdrawal.
func TestSunset_3_PowerFailsAtEveryWrite(t *testing.T) {
	n := newNotary(t)
	now := start().Add(10 * time.Hour)
	before := newMemory()
	withIssuer(t, before)
	notice := n.notice(t, now.AddDate(0, 0, 40))
	stands := func(dir *memory) (flag bool, shown int) {
		t.Helper()
		a, err := authority.Open(dir)
		must(t, err)
		leaf, _ := a.State().Issuer("shop.example")
		list, err := a.Notices()
		must(t, err)
		return leaf.Sunset, len(list)
	}
	for _, withdraw := range []bool{false, true} {
		for left := range 10 {
			dir := &memory{files: maps.Clone(before.files), left: -1}
			a, err := authority.Open(dir)
			must(t, err)
			do := func() error { return a.Stand(notice, n.point, now) }
			if withdraw {
				must(t, do())
				do = func() error { return a.Withdraw("shop.example", n.withdrawal(t, notice), now.Add(time.Hour)) }
			}
			dir.left = left
			err = do()
			dir.left = -1
			flag, shown := stands(dir)
			if want := (err == nil) != withdraw; flag != want || (shown == 1) != want {
				t.Errorf("withdraw %v, %d writes, %v: flag %v, %d notices", withdraw, left, err, flag, shown)
			}
			if err == nil {
				break
			}
			must(t, do()) // and the same process goes on
		}
	}
}
