package authority_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/authority"
)

// sender is an issuer whose module sends what its notice key has signed.
type sender struct {
	notary
	*party
	chain [][]byte
}

func newSender(t testing.TB, a *authority.Authority) *sender {
	t.Helper()
	s := &sender{notary: newNotary(t), party: newParty(t, pki.LicenseIssuer)}
	s.chain = s.enroll(a, 1, start()).Chain
	return s
}

// sends is a statement with the module's word of that time.
func (s *sender) sends(statement []byte, at time.Time) authority.Sending {
	s.Helper()
	proof, err := license.SignSent(s.signing, s.chain[0], license.SentBy("shop.example", statement, s.point, at.UnixMilli()))
	must(s, err)
	return authority.Sending{Statement: statement, Key: s.point, Chain: s.chain, Proof: proof}
}

func wantState(t testing.TB, a *authority.Authority, in authority.Sending, now time.Time, want authority.SentState) authority.Taken {
	t.Helper()
	got, err := a.Take(in, now)
	if err != nil || got.State != want || got.Issuer != "shop.example" {
		t.Fatalf("%+v, %v; want %v", got, err, want)
	}
	return got
}

func TestSunset_3_SentNoticeWaitsForTheOperator(t *testing.T) {
	dir := newMemory()
	a := ceremony(t, dir)
	s := newSender(t, a)
	now := start().Add(time.Hour)
	must(t, a.Publish(now))
	notice := s.notice(t, now.AddDate(0, 0, 40))
	first := wantState(t, a, s.sends(notice, now), now, authority.SentWaits)
	a, err := authority.Open(dir) // durable
	must(t, err)
	if again := wantState(t, a, s.sends(notice, now.Add(time.Minute)), now.Add(time.Minute), authority.SentWaits); again != first {
		t.Errorf("the same again: %+v, was %+v", again, first)
	}
	info := a.Issuers()[0]
	if w := info.Waits; w == nil || !w.Since.Equal(now) || !w.Effective.Equal(now.AddDate(0, 0, 40)) || w.Key != fmt.Sprintf("%x", s.point) || w.From == (ident.Device{}) || !info.Effective.IsZero() {
		t.Errorf("%+v", info)
	}
	if leaf, _ := a.State().Issuer("shop.example"); leaf.Sunset {
		t.Error("it stands already")
	}
	if shown, err := a.Notices(); err != nil || len(shown) != 0 {
		t.Errorf("%d notices are shown, %v", len(shown), err)
	}
	stood := now.Add(2 * time.Hour)
	must(t, a.StandSent("shop.example", waits(t, a), stood))
	a, err = authority.Open(dir)
	must(t, err)
	if info := a.Issuers()[0]; info.Waits != nil || !info.Effective.Equal(now.AddDate(0, 0, 40)) {
		t.Errorf("stands: %+v", info)
	}
	if got := wantState(t, a, s.sends(notice, stood), stood, authority.SentStands); !got.Since.Equal(stood) {
		t.Errorf("%+v", got)
	}
	if err := a.StandSent("shop.example", strings.Repeat("0", 64), stood); !errors.Is(err, authority.ErrSunset) {
		t.Errorf("nothing waits: %v", err)
	}
	back := s.withdrawal(t, notice)
	later := stood.Add(time.Hour)
	wantState(t, a, s.sends(back, later), later, authority.SentWithdrawn)
	if leaf, _ := a.State().Issuer("shop.example"); leaf.Sunset {
		t.Error("withdrawn, and it stands")
	}
	wantState(t, a, s.sends(back, later.Add(time.Second)), later.Add(time.Second), authority.SentWithdrawn)
}

func TestSunset_3_OperatorRefusesWhatWaits(t *testing.T) {
	a := ceremony(t, newMemory())
	s := newSender(t, a)
	now := start().Add(time.Hour)
	must(t, a.Publish(now))
	if err := a.RefuseSent("shop.example", strings.Repeat("0", 64), now); !errors.Is(err, authority.ErrSunset) {
		t.Errorf("nothing waits: %v", err)
	}
	notice := s.notice(t, now.AddDate(0, 0, 40))
	wantState(t, a, s.sends(notice, now), now, authority.SentWaits)
	must(t, a.RefuseSent("shop.example", waits(t, a), now))
	if _, err := a.Take(s.sends(notice, now.Add(time.Second)), now.Add(time.Second)); !errors.Is(err, authority.ErrSunset) || a.Issuers()[0].Waits != nil {
		t.Errorf("refused, and sent again: %v", err)
	}
	other := s.notice(t, now.AddDate(0, 0, 41))
	wantState(t, a, s.sends(other, now.Add(2*time.Second)), now.Add(2*time.Second), authority.SentWaits)
	// By a file it is the operator's own decision.
	must(t, a.Stand(other, s.point, now.Add(time.Hour)))
	if a.Issuers()[0].Waits != nil {
		t.Error("it stands, and waits")
	}
}

// TestSunset_3_OldWordsDoNothing: what was taken back does not come again, and a
// withdrawal from before a notice does not end it.
func TestSunset_3_OldWordsDoNothing(t *testing.T) {
	a := ceremony(t, newMemory())
	s := newSender(t, a)
	now := start().Add(time.Hour)
	must(t, a.Publish(now))
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	first, second := s.notice(t, now.AddDate(0, 0, 40)), s.notice(t, now.AddDate(0, 0, 50))
	said := s.sends(first, at(1))
	back := s.sends(s.withdrawal(t, first), at(2))
	wantState(t, a, said, at(1), authority.SentWaits)
	wantState(t, a, back, at(2), authority.SentWithdrawn)
	older := func(name string, in authority.Sending, seconds int) {
		t.Helper()
		if got, err := a.Take(in, at(seconds)); !errors.Is(err, authority.ErrOlder) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	older("a withdrawn notice", said, 3)
	wantState(t, a, s.sends(first, at(4)), at(4), authority.SentWaits) // the issuer means it again
	older("the withdrawal of before", back, 5)
	wantState(t, a, s.sends(second, at(6)), at(6), authority.SentWaits) // and has another day in mind
	older("the notice of before", s.sends(first, at(5)), 7)
	if _, err := a.Take(s.sends(s.withdrawal(t, first), at(8)), at(8)); !errors.Is(err, authority.ErrSunset) {
		t.Errorf("a withdrawal of what does not wait any more: %v", err)
	}
	if w := a.Issuers()[0].Waits; w == nil || !w.Effective.Equal(now.AddDate(0, 0, 50)) {
		t.Fatalf("%+v", w)
	}
	must(t, a.StandSent("shop.example", waits(t, a), at(9)))
	older("a withdrawal of the standing notice that was signed before it", s.sends(s.withdrawal(t, second), at(6)), 10)
	if _, err := a.Take(s.sends(first, at(11)), at(11)); !errors.Is(err, authority.ErrSunset) {
		t.Errorf("another one while one stands: %v", err)
	}
	wantState(t, a, s.sends(s.withdrawal(t, second), at(12)), at(12), authority.SentWithdrawn)
	// A notice that was never heard here is taken back first.
	third := s.notice(t, now.AddDate(0, 0, 60))
	late := s.sends(third, at(13))
	wantState(t, a, s.sends(s.withdrawal(t, third), at(14)), at(14), authority.SentWithdrawn)
	older("its notice, late", late, 15)
}

// TestSunset_3_WhoSends: the notice key alone does nothing, nor does another module.
func TestSunset_3_WhoSends(t *testing.T) {
	a := ceremony(t, newMemory())
	s := newSender(t, a)
	now := start().Add(time.Hour)
	home := newParty(t, pki.HomeServer)
	house := home.enroll(a, 1, start()).Chain
	foreign := newParty(t, pki.LicenseIssuer)
	req := authority.Request{Role: pki.LicenseIssuer, Stated: true, Issuer: "other.example"}
	req.Signing, req.Delivery = foreign.requests(1)
	c, err := a.Enroll(req, start())
	must(t, err)
	must(t, a.Publish(now))
	notice := s.notice(t, now.AddDate(0, 0, 40))
	good := s.sends(notice, now)
	signed := func(p *party, chain [][]byte, w license.Sent) authority.Sending {
		proof, err := license.SignSent(p.signing, chain[0], w)
		must(t, err)
		return authority.Sending{Statement: notice, Key: s.point, Chain: chain, Proof: proof}
	}
	other := newNotary(t)
	word := license.SentBy("shop.example", notice, s.point, now.UnixMilli())
	elsewhere := word
	elsewhere.Issuer = "other.example"
	for name, tc := range map[string]struct {
		in   authority.Sending
		want error
	}{
		"no proof":                        {authority.Sending{Statement: notice, Key: s.point, Chain: s.chain}, authority.ErrProof},
		"no chain":                        {authority.Sending{Statement: notice, Key: s.point, Proof: good.Proof}, authority.ErrProof},
		"the proof by the notice key":     {signed(&party{TB: t, signing: s.key}, s.chain, word), authority.ErrProof},
		"another issuer's module":         {signed(foreign, c.Chain, word), authority.ErrProof},
		"another issuer's, of itself":     {signed(foreign, c.Chain, elsewhere), authority.ErrSunset},
		"a home server's module":          {signed(home, house, word), authority.ErrProof},
		"a proof of another statement":    {authority.Sending{Statement: s.notice(t, now.AddDate(0, 0, 50)), Key: s.point, Chain: s.chain, Proof: good.Proof}, authority.ErrProof},
		"another key":                     {authority.Sending{Statement: notice, Key: other.point, Chain: s.chain, Proof: good.Proof}, authority.ErrProof},
		"a proof of eleven minutes ago":   {s.sends(notice, now.Add(-11*time.Minute)), authority.ErrProof},
		"a proof of in eleven minutes":    {s.sends(notice, now.Add(11*time.Minute)), authority.ErrProof},
		"a notice of another key":         {s.sends(other.notice(t, now.AddDate(0, 0, 40)), now), authority.ErrSunset},
		"29 days ahead":                   {s.sends(s.notice(t, now.AddDate(0, 0, 29)), now), authority.ErrSunset},
		"neither notice nor withdrawal":   {s.sends([]byte("notice"), now), authority.ErrSunset},
		"a withdrawal by another, so far": {s.sends(other.withdrawal(t, notice), now), authority.ErrSunset},
	} {
		if got, err := a.Take(tc.in, now); !errors.Is(err, tc.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	wantState(t, a, good, now, authority.SentWaits)
	now = now.Add(time.Second)
	turned := &sender{notary: other, party: s.party, chain: s.chain} // a module whose host has another notice key now
	if _, err := a.Take(turned.sends(other.withdrawal(t, notice), now), now); !errors.Is(err, authority.ErrSunset) {
		t.Errorf("a withdrawal by another key: %v", err)
	}
	peer, err := verifier(t, a).Verify(s.chain, now)
	must(t, err)
	must(t, a.RevokeDevice(pki.Member{Class: peer.Class(), Index: peer.Index()}))
	must(t, a.Publish(now.Add(time.Minute)))
	if _, err := a.Take(s.sends(s.withdrawal(t, notice), now.Add(time.Minute)), now.Add(time.Minute)); !errors.Is(err, authority.ErrProof) {
		t.Errorf("a module that was revoked: %v", err)
	}
}

// TestSunset_3_PowerFailsWhileTaken: what is sent is taken wholly or not at all, and
// what was answered is there.
func TestSunset_3_PowerFailsWhileTaken(t *testing.T) {
	before := newMemory()
	a := ceremony(t, before)
	s := newSender(t, a)
	now := start().Add(time.Hour)
	must(t, a.Publish(now))
	notice := s.notice(t, now.AddDate(0, 0, 40))
	type step struct {
		name string
		do   func(*authority.Authority) error
		done func(authority.IssuerInfo) bool
	}
	take := func(statement []byte, seconds int) func(*authority.Authority) error {
		at := now.Add(time.Duration(seconds) * time.Second)
		in := s.sends(statement, at)
		return func(a *authority.Authority) error { _, err := a.Take(in, at); return err }
	}
	stands := func(i authority.IssuerInfo) bool { return !i.Effective.IsZero() && i.Waits == nil }
	for _, st := range []step{
		{"notice", take(notice, 1), func(i authority.IssuerInfo) bool { return i.Waits != nil }},
		{"stand", func(a *authority.Authority) error {
			return a.StandSent("shop.example", waits(t, a), now.Add(2*time.Second))
		}, stands},
		{"withdrawal", take(s.withdrawal(t, notice), 3), func(i authority.IssuerInfo) bool { return !stands(i) && i.Waits == nil }},
	} {
		failed := 0
		for left := 0; ; left++ {
			dir := &memory{files: maps.Clone(before.files), left: -1}
			a, err := authority.Open(dir)
			must(t, err)
			dir.left = left
			err = st.do(a)
			dir.left = -1
			reopened, oerr := authority.Open(dir)
			must(t, oerr)
			if got := st.done(reopened.Issuers()[0]); got != (err == nil) {
				t.Errorf("%s, %d writes, %v: done %v", st.name, left, err, got)
			}
			if err == nil {
				before = dir
				break
			}
			failed++
			must(t, st.do(a)) // the same process goes on
			if !st.done(a.Issuers()[0]) {
				t.Errorf("%s again after %d writes", st.name, left)
			}
		}
		if failed == 0 {
			t.Errorf("%s wrote nothing", st.name)
		}
	}
}
