package module_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/pki/pkitest"
	"github.com/lares-drm/lares/security/trem"
)

// Two licenses of one title: the second one is taken with a place of its own, or not at
// all; that it was not asked for is not that the house does not answer.
func TestEvaluator_E5_TheSecondLicenseHasPlacesToo(t *testing.T) {
	ctx := context.Background()
	h, _ := twoScreens(t, license.ConcurrencyRule{Max: 1})
	other := limited(h.sell(purchase, filmID), license.ConcurrencyRule{Max: 1})
	h.wantKinds(h.buy(filmID, func(e trem.Event) trem.Terms {
		x := other(e)
		x.Info.ID[15] = 9
		return x
	}), trem.EventInstalled)
	held, err := h.home.Licenses(ctx)
	h.must(err)
	third := h.box(pki.Device, pkitest.Devices)
	h.learn(third)
	h.must(h.pair(third))
	for _, b := range []*box{h.tablet, h.phone, third} {
		for _, l := range held {
			o, err := b.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), License: l.License})
			h.must(err)
			h.carry(b, h.home, o, nil)
		}
		if got, err := b.Licenses(ctx); err != nil || len(got) != 2 {
			t.Fatalf("a device has %d licenses: %v", len(got), err)
		}
	}
	one, err := h.opens(h.tablet, false)
	h.must(err)

	in := atTablet(false)
	asks := func(b *box, next bool) trem.PlaceTaken {
		t.Helper()
		return h.toKeeper(b, h.asksPlace(b, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in, Next: next}))
	}
	if got := asks(h.phone, false); got.Outcome != trem.PlaceFull || got.License != one.License {
		t.Fatalf("the phone is told %+v", got)
	}
	_, err = h.phone.Begin(ctx, in) // the other one was not asked for
	slotFull(t, err, license.Takeover)
	if got := asks(h.phone, true); got.Outcome != trem.PlaceGranted || got.License == one.License {
		t.Fatalf("the phone asks for the next one: %+v", got)
	}
	two, err := h.phone.Begin(ctx, in)
	h.must(err)
	if two.License == one.License {
		t.Error("it begins on the license that is full")
	}
	h.beats(h.phone, two, trem.PlaceGranted)

	for _, next := range []bool{false, true} {
		if got := asks(third, next); got.Outcome != trem.PlaceFull {
			t.Errorf("the third is told %+v", got)
		}
		_, err = third.Begin(ctx, in)
		slotFull(t, err, license.Takeover)
	}
	if a, err := third.AskPlace(ctx, trem.PlaceOrder{Op: trem.PlaceBegin, Ask: &in, Next: true}); err != nil || len(a.Object) != 0 {
		t.Errorf("there is no other one: %+v %v", a, err)
	}
}

// A sunset binds licenses to devices; their places are still those of the one license.
func TestEvaluator_E5_ReboundLicensesShareThePlaces(t *testing.T) {
	c := newClosing(t, purchase, license.SunsetRebind, 50*dayLong, func(i *license.Info) { i.Policy.Concurrency = &license.ConcurrencyRule{Max: 1} })
	c.pass(51 * dayLong)
	c.hear(c.home, c.tablet, c.phone)
	for _, b := range []*box{c.tablet, c.phone} {
		c.wantKinds(c.bind(b)[:1], trem.EventInstalled)
		c.boundTo(b)
	}
	_, err := c.opens(c.tablet, false)
	c.must(err)
	_, err = c.opens(c.phone, false)
	no, ok := errors.AsType[*trem.RefusalError](err)
	if !ok || !no.Decision.Has(license.SlotFull) {
		t.Fatalf("%v: want SLOT_FULL", err)
	}
}
