package module_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// atTablet is what a device asks for that shows the film itself.
func atTablet(takeover bool) trem.Ask {
	a := screen(takeover)
	a.Output = trem.OutputInternal
	return a
}

// twoScreens is a house whose tablet and phone have a film with so many places.
func twoScreens(t *testing.T, r license.ConcurrencyRule) (*house, *stuff) {
	t.Helper()
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, limited(h.sell(purchase, filmID), r)), trem.EventInstalled)
	for _, b := range []*box{h.tablet, h.phone} {
		h.must(h.pair(b))
		h.wantKinds(h.get(b, filmID, 0), trem.EventInstalled)
	}
	return h, s
}

// toKeeper takes what a device asks to the house's server and the answer back, as hosts do.
func (h *house) toKeeper(b *box, a trem.PlaceAsk) trem.PlaceTaken {
	h.t.Helper()
	ctx := context.Background()
	for range 3 {
		kept, err := h.home.KeepPlace(ctx, a)
		h.must(err)
		got, err := b.TakePlace(ctx, kept.Object)
		h.must(err)
		if got.Again == nil {
			return got
		}
		a = *got.Again
	}
	h.t.Fatal("the keeper wants to be asked again and again")
	return trem.PlaceTaken{}
}

func (h *house) asksPlace(b *box, o trem.PlaceOrder) trem.PlaceAsk {
	h.t.Helper()
	a, err := b.AskPlace(context.Background(), o)
	h.must(err)
	if len(a.Object) == 0 {
		h.t.Fatal("nobody is to be asked")
	}
	return a
}

// opens asks for a place and begins.
func (h *house) opens(b *box, takeover bool) (trem.Session, error) {
	h.t.Helper()
	in := atTablet(takeover)
	h.toKeeper(b, h.asksPlace(b, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in}))
	return b.Begin(context.Background(), in)
}

func (h *house) beats(b *box, s trem.Session, want trem.PlaceOutcome) trem.PlaceTaken {
	h.t.Helper()
	got := h.toKeeper(b, h.asksPlace(b, trem.PlaceOrder{Op: trem.PlaceBeat, Session: s.Handle}))
	if got.Outcome != want {
		h.t.Fatalf("heartbeat: %+v, want %d", got, want)
	}
	return got
}

// slotFull checks that something was refused because the places are in use.
func slotFull(t *testing.T, err error, help license.Remedy) *license.Reason {
	t.Helper()
	var no *trem.RefusalError
	if !errors.As(err, &no) || !no.Decision.Has(license.SlotFull) || no.Decision.Reasons[0].Remedy != help {
		t.Fatalf("%v: want SLOT_FULL and %s", err, help)
	}
	return &no.Decision.Reasons[0]
}

// One place for two devices and the browsers of the house: who is too many is told who
// watches, may take over, and the other one ends at its next heartbeat, and may have it
// back.
func TestEvaluator_E5_DevicesOfOneHouse(t *testing.T) {
	ctx := context.Background()
	h, film := twoScreens(t, license.ConcurrencyRule{Max: 1})
	one, err := h.opens(h.tablet, false)
	h.must(err)
	h.must(h.tablet.watch(film, one.Handle, 0, 1))
	h.pass(time.Minute)
	h.beats(h.tablet, one, trem.PlaceGranted)

	in := atTablet(false)
	got := h.toKeeper(h.phone, h.asksPlace(h.phone, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in}))
	if got.Outcome != trem.PlaceFull || len(got.Holders) != 1 || got.Holders[0].Device != h.tablet.id {
		t.Errorf("the phone is told %+v", got)
	}
	_, err = h.phone.Begin(ctx, in)
	if r := slotFull(t, err, license.Takeover); r.Earliest < h.now.UnixMilli()+170_000 || r.Earliest > h.now.UnixMilli()+190_000 {
		t.Errorf("free at %d, want three minutes from %d", r.Earliest, h.now.UnixMilli())
	}
	_, err = h.home.Begin(ctx, screen(false))
	slotFull(t, err, license.Takeover)

	two, err := h.opens(h.phone, true)
	h.must(err)
	h.must(h.phone.watch(film, two.Handle, 0, 1))
	if lost := h.beats(h.tablet, one, trem.PlaceLost); lost.By != h.phone.id {
		t.Errorf("taken over by %v", lost.By)
	}
	slotFull(t, h.tablet.watch(film, one.Handle, 1, 2), license.Takeover)
	h.pass(4 * time.Minute) // also when the keeper's word is old
	slotFull(t, h.tablet.watch(film, one.Handle, 1, 2), license.Takeover)
	if _, err := h.tablet.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBeat, Session: one.Handle}); err == nil {
		t.Error("a session that lost its place asks for it again")
	}
	back, err := h.opens(h.tablet, true)
	h.must(err)
	h.gone(h.tablet, one.Handle, true) // a device has one slot
	h.must(h.tablet.watch(film, back.Handle, 1, 2))

	browser, err := h.home.Begin(ctx, screen(true))
	h.must(err)
	list, err := h.home.Places(ctx)
	h.must(err)
	if len(list) != 1 || list[0].Device != h.home.id || list[0].Session != browser.Handle {
		t.Errorf("the house's places: %+v", list)
	}
	if lost := h.beats(h.tablet, back, trem.PlaceLost); lost.By != h.home.id {
		t.Errorf("taken over by %v", lost.By)
	}
	three, err := h.opens(h.phone, true)
	h.must(err)
	h.gone(h.home, browser.Handle, true)
	h.must(h.phone.End(ctx, three.Handle))
	if got := h.toKeeper(h.phone, h.asksPlace(h.phone, trem.PlaceOrder{Op: trem.PlaceEnd, License: three.License})); got.Outcome != trem.PlaceEnded {
		t.Errorf("the end: %+v", got)
	}
	_, err = h.home.Begin(ctx, screen(false))
	h.must(err)
}

// A device whose keeper does not answer plays as E5 says: without a place, one session,
// the older one gives way; where use without a keeper needs one, not at all.
func TestEvaluator_E5_TheServerIsOff(t *testing.T) {
	ctx := context.Background()
	for _, offline := range []bool{false, true} {
		h, film := twoScreens(t, license.ConcurrencyRule{Max: 2, Offline: offline})
		one, err := h.tablet.Begin(ctx, atTablet(false))
		if offline {
			slotFull(t, err, license.Contact)
			if d, err := h.tablet.Evaluate(ctx, atTablet(false)); err != nil || !d.Allow { // nobody was asked
				t.Errorf("%+v %v", d, err)
			}
			continue
		}
		h.must(err)
		two, err := h.tablet.Begin(ctx, atTablet(false))
		h.must(err)
		h.gone(h.tablet, one.Handle, true)
		if got := h.beats(h.tablet, two, trem.PlaceGranted); got.Outcome != trem.PlaceGranted { // it is back
			t.Errorf("%+v", got)
		}
		h.pass(10 * time.Minute) // and off again: what runs is not judged
		h.must(h.tablet.watch(film, two.Handle, 0, 2))
	}
	h, film := twoScreens(t, license.ConcurrencyRule{Max: 1, Offline: true})
	s, err := h.opens(h.tablet, false)
	h.must(err)
	h.pass(10 * time.Minute)
	h.must(h.tablet.watch(film, s.Handle, 0, 2)) // it has begun with a place
	_, err = h.tablet.Begin(ctx, atTablet(false))
	slotFull(t, err, license.Contact)
}

// A device that holds a license of its own asks nobody.
func TestEvaluator_E5_ADeviceHasNoKeeper(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, limited(h.sell(purchase, filmID), license.ConcurrencyRule{Max: 2})), trem.EventInstalled)
	ask := screen(false)
	if a, err := h.home.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &ask}); err != nil || len(a.Object) != 0 {
		t.Errorf("the keeper itself: %+v %v", a, err)
	}
	free := newHouse(t)
	free.stock(cenc.SchemeCENC, filmID)
	free.wantKinds(free.buy(filmID, free.sell(purchase, filmID)), trem.EventInstalled)
	free.must(free.pair(free.tablet))
	free.wantKinds(free.get(free.tablet, filmID, 0), trem.EventInstalled)
	ask = atTablet(false)
	if a, err := free.tablet.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &ask}); err != nil || len(a.Object) != 0 {
		t.Errorf("a license without such a rule: %+v %v", a, err)
	}
}

// The places of a license that counts are those of the house, too: what was set aside
// for two devices are two licenses with the places of one.
func TestEvaluator_E5_AllowancesShareThePlaces(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, limited(h.sell(rental, filmID), license.ConcurrencyRule{Max: 1})), trem.EventInstalled, trem.EventClosed)
	for _, b := range []*box{h.tablet, h.phone} {
		h.must(h.pair(b))
		h.wantKinds(h.get(b, filmID, 1), trem.EventInstalled, trem.EventClosed)
	}
	_, err := h.opens(h.tablet, false)
	h.must(err)
	_, err = h.opens(h.phone, false)
	slotFull(t, err, license.Takeover)
	_, err = h.opens(h.phone, true)
	h.must(err)
}

// The server starts again: it knows nobody, and is told by the next heartbeats.
func TestEvaluator_E5_TheServerRestarts(t *testing.T) {
	h, _ := twoScreens(t, license.ConcurrencyRule{Max: 1})
	one, err := h.opens(h.tablet, false)
	h.must(err)
	h.pass(30 * time.Second)
	h.home.restart()
	h.pass(time.Second)
	two, err := h.opens(h.phone, false) // before the tablet was heard
	h.must(err)
	h.pass(29 * time.Second)
	h.beats(h.tablet, one, trem.PlaceGranted)
	h.pass(30 * time.Second)
	h.beats(h.phone, two, trem.PlaceLost)
	_, err = h.opens(h.phone, false)
	slotFull(t, err, license.Takeover)
}

// W-16: what couriers and devices of the house make up.
func TestAttack_PlacesAreTakenByForgery(t *testing.T) {
	ctx := context.Background()
	h, _ := twoScreens(t, license.ConcurrencyRule{Max: 1, Offline: true})
	in := atTablet(false)
	reject := func(what string, err error) {
		t.Helper()
		var e *trem.Error
		if !errors.As(err, &e) || e.Code != trem.CodeRejected {
			t.Errorf("%s: %v", what, err)
		}
	}
	keep := func(a trem.PlaceAsk) trem.PlaceKept {
		t.Helper()
		got, err := h.home.KeepPlace(ctx, a)
		h.must(err)
		return got
	}
	tablet, phone := h.asksPlace(h.tablet, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in}), h.asksPlace(h.phone, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in})

	mixed := tablet
	mixed.Chain = phone.Chain
	_, err := h.home.KeepPlace(ctx, mixed)
	reject("the tablet's words by the phone", err)
	bent := tablet
	bent.Object = slices.Clone(tablet.Object)
	bent.Object[len(bent.Object)-70] ^= 1 // in the payload
	_, err = h.home.KeepPlace(ctx, bent)
	reject("a changed ask", err)
	stranger := h.box(pki.Device, pkitest.Devices)
	h.learn(stranger)
	st, err := stranger.Status(ctx)
	h.must(err)
	_, err = h.home.KeepPlace(ctx, trem.PlaceAsk{Object: tablet.Object, Chain: st.Chain})
	reject("a device that is not of the house", err)
	_, err = h.phone.KeepPlace(ctx, tablet)
	if err == nil {
		t.Error("a device is a keeper")
	}

	again := keep(tablet)
	_, err = h.phone.TakePlace(ctx, again.Object)
	reject("an answer to another device", err)
	got, err := h.tablet.TakePlace(ctx, again.Object)
	h.must(err)
	grant := keep(*got.Again)
	forged := slices.Clone(grant.Object)
	forged[len(forged)-1] ^= 1
	_, err = h.tablet.TakePlace(ctx, forged)
	reject("a forged grant", err)
	if _, err := h.tablet.Begin(ctx, in); err == nil {
		t.Fatal("it plays without a place")
	}
	_, err = h.tablet.TakePlace(ctx, grant.Object)
	h.must(err)
	one, err := h.tablet.Begin(ctx, in)
	h.must(err)
	_, err = h.tablet.TakePlace(ctx, grant.Object)
	reject("a grant that was taken", err)
	h.pass(4 * time.Minute)
	h.asksPlace(h.tablet, trem.PlaceOrder{Op: trem.PlaceBeat, Session: one.Handle})
	_, err = h.tablet.TakePlace(ctx, grant.Object)
	reject("an old grant for a new ask", err)

	if a := keep(*got.Again); a.Outcome != trem.PlaceAgain {
		t.Errorf("an ask that was answered: %+v", a)
	}
	var e *trem.Error
	if _, err := h.phone.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBeat, Session: one.Handle}); !errors.As(err, &e) || e.Code != trem.CodeUnknown {
		t.Errorf("a heartbeat for a session of another device: %v", err)
	}
	if _, err := h.tablet.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceEnd, License: one.License}); !errors.As(err, &e) || e.Code != trem.CodeState {
		t.Errorf("an end of what runs: %v", err)
	}
	h.must(h.home.Remove(ctx, h.tablet.id))
	_, err = h.home.KeepPlace(ctx, h.asksPlace(h.tablet, trem.PlaceOrder{Op: trem.PlaceBeat, Session: one.Handle}))
	reject("one that was removed", err)
}
