package module_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// card is what a house tells its devices of one of them.
func (h *house) card(b *box) trem.Card {
	h.t.Helper()
	s, err := b.Status(context.Background())
	h.must(err)
	if b == h.home || b == h.aunt {
		c, err := b.Card(context.Background(), trem.Card{})
		h.must(err)
		return c
	}
	c, err := h.home.Card(context.Background(), trem.Card{Chain: s.Chain, Delivery: s.Delivery})
	h.must(err)
	return c
}

// stateful sells under terms that need a transfer, counted or not.
func (h *house) stateful(terms string, id ident.Content) grant {
	g := h.sell(terms, id)
	return func(e trem.Event) trem.Terms {
		t := g(e)
		if !t.Info.Stateless() && t.Seq == 0 {
			h.seq++
			t.Seq = h.seq
		}
		return t
	}
}

// boxOf finds who a letter is for.
func (h *house) boxOf(id ident.Device) *box {
	for _, b := range []*box{h.home, h.tablet, h.phone, h.aunt} {
		if b != nil && b.id == id {
			return b
		}
	}
	return nil
}

// mail carries letters, and what they lead to, until nothing more comes.
func (h *house) mail(letters []trem.Letter) (events []trem.Event) {
	h.t.Helper()
	for ; len(letters) > 0; letters = letters[1:] {
		b := h.boxOf(letters[0].To)
		got, err := b.Post(context.Background(), letters[0].Bytes)
		var later *trem.Error
		if errors.As(err, &later) && later.Code == trem.CodeState { // it knows less than the writer
			h.learn(b)
			got, err = b.Post(context.Background(), letters[0].Bytes)
		}
		h.must(err)
		events = append(events, got.Events...)
		letters = append(letters, got.Letters...)
	}
	return events
}

// ask has a device ask its house for the license itself.
func (h *house) ask(b *box, req trem.LicenseRequest) []trem.Event {
	h.t.Helper()
	req.Peer, req.Request = h.home.id, ident.NewRequest()
	o, err := b.Open(context.Background(), req)
	h.must(err)
	return h.carry(b, h.home, o, nil)
}

func (h *house) plays(b *box, want bool) {
	h.t.Helper()
	d, err := b.Evaluate(context.Background(), playAsk(content.HD))
	h.must(err)
	if d.Allow != want {
		h.t.Fatalf("it plays: %v, want %v; %+v", d.Allow, want, d.Reasons)
	}
}

// leavesOnceBack: the title that the tablet has borrowed leaves the house only
// after the tablet gave it back, and then plays at its new owner alone.
func (h *house) leavesOnceBack() {
	h.t.Helper()
	ctx := context.Background()
	gift, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.aunt)})
	var no *trem.RefusalError
	if !errors.As(err, &no) || no.Decision.Reasons[0].Remedy != license.ReturnFirst {
		h.t.Fatalf("it leaves the house while a device has it: %+v, %v", gift, err)
	}
	last, err := h.tablet.Yield(ctx, h.held(h.tablet)[0].License)
	h.must(err)
	h.mail(last.Letters)
	gift, err = h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.aunt)})
	h.must(err)
	h.mail(gift.Letters)
	h.plays(h.aunt, true)
	h.plays(h.tablet, false)
}

func (h *house) reason(b *box, want license.Code) {
	h.t.Helper()
	d, err := b.Evaluate(context.Background(), playAsk(content.HD))
	h.must(err)
	if d.Allow || !slices.ContainsFunc(d.Reasons, func(r license.Reason) bool { return r.Code == want }) {
		h.t.Fatalf("%+v, want %s", d, want)
	}
}

func (h *house) waiting(b *box, want ...trem.Stage) {
	h.t.Helper()
	list, err := b.Transfers(context.Background())
	h.must(err)
	var got []trem.Stage
	for _, x := range list {
		got = append(got, x.Stage)
	}
	if !slices.Equal(got, want) {
		h.t.Fatalf("waiting %v, want %v", got, want)
	}
}

// movable is a house with a film that counts and may go everywhere in it.
func movable(t *testing.T, terms string) *house {
	t.Helper()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(filmID, h.stateful(terms, filmID)), trem.EventInstalled, trem.EventClosed)
	// A device learns the house's name for the shop with what it gets from it.
	return h
}

// TestTransfer_2_MoveRoundTheHouse: from the server to a device in a session, on
// to another one by letters, and home again; each time one can play it.
func TestTransfer_2_MoveRoundTheHouse(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	ctx := context.Background()
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	h.plays(h.tablet, true)
	h.reason(h.home, license.MovedAway)
	for _, b := range []*box{h.home, h.tablet} {
		b.restart()
		h.learn(b)
	}
	h.reason(h.home, license.MovedAway)
	h.waiting(h.tablet)

	out, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	h.reason(h.tablet, license.LockedInMove)
	h.waiting(h.tablet, trem.StageSent)
	h.tablet.restart()
	h.learn(h.tablet)
	again, err := h.tablet.Letters(ctx)
	h.must(err)
	if len(again.Letters) != 1 || again.Letters[0].Topic != out.Letters[0].Topic {
		t.Fatalf("after a restart %d letters", len(again.Letters))
	}
	h.learn(h.phone)
	events := h.mail(append(out.Letters, again.Letters...)) // twice: nothing doubles
	if events[0].Kind != trem.EventInstalled {
		t.Fatalf("%+v", events[0])
	}
	h.plays(h.phone, true)
	h.reason(h.tablet, license.MovedAway)
	h.waiting(h.tablet)
	h.waiting(h.phone)
	if held := h.held(h.phone); len(held) != 1 || *held[0].Counters.PlaysLeft != 3 || held[0].Kind != 0 {
		t.Fatalf("%+v", held)
	}

	back, err := h.phone.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home)})
	h.must(err)
	h.mail(back.Letters)
	h.plays(h.home, true)
	h.reason(h.phone, license.MovedAway)
	// The old letter comes once more: it is closed, and nothing installs.
	late := h.mail(out.Letters)
	if slices.Contains(kinds(late), trem.EventInstalled) && len(h.held(h.phone)) > 0 {
		t.Fatalf("an old letter installed: %+v", late)
	}
	h.reason(h.phone, license.MovedAway)
	h.home.restart()
	h.plays(h.home, true)
}

// TestTransfer_2_MoveIsRefusedAndComesBack, and one that is cancelled in time.
func TestTransfer_2_MoveIsRefusedAndComesBack(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	ctx := context.Background()
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	out, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	cancel, err := h.tablet.Cancel(ctx, out.Transfer)
	h.must(err)
	h.mail(cancel.Letters)
	h.plays(h.tablet, true)
	h.mail(out.Letters) // too late
	h.plays(h.tablet, true)
	if len(h.held(h.phone)) != 0 {
		t.Error("a cancelled move installed")
	}
	// One that has arrived cannot be cancelled.
	out, err = h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	if _, err := h.phone.Post(ctx, out.Letters[0].Bytes); err != nil {
		t.Fatal(err)
	}
	h.waiting(h.phone, trem.StageUnconfirmed)
	if _, err := h.phone.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home)}); err == nil {
		t.Error("an UNCONFIRMED right moved on")
	}
	cancel, err = h.tablet.Cancel(ctx, out.Transfer)
	h.must(err)
	h.mail(cancel.Letters)
	h.plays(h.phone, true)
	h.reason(h.tablet, license.MovedAway)
}

// TestTransfer_2_MoveNeedsTheRight: no MOVE, another house's device, a stranger.
func TestTransfer_2_MoveNeedsTheRight(t *testing.T) {
	ctx := context.Background()
	h := movable(t, "PLAY; PLAY_COUNT=3")
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventRefused)
	var no *trem.RefusalError
	if _, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)}); !errors.As(err, &no) || no.Decision.Reasons[0].Code != license.NoGrant {
		t.Errorf("%v", err)
	}
	h = newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet)) // the phone is certified, and of no house
	h.wantKinds(h.buy(filmID, h.stateful("PLAY; PLAY_COUNT=3; MOVE=DOMAIN", filmID)), trem.EventInstalled, trem.EventClosed)
	s, err := h.phone.Status(ctx)
	h.must(err)
	if _, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: trem.Card{Chain: s.Chain, Delivery: s.Delivery}}); !errors.As(err, &no) || no.Decision.Reasons[0].Code != license.DestNotAllowed {
		t.Errorf("to a stranger: %v", err)
	}
	h.wantKinds(h.ask(h.phone, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventRefused)
	h.plays(h.home, true)
}

// TestTransfer_2_CopyOnce: one copy, of the next generation, which makes none.
func TestTransfer_2_CopyOnce(t *testing.T) {
	h := movable(t, "PLAY; COPY=ONCE; MOVE=DOMAIN")
	ctx := context.Background()
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpCopy}), trem.EventInstalled, trem.EventClosed)
	h.plays(h.tablet, true)
	h.plays(h.home, true)
	h.wantKinds(h.ask(h.phone, trem.LicenseRequest{Content: filmID, Op: trem.OpCopy}), trem.EventRefused)
	var no *trem.RefusalError
	if _, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpCopy, Content: filmID, To: h.card(h.phone)}); !errors.As(err, &no) {
		t.Fatalf("a copy of a copy: %v", err)
	}
	// A copy may move where its original may.
	out, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	h.mail(out.Letters)
	h.plays(h.phone, true)
	h.reason(h.tablet, license.MovedAway)
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		b.restart()
	}
	h.plays(h.phone, true)
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpCopy}), trem.EventRefused)
}

// TestTransfer_3_LoanInTheHouse: lent by letters, watched, given back; then one
// whose borrower never says anything.
func TestTransfer_3_LoanInTheHouse(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; LEND")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.card(h.tablet), ForMS: 24 * 3600_000})
	h.must(err)
	h.reason(h.home, license.LentOut)
	events := h.mail(out.Letters)
	if events[0].Kind != trem.EventInstalled {
		t.Fatalf("%+v", events)
	}
	h.plays(h.tablet, true)
	h.waiting(h.home, trem.StageLent)
	h.waiting(h.tablet, trem.StageBorrowed)
	if _, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.card(h.phone), ForMS: 1000}); err == nil {
		t.Error("lent twice")
	}
	longer, err := h.home.RenewLoan(ctx, trem.Renewal{Transfer: out.Transfer, ForMS: 48 * 3600_000})
	h.must(err)
	h.mail(longer.Letters)
	h.pass(30 * time.Hour)
	h.learn(h.tablet)
	h.plays(h.tablet, true)
	for _, b := range []*box{h.home, h.tablet} {
		b.restart()
		h.learn(b)
	}
	h.plays(h.tablet, true)
	back, err := h.tablet.GiveBack(ctx, out.Transfer)
	h.must(err)
	h.reason(h.tablet, license.NoGrant)
	h.tablet.restart()
	h.learn(h.tablet)
	again, err := h.tablet.Letters(ctx)
	h.must(err)
	h.mail(append(back.Letters, again.Letters...))
	h.plays(h.home, true)
	if held := h.held(h.home); *held[0].Counters.PlaysLeft != 3 {
		t.Errorf("%d plays are left, want 3", *held[0].Counters.PlaysLeft)
	}
	h.waiting(h.home)
	h.waiting(h.tablet)
	h.mail(longer.Letters) // late: the loan is over
	h.reason(h.tablet, license.NoGrant)
}

// TestTransfer_3_LoanReturnsByItself: by proven time, and by nothing else.
func TestTransfer_3_LoanReturnsByItself(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; LEND")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.card(h.tablet), ForMS: 24 * 3600_000})
	h.must(err)
	h.mail(out.Letters)
	h.pass(24 * time.Hour)
	h.learn(h.tablet)
	h.plays(h.tablet, false)
	h.pass(time.Hour)
	if got, err := h.home.Letters(ctx); err != nil || len(got.Events) > 0 {
		t.Fatalf("the lender counted the time itself: %+v, %v", got.Events, err)
	}
	h.home.clock.setRTC(h.now.Add(90 * 24 * time.Hour))
	if got, err := h.home.Letters(ctx); err != nil || len(got.Events) > 0 {
		t.Fatalf("the lender's owner set its clock: %+v, %v", got.Events, err)
	}
	h.learn(h.home)
	got, err := h.home.Letters(ctx)
	h.must(err)
	h.wantKinds(got.Events, trem.EventLoanOver)
	h.plays(h.home, true)
	if held := h.held(h.home); *held[0].Counters.PlaysLeft != 2 {
		t.Errorf("%d plays are left, want 2: of a borrower that says nothing its play is spent", *held[0].Counters.PlaysLeft)
	}
	h.plays(h.tablet, false)
	// The borrower hears that it is over with the next thing that comes from there.
	next, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.card(h.tablet), ForMS: 1000})
	h.must(err)
	h.mail(next.Letters)
	if held := h.held(h.tablet); len(held) != 1 {
		t.Errorf("%d licenses are held, want the new loan", len(held))
	}
	back, err := h.tablet.GiveBack(ctx, next.Transfer)
	h.must(err)
	h.mail(back.Letters)
	h.mail(got.Letters)
	h.reason(h.tablet, license.NoGrant)
	h.waiting(h.tablet)
	h.mail(out.Letters)
	h.waiting(h.home)
	h.reason(h.tablet, license.NoGrant)
}

// TestTransfer_3_RecalledLoan goes back at once when nobody watches it.
func TestTransfer_3_RecalledLoan(t *testing.T) {
	h := movable(t, "PLAY; LEND")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.card(h.tablet), ForMS: 3600_000})
	h.must(err)
	h.mail(out.Letters)
	ses, err := h.tablet.Begin(ctx, playAsk(content.HD))
	h.must(err)
	recall, err := h.home.Cancel(ctx, out.Transfer)
	h.must(err)
	h.mail(recall.Letters)
	h.reason(h.home, license.LentOut)
	h.must(h.tablet.End(ctx, ses.Handle))
	again, err := h.tablet.Letters(ctx)
	h.must(err)
	h.mail(again.Letters)
	h.plays(h.home, true)
	h.reason(h.tablet, license.NoGrant)
}

// visit founds another house.
func (h *house) visit() {
	h.t.Helper()
	h.aunt = h.box(pki.HomeServer, pkitest.HomeServers)
	h.learn(h.aunt)
	_, err := h.aunt.Found(context.Background())
	h.must(err)
}

// door is another house's card for a license of the shop.
func (h *house) door(b *box) trem.Card {
	h.t.Helper()
	c, err := b.Card(context.Background(), trem.Card{Issuer: h.issuerID})
	h.must(err)
	return c
}

// TestEvaluator_E10_GivenToAnotherHouse: it is theirs, with what is left of it;
// they may lend and set it aside in their house, and give it on only when they may.
func TestEvaluator_E10_GivenToAnotherHouse(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; TRANSFER=2; MOVE=DOMAIN")
	h.visit()
	ctx := context.Background()
	if _, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.card(h.aunt)}); err == nil {
		t.Error("given to a house that did not say who it is to the shop")
	}
	if _, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.card(h.tablet)}); err == nil {
		t.Error("given away to a device of the house")
	}
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.aunt)})
	h.must(err)
	h.reason(h.home, license.LockedInMove)
	events := h.mail(out.Letters)
	if events[0].Kind != trem.EventInstalled {
		t.Fatalf("%+v", events[0])
	}
	h.plays(h.aunt, true)
	h.reason(h.home, license.MovedAway)
	for _, b := range []*box{h.home, h.aunt} {
		b.restart()
		h.learn(b)
	}
	h.plays(h.aunt, true)
	h.reason(h.home, license.MovedAway)
	if held := h.held(h.aunt); len(held) != 1 || *held[0].Counters.PlaysLeft != 3 {
		t.Fatalf("%+v", held)
	}
	var no *trem.RefusalError
	if _, err := h.aunt.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.home)}); !errors.As(err, &no) || no.Decision.Reasons[0].Code != license.NotYet {
		t.Fatalf("given on at once: %v", err)
	}
	h.pass(25 * time.Hour)
	h.learn(h.aunt)
	h.learn(h.home)
	back, err := h.aunt.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.home)})
	h.must(err)
	h.mail(back.Letters)
	h.plays(h.home, true)
	h.reason(h.aunt, license.MovedAway)
	// It serves its members again, and was given as often as it may be.
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	h.plays(h.tablet, true)
	home, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home)})
	h.must(err)
	h.mail(home.Letters)
	h.plays(h.home, true)
	h.pass(25 * time.Hour)
	h.learn(h.home)
	if _, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.aunt)}); !errors.As(err, &no) || no.Decision.Reasons[0].Code != license.CountExhausted {
		t.Errorf("given a third time: %v", err)
	}
}

// TestEvaluator_E10_RefusedGiftComesBack, uncounted and as it was.
func TestEvaluator_E10_RefusedGiftComesBack(t *testing.T) {
	h := movable(t, "PLAY; TRANSFER=1")
	h.visit()
	ctx := context.Background()
	card := h.door(h.aunt)
	card.Domain[0]++ // somebody else's house
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: card})
	h.must(err)
	h.mail(out.Letters)
	h.plays(h.home, true)
	h.plays(h.aunt, false)
	out, err = h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.aunt)})
	h.must(err)
	h.mail(out.Letters)
	h.plays(h.aunt, true)
	h.get(h.tablet, filmID, 0)
	h.plays(h.tablet, false)
}

// TestTransfer_E16_DevicesGiveItBackFirst: a license that counts nothing is in a
// child of each device that has it, and with that the device would play on when the
// license itself is another house's: it leaves when the children are back.
func TestTransfer_E16_DevicesGiveItBackFirst(t *testing.T) {
	h := movable(t, "PLAY; TRANSFER=1; LEND")
	h.visit()
	ctx := context.Background()
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled, trem.EventClosed)
	h.home.restart()
	h.learn(h.home)
	for _, order := range []trem.HandOver{{Op: trem.OpTransfer}, {Op: trem.OpLend, ForMS: 1000}} {
		order.Content, order.To = filmID, h.door(h.aunt)
		var no *trem.RefusalError
		if _, err := h.home.HandOver(ctx, order); !errors.As(err, &no) || no.Decision.Reasons[0].Remedy != license.ReturnFirst {
			t.Fatalf("%v: %v", order.Op, err)
		}
	}
	out, err := h.tablet.Yield(ctx, h.held(h.tablet)[0].License)
	h.must(err)
	h.mail(out.Letters)
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled, trem.EventClosed) // the same child again
	h.plays(h.tablet, true)
	out, err = h.tablet.Yield(ctx, h.held(h.tablet)[0].License)
	h.must(err)
	h.mail(out.Letters)
	h.reason(h.tablet, license.NoGrant)
	gift, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(h.aunt)})
	h.must(err)
	h.mail(gift.Letters)
	h.plays(h.aunt, true)
}

// TestTransfer_3_LentToAnotherHouse: a loan needs no house in common.
func TestTransfer_3_LentToAnotherHouse(t *testing.T) {
	h := movable(t, "PLAY; LEND")
	h.visit()
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.door(h.aunt), ForMS: 3600_000})
	h.must(err)
	h.mail(out.Letters)
	h.plays(h.aunt, true)
	h.reason(h.home, license.LentOut)
	back, err := h.aunt.GiveBack(ctx, out.Transfer)
	h.must(err)
	h.mail(back.Letters)
	h.plays(h.home, true)
	h.reason(h.aunt, license.NoGrant)
}

// TestLicense_3_PlaysGoBack: what was set aside for a device and not used there is
// the house's again, once, whatever is lost or comes twice.
func TestLicense_3_PlaysGoBack(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	ctx := context.Background()
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(filmID, h.sell("PLAY; PLAY_COUNT=5", filmID)), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, filmID, 3), trem.EventInstalled, trem.EventClosed)
	left := func(want uint64) {
		t.Helper()
		if held := h.held(h.home); len(held) != 1 || *held[0].Counters.PlaysLeft != want {
			t.Fatalf("%d plays at home, want %d", *held[0].Counters.PlaysLeft, want)
		}
	}
	left(2)
	if _, err := h.tablet.play(s, content.HD, playAsk(content.HD), 0); err != nil {
		t.Fatal(err)
	}
	set := h.held(h.tablet)
	out, err := h.tablet.Yield(ctx, set[0].License)
	h.must(err)
	h.reason(h.tablet, license.NoGrant)
	left(2)
	if _, err := h.tablet.Yield(ctx, set[0].License); err == nil {
		t.Error("given back twice")
	}
	h.tablet.restart()
	h.learn(h.tablet)
	again := h.letters(h.tablet)
	if len(again) == 0 {
		t.Fatal("nothing is said again after a restart")
	}
	if _, err := h.phone.Post(ctx, out.Letters[0].Bytes); err == nil {
		t.Error("a device took it")
	}
	h.mail(append(out.Letters, again...))
	left(4)
	for _, b := range []*box{h.home, h.tablet} {
		b.restart()
		h.learn(b)
	}
	h.mail(out.Letters)
	left(4)
	for _, l := range h.letters(h.tablet) {
		t.Errorf("a letter to %v is still written", l.To)
	}
	h.wantKinds(h.get(h.phone, filmID, 4), trem.EventInstalled, trem.EventClosed)
	left(0)
}

// Two ways in which an old word about a child comes after the same child came again.
func TestLicense_3_OldWordOfWhatCameAgain(t *testing.T) {
	h := movable(t, "PLAY; TRANSFER=1; LEND")
	h.visit()
	ctx := context.Background()
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled, trem.EventClosed)
	first, err := h.tablet.Yield(ctx, h.held(h.tablet)[0].License)
	h.must(err)
	h.mail(first.Letters)
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled, trem.EventClosed) // the same child again
	h.plays(h.tablet, true)
	h.mail(first.Letters) // a courier repeats the old one
	h.leavesOnceBack()
}

func TestLicense_3_AnswerOfWhatCameAgainIsLost(t *testing.T) {
	h := movable(t, "PLAY; TRANSFER=1; LEND")
	h.visit()
	ctx := context.Background()
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled, trem.EventClosed)
	first, err := h.tablet.Yield(ctx, h.held(h.tablet)[0].License)
	h.must(err)
	for _, l := range first.Letters { // heard, and the answer is lost
		if _, err := h.home.Post(ctx, l.Bytes); err != nil {
			t.Fatal(err)
		}
	}
	h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled, trem.EventClosed) // the same child again
	again, err := h.tablet.Letters(ctx)                                            // nobody is malicious: the device says it again itself
	h.must(err)
	h.mail(again.Letters)
	h.leavesOnceBack()
}

// TestTransfer_3_LoanHoldsNoMoveUp: what moves to a device that has borrowed
// something is its own at once, and may go on.
func TestTransfer_3_LoanHoldsNoMoveUp(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	other := ident.Content("another-film")
	h.stock(cenc.SchemeCENC, other)
	h.wantKinds(h.buy(other, h.stateful("PLAY; LEND", other)), trem.EventInstalled, trem.EventClosed)
	ctx := context.Background()
	loan, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: other, To: h.card(h.tablet), ForMS: 3600_000})
	h.must(err)
	h.mail(loan.Letters)
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	h.waiting(h.tablet, trem.StageBorrowed)
	out, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	h.mail(out.Letters)
	h.plays(h.phone, true)
	h.waiting(h.phone)
}
