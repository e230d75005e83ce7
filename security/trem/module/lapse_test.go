package module_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// member is what the house's module says of one of its devices.
func (h *house) member(b *box) trem.Member {
	h.t.Helper()
	list, err := h.home.Members(h.t.Context())
	h.must(err)
	for _, m := range list {
		if m.Device == b.id {
			return m
		}
	}
	h.t.Fatalf("%v is no member", b.id)
	return trem.Member{}
}

// A member that was not seen for 30 days neither gives nor gets; what it has plays
// on. Its word that it is there brings it back into its place, after a restart too.
func TestDomain_AMemberThatIsNotSeenLapses(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=9; MOVE=DOMAIN")
	ctx := t.Context()
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	old := h.card(h.tablet)
	before := h.member(h.tablet)
	if before.Lapsed || before.Until-before.Seen != (30*24*time.Hour).Milliseconds() {
		t.Fatalf("%+v", before)
	}
	h.pass(29 * 24 * time.Hour)
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		h.learn(b)
	}
	h.mail(h.letters(h.phone)) // the phone meets the house
	h.pass(2 * 24 * time.Hour)
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		h.learn(b)
	}
	h.home.restart()
	h.learn(h.home)
	if h.member(h.phone).Lapsed || !h.member(h.tablet).Lapsed {
		t.Fatalf("phone %+v, tablet %+v", h.member(h.phone), h.member(h.tablet))
	}
	h.plays(h.tablet, true)
	_, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	wantTREM(t, "a lapsed member gives", err, trem.CodeState)
	_, err = h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: old})
	wantTREM(t, "to a lapsed member", err, trem.CodeState)
	if _, err = h.phone.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: old}); err == nil {
		t.Error("a fellow gives to a lapsed member")
	}
	h.mail(h.letters(h.tablet))
	after := h.member(h.tablet)
	if after.Lapsed || after.Index != before.Index {
		t.Errorf("back: %+v, before %+v", after, before)
	}
	got, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	h.mail(got.Letters)
	h.plays(h.phone, true)
}

// What another member's membership says counts until its end, and no longer: it is
// the fellow that looks, not the house.
func TestDomain_AFellowLooksAtTheEndOfAMembership(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=9; MOVE=DOMAIN")
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	card := h.card(h.phone)
	h.pass(29 * 24 * time.Hour)
	for _, b := range []*box{h.home, h.tablet} {
		h.learn(b)
	}
	h.mail(h.letters(h.tablet)) // only the tablet meets the house
	h.pass(2 * 24 * time.Hour)
	h.learn(h.home)
	h.learn(h.tablet)
	_, err := h.tablet.HandOver(t.Context(), trem.HandOver{Op: trem.OpMove, Content: filmID, To: card})
	no, ok := errors.AsType[*trem.RefusalError](err)
	if !ok || !slices.ContainsFunc(no.Decision.Reasons, func(r license.Reason) bool { return r.Code == license.DestNotAllowed }) {
		t.Errorf("to a fellow whose membership is over: %v", err)
	}
}

// A word of the day before yesterday, and one of a device that is no member, renew
// nothing.
func TestDomain_HereIsANewWordOfAMember(t *testing.T) {
	h := newHouse(t)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.pass(20 * 24 * time.Hour)
	h.learn(h.home)
	h.learn(h.tablet)
	h.learn(h.phone)
	was, err := h.tablet.Letters(t.Context())
	h.must(err)
	if len(was.Letters) != 1 {
		t.Fatalf("%d letters, want the word that it is there", len(was.Letters))
	}
	h.pass(2 * 24 * time.Hour)
	h.learn(h.home)
	_, err = h.home.Post(t.Context(), was.Letters[0].Bytes)
	wantTREM(t, "two days old", err, trem.CodeRejected)
	gone, err := h.phone.Letters(t.Context())
	h.must(err)
	h.must(h.home.Remove(t.Context(), h.phone.id))
	_, err = h.home.Post(t.Context(), gone.Letters[0].Bytes)
	wantTREM(t, "of a removed device", err, trem.CodeRejected)
}

// In a full house the one that was not seen for the longest time gives its place, and
// only when the owner says so. It may come back as a new one.
func TestDomain_TheIdlestGivesItsPlace(t *testing.T) {
	h := newHouse(t)
	admit := func(idle bool) (trem.Admission, ident.Device, error) {
		p := h.pki.Party(pki.Device)
		a, err := h.home.Admit(t.Context(), trem.Candidate{Chain: p.Chain, Hardware: p.Leaf()[:40], Idle: idle})
		return a, h.pki.Peer(p).ID(), err
	}
	h.must(h.pair(h.tablet)) // the first, and so the one that is idle the longest
	h.pass(3 * time.Hour)
	h.learn(h.home)
	for range 63 {
		_, _, err := admit(true)
		h.must(err)
	}
	_, _, err := admit(true)
	wantTREM(t, "nobody has lapsed", err, trem.CodeRejected)
	h.pass(31 * 24 * time.Hour)
	h.learn(h.home)
	h.learn(h.tablet)
	_, _, err = admit(false)
	if wantTREM(t, "without the owner's word", err, trem.CodeRejected); !strings.Contains(err.Error(), h.tablet.id.String()) {
		t.Errorf("%v does not name %v", err, h.tablet.id)
	}
	a, _, err := admit(true)
	if err != nil || a.Replaced != h.tablet.id {
		t.Fatalf("replaced %v (%v), want the tablet", a.Replaced, err)
	}
	h.home.restart()
	h.learn(h.home)
	gone, err := h.tablet.Letters(t.Context())
	h.must(err)
	_, err = h.home.Post(t.Context(), gone.Letters[0].Bytes)
	wantTREM(t, "of a device without a place", err, trem.CodeRejected)
	s, err := h.tablet.Status(t.Context())
	h.must(err)
	back, err := h.home.Admit(t.Context(), trem.Candidate{Chain: s.Chain, Hardware: []byte(h.tablet.dir), Idle: true})
	if err != nil || back.Replaced == (ident.Device{}) {
		t.Fatalf("it does not come back in the place of the next one: %v, %v", back.Replaced, err)
	}
	h.must(h.tablet.Join(t.Context(), back))
}
