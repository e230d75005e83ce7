package module_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// club is a household without a server: its shop manages the domain, and the test is
// the shop's host, which keeps the roll.
type club struct {
	*house

	roll trem.Rolled
}

func newClub(t *testing.T, devices, newAYear uint64) *club {
	t.Helper()
	c := &club{house: newHouse(t)}
	c.do(trem.RollOrder{Op: trem.RollCreate, Devices: devices, NewAYear: newAYear})
	if c.roll.Generation != 1 || c.roll.Domain == (ident.Domain{}) || len(c.roll.Members) != 0 {
		t.Fatalf("a new domain: %+v", c.roll)
	}
	return c
}

// try does an operation on the roll that is kept, and keeps the one that comes back.
func (c *club) try(o trem.RollOrder) (trem.Rolled, error) {
	if o.Op != trem.RollCreate {
		o.Roll = c.roll.Roll
	}
	got, err := c.issuer.Roll(c.t.Context(), o)
	if err == nil {
		c.roll = got
	}
	return got, err
}

func (c *club) do(o trem.RollOrder) trem.Rolled {
	c.t.Helper()
	got, err := c.try(o)
	c.must(err)
	return got
}

func (c *club) who(b *box, mark string) *trem.Candidate {
	return &trem.Candidate{Chain: c.chainOf(b), Hardware: []byte(mark)}
}

// enter makes a device a member.
func (c *club) enter(b *box) {
	c.t.Helper()
	got := c.do(trem.RollOrder{Op: trem.RollAdmit, Who: c.who(b, b.dir)})
	c.must(b.Join(c.t.Context(), trem.Admission{Membership: got.Membership, Manager: got.Manager}))
}

// fetch gets a license for a device from the shop, whose host goes by its roll.
func (c *club) fetch(b *box, terms string) []trem.Event {
	c.t.Helper()
	return c.fetchBy(b, terms, func() []byte { return c.do(trem.RollOrder{Op: trem.RollSeen, Device: b.id}).Roll })
}

func (c *club) fetchBy(b *box, terms string, roll func() []byte) []trem.Event {
	c.t.Helper()
	o, err := b.Open(c.t.Context(), trem.LicenseRequest{Peer: c.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: c.issuerID})
	c.must(err)
	sell := c.stateful(terms, filmID)
	return c.carry(b, c.issuer, o, func(e trem.Event) trem.Terms {
		if !e.Member || e.Domain != c.roll.Domain || e.Peer != b.id {
			c.t.Errorf("the shop hears %+v", e)
		}
		t := sell(e)
		t.Roll = roll()
		t.Info.Subject = license.DomainSubject(c.roll.Domain, c.roll.Generation)
		return t
	})
}

// card is what the shop tells its members of one of them.
func (c *club) card(b *box) trem.Card {
	c.t.Helper()
	s, err := b.Status(c.t.Context())
	c.must(err)
	return trem.Card{Chain: s.Chain, Delivery: s.Delivery, Membership: c.do(trem.RollOrder{Op: trem.RollCard, Device: b.id}).Membership}
}

// Two devices without a server of their own: each gets a title from the shop, one gives
// its rental to the other, one leaves, and what comes after is not for it.
func TestDomain_AnIssuerManages(t *testing.T) {
	c := newClub(t, 5, 0)
	ctx := t.Context()
	c.stock(cenc.SchemeCENC, filmID)
	c.enter(c.tablet)
	c.enter(c.phone)
	c.wantKinds(c.fetch(c.tablet, "PLAY; PLAY_COUNT=2; MOVE=DOMAIN"), trem.EventInstalled, trem.EventClosed)
	c.plays(c.tablet, true)
	out, err := c.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: c.card(c.phone)})
	c.must(err)
	c.mail(out.Letters)
	c.plays(c.phone, true)
	c.plays(c.tablet, false)

	left, err := c.phone.Leave(ctx, c.issuer.id)
	c.must(err)
	before := c.roll.Roll
	for range 2 { // the second time it was heard before
		c.do(trem.RollOrder{Op: trem.RollLetter, Letter: left.Letters[0].Bytes})
		if c.roll.Generation != 2 || len(c.roll.Members) != 1 {
			t.Fatalf("after it left: %+v", c.roll)
		}
	}
	c.plays(c.phone, false)
	c.wantKinds(c.fetch(c.tablet, purchase), trem.EventInstalled) // of generation 2, with the membership of that
	c.issuer.restart()
	c.learn(c.issuer)
	got, err := c.issuer.Roll(ctx, trem.RollOrder{Op: trem.RollCard, Roll: before, Device: c.phone.id})
	if err != nil || got.Generation != 2 || len(got.Membership) != 0 || len(got.Members) != 1 {
		t.Errorf("by an older roll: %+v, %v", got, err)
	}
	c.learn(c.phone)
	c.enter(c.phone) // and back, by a new approval
	c.wantKinds(c.fetch(c.phone, purchase), trem.EventInstalled)
}

// A device that was removed keeps its membership, and gets nothing by it: not from the
// shop, not by a roll of before, not from a fellow.
func TestDomain_RemovedFromAnIssuersDomain(t *testing.T) {
	c := newClub(t, 5, 0)
	ctx := t.Context()
	c.stock(cenc.SchemeCENC, filmID)
	c.enter(c.tablet)
	c.enter(c.phone)
	old, card := c.roll.Roll, c.card(c.phone)
	c.do(trem.RollOrder{Op: trem.RollRemove, Device: c.phone.id})
	c.do(trem.RollOrder{Op: trem.RollRemove, Device: c.phone.id}) // said again
	lost, err := c.issuer.Roll(ctx, trem.RollOrder{Op: trem.RollRemove, Roll: old, Device: c.phone.id})
	if err != nil || c.roll.Generation != 2 || lost.Generation != 2 {
		t.Errorf("generation %d, and by a host that did not record it %d (%v)", c.roll.Generation, lost.Generation, err)
	}
	c.wantRefused(c.fetchBy(c.phone, purchase, func() []byte { return old }), "NOT_MEMBER")
	c.wantKinds(c.fetch(c.tablet, "PLAY; PLAY_COUNT=2; MOVE=DOMAIN"), trem.EventInstalled, trem.EventClosed)
	if _, err := c.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: card}); err == nil {
		t.Error("a fellow gives to who was put out")
	}
	for name, o := range map[string]trem.RollOrder{
		"admitted by the old roll": {Op: trem.RollAdmit, Roll: old, Who: c.who(c.phone, "another")},
		"seen by the old roll":     {Op: trem.RollSeen, Roll: old, Device: c.phone.id},
		"admitted by the new roll": {Op: trem.RollAdmit, Roll: c.roll.Roll, Who: c.who(c.phone, "another")},
	} {
		if got, err := c.issuer.Roll(ctx, o); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A device that was wiped is as one that was removed: who shows its key has an old copy.
func TestDomain_WipedInAnIssuersDomain(t *testing.T) {
	c := newClub(t, 5, 0)
	c.enter(c.phone)
	got, err := c.phone.Wipe(t.Context(), trem.WipeOrder{House: c.issuer.id})
	c.must(err)
	c.do(trem.RollOrder{Op: trem.RollLetter, Letter: got.Letters[0].Bytes})
	if len(c.roll.Members) != 0 || c.roll.Generation != 2 {
		t.Fatalf("after it was wiped: %+v", c.roll)
	}
	if got, err := c.try(trem.RollOrder{Op: trem.RollAdmit, Who: c.who(c.phone, "")}); err == nil {
		t.Errorf("an old copy of it is admitted: %+v", got)
	}
}

// A database that was put back by many steps is not believed at all; by some, nobody
// comes back, and who stayed goes on.
func TestDomain_RollsThatWerePutBack(t *testing.T) {
	c := newClub(t, 64, 0)
	ctx := t.Context()
	c.enter(c.tablet)
	ancient := c.roll.Roll
	var old []byte
	var gone []ident.Device
	for n := range 9 {
		if n == 1 {
			old = c.roll.Roll
		}
		p := c.pki.Party(pki.Device)
		got := c.do(trem.RollOrder{Op: trem.RollAdmit, Who: &trem.Candidate{Chain: p.Chain}})
		c.do(trem.RollOrder{Op: trem.RollRemove, Device: got.Device})
		gone = append(gone, got.Device)
	}
	c.issuer.restart()
	c.learn(c.issuer)
	got, err := c.issuer.Roll(ctx, trem.RollOrder{Op: trem.RollSeen, Roll: old, Device: c.tablet.id})
	if err != nil || got.Generation != 10 || len(got.Membership) == 0 {
		t.Errorf("8 steps back: %+v, %v", got, err)
	}
	for _, id := range gone {
		if slices.ContainsFunc(got.Members, func(m trem.RollMember) bool { return m.Device == id }) {
			t.Errorf("%v is back", id)
		}
	}
	_, err = c.issuer.Roll(ctx, trem.RollOrder{Op: trem.RollSeen, Roll: ancient, Device: c.tablet.id})
	wantTREM(t, "9 steps back", err, trem.CodeState)
}

// Nobody else says who is of a domain: another issuer, another roll, a changed one, a
// home server.
func TestDomain_AnIssuersRollIsItsOwn(t *testing.T) {
	c := newClub(t, 5, 0)
	ctx := t.Context()
	other := c.box(pki.LicenseIssuer, pkitest.Issuers)
	c.learn(other)
	c.enter(c.tablet)
	order := trem.RollOrder{Op: trem.RollAdmit, Roll: c.roll.Roll, Who: c.who(c.phone, "phone")}
	_, err := other.Roll(ctx, order)
	wantTREM(t, "another issuer's roll", err, trem.CodeRejected)
	_, err = c.home.Roll(ctx, order)
	wantTREM(t, "a home server", err, trem.CodeState)
	for at := range c.roll.Roll {
		order.Roll = slices.Clone(c.roll.Roll)
		order.Roll[at] ^= 4
		if _, err := c.issuer.Roll(ctx, order); err == nil {
			t.Fatalf("byte %d changed, and it is believed", at)
		}
	}
	theirs, err := other.Roll(ctx, trem.RollOrder{Op: trem.RollCreate, Devices: 5})
	c.must(err)
	got, err := other.Roll(ctx, trem.RollOrder{Op: trem.RollAdmit, Roll: theirs.Roll, Who: c.who(c.tablet, "tablet")})
	c.must(err)
	err = c.tablet.Join(ctx, trem.Admission{Membership: got.Membership, Manager: got.Manager})
	wantTREM(t, "a device of one issuer, by another", err, trem.CodeRejected)
	mine := c.do(trem.RollOrder{Op: trem.RollCard, Device: c.tablet.id})
	err = c.tablet.Join(ctx, trem.Admission{Membership: mine.Membership, Manager: c.chainOf(other)})
	wantTREM(t, "with the chain of another", err, trem.CodeRejected)
	err = c.phone.Join(ctx, trem.Admission{Membership: mine.Membership, Manager: mine.Manager})
	wantTREM(t, "another device's membership", err, trem.CodeRejected)
}

// Who manages a house changes by leaving only.
func TestDomain_TheManagerIsNotSwapped(t *testing.T) {
	c := newClub(t, 5, 0)
	ctx := t.Context()
	c.enter(c.tablet)
	wantTREM(t, "from the issuer to a home server", c.pair(c.tablet), trem.CodeRejected)
	c.must(c.pair(c.phone))
	got := c.do(trem.RollOrder{Op: trem.RollAdmit, Who: c.who(c.phone, "phone")})
	in := trem.Admission{Membership: got.Membership, Manager: got.Manager}
	wantTREM(t, "from a home server to the issuer", c.phone.Join(ctx, in), trem.CodeRejected)
	c.stock(cenc.SchemeCENC, filmID)
	o, err := c.phone.Open(ctx, trem.LicenseRequest{Peer: c.issuer.id, Request: ident.NewRequest(), Content: filmID, Issuer: c.issuerID})
	c.must(err)
	c.wantRefused(c.carry(c.phone, c.issuer, o, nil), "BAD_REQUEST")
	_, err = c.phone.Leave(ctx, c.home.id)
	c.must(err)
	c.must(c.phone.Join(ctx, in))
}

// An issuer whose certificate was revoked makes no members any more.
func TestDomain_ARevokedIssuerManagesNothing(t *testing.T) {
	c := newClub(t, 5, 0)
	got := c.do(trem.RollOrder{Op: trem.RollAdmit, Who: c.who(c.tablet, "tablet")})
	st, err := c.issuer.Status(t.Context())
	c.must(err)
	c.must(c.builder.RevokeDevice(pki.Class(st.Class), st.Index))
	c.learn(c.tablet)
	wantTREM(t, "by a revoked issuer", c.tablet.Join(t.Context(), trem.Admission{Membership: got.Membership, Manager: got.Manager}), trem.CodeRejected)
}

func wantLimit(t *testing.T, what string, err error, constraint string) {
	t.Helper()
	no, ok := errors.AsType[*trem.RefusalError](err)
	if !ok || no.Decision.Reasons[0].Constraint != constraint {
		t.Errorf("%s: %v, want %s", what, err, constraint)
	}
}

// The issuer's limits: devices at a time, new ones in a year; a machine that was
// installed anew takes its own place, an idle one gives its place if that is approved.
func TestDomain_LimitsOfAnIssuersDomain(t *testing.T) {
	c := newClub(t, 2, 3)
	for _, n := range []uint64{0, 65} {
		_, err := c.issuer.Roll(t.Context(), trem.RollOrder{Op: trem.RollCreate, Devices: n})
		wantTREM(t, "a domain of so many", err, trem.CodeRejected)
	}
	new := func() *trem.Candidate { return &trem.Candidate{Chain: c.pki.Party(pki.Device).Chain} }
	c.do(trem.RollOrder{Op: trem.RollAdmit, Who: c.who(c.tablet, "machine")})
	c.do(trem.RollOrder{Op: trem.RollAdmit, Who: new()})
	_, err := c.try(trem.RollOrder{Op: trem.RollAdmit, Who: new()})
	wantLimit(t, "a third of two", err, "DOMAIN_DEVICES")
	got := c.do(trem.RollOrder{Op: trem.RollAdmit, Who: c.who(c.phone, "machine")})
	if got.Replaced != c.tablet.id || got.Generation != 2 || len(got.Members) != 2 {
		t.Errorf("installed anew: %+v", got)
	}
	_, err = c.try(trem.RollOrder{Op: trem.RollAdmit, Who: c.who(c.tablet, "machine")})
	wantTREM(t, "the old key", err, trem.CodeRejected)

	c.pass(20 * 24 * time.Hour)
	c.do(trem.RollOrder{Op: trem.RollSeen, Device: c.phone.id})
	c.pass(20 * 24 * time.Hour)
	idle := new()
	_, err = c.try(trem.RollOrder{Op: trem.RollAdmit, Who: idle})
	wantLimit(t, "without approval", err, "DOMAIN_DEVICES")
	idle.Idle = true
	if got = c.do(trem.RollOrder{Op: trem.RollAdmit, Who: idle}); got.Generation != 3 || got.Replaced == c.phone.id || len(got.Members) != 2 {
		t.Errorf("in the place of the idle one: %+v", got)
	}
	last := c.do(trem.RollOrder{Op: trem.RollRemove, Device: got.Device})
	_, err = c.try(trem.RollOrder{Op: trem.RollAdmit, Who: new()})
	wantLimit(t, "a fourth new one of the year", err, "DOMAIN_NEW")
	if c.roll.Generation != last.Generation {
		t.Error("a refusal has changed the roll")
	}
}

// HERE renews, also of a member that had lapsed; what is over is over for fellows.
func TestDomain_LapseInAnIssuersDomain(t *testing.T) {
	c := newClub(t, 5, 0)
	ctx := t.Context()
	c.stock(cenc.SchemeCENC, filmID)
	c.enter(c.tablet)
	c.enter(c.phone)
	c.wantKinds(c.fetch(c.tablet, "PLAY; PLAY_COUNT=2; MOVE=DOMAIN"), trem.EventInstalled, trem.EventClosed)
	c.pass(31 * 24 * time.Hour)
	for _, b := range []*box{c.issuer, c.tablet, c.phone} {
		c.learn(b)
	}
	if m := c.do(trem.RollOrder{Op: trem.RollCard, Device: c.phone.id}).Members; !m[0].Lapsed || !m[1].Lapsed {
		t.Errorf("%+v", m)
	}
	if _, err := c.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: c.card(c.phone)}); err == nil {
		t.Error("it goes between two that were not seen for 31 days")
	}
	for _, b := range []*box{c.tablet, c.phone} {
		say, err := b.Letters(ctx)
		c.must(err)
		got := c.do(trem.RollOrder{Op: trem.RollLetter, Letter: say.Letters[0].Bytes})
		c.mail(got.Letters)
	}
	out, err := c.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: c.card(c.phone)})
	c.must(err)
	c.mail(out.Letters)
	c.plays(c.phone, true)
}
