package module_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// limited is a grant for so many sessions at a time.
func limited(g grant, r license.ConcurrencyRule) grant {
	return func(e trem.Event) trem.Terms {
		t := g(e)
		t.Info.Policy.Concurrency = &r
		return t
	}
}

// screen is what a house asks for one of its browsers.
func screen(takeover bool) trem.Ask {
	return trem.Ask{Content: filmID, Action: permission.Play, Output: trem.OutputLink, Confirm: true, Takeover: takeover}
}

// full checks that a Begin was refused because every place is in use, until nobody knows when.
func (h *house) full(err error, help license.Remedy) {
	h.t.Helper()
	var no *trem.RefusalError
	if !errors.As(err, &no) || !no.Decision.Has(license.SlotFull) || no.Decision.Reasons[0].Remedy != help || no.Decision.Reasons[0].Earliest != 0 {
		h.t.Errorf("%v: want SLOT_FULL and %s", err, help)
	}
}

// gone checks that a session has ended.
func (h *house) gone(b *box, handle uint64, want bool) {
	h.t.Helper()
	_, err := b.LinkKeys(context.Background(), handle)
	var e *trem.Error
	if is := errors.As(err, &e) && e.Code == trem.CodeUnknown; is != want {
		h.t.Errorf("session %d: %v, want it gone: %v", handle, err, want)
	}
}

// The module of a house is the keeper of its browsers' sessions: as many at a time as
// the license says, the oldest gives way to who asks for that, an end frees a place at
// once, and where the license says so nobody gives way.
func TestEvaluator_E5_ScreensOfOneHouse(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, limited(h.sell(purchase, filmID), license.ConcurrencyRule{Max: 2})), trem.EventInstalled)
	begin := func(takeover bool) uint64 {
		t.Helper()
		s, err := h.home.Begin(ctx, screen(takeover))
		h.must(err)
		return s.Handle
	}
	first, second := begin(false), begin(false)
	_, err := h.home.Begin(ctx, screen(false))
	h.full(err, license.Takeover)
	if d, err := h.home.Evaluate(ctx, screen(true)); err != nil || !d.Allow || !slices.Contains(d.Notes, "TAKES_OVER_OLDEST") {
		t.Errorf("with a take-over: %+v %v", d, err)
	}
	h.gone(h.home, first, false) // asking ends nothing
	third := begin(true)
	h.gone(h.home, first, true)
	h.gone(h.home, second, false)
	h.must(h.home.End(ctx, third))
	fourth := begin(false)
	h.gone(h.home, second, false)
	h.gone(h.home, fourth, false)
}

func TestEvaluator_E5_ABlockedScreenWaits(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, limited(h.sell(purchase, filmID), license.ConcurrencyRule{Max: 1, OnFull: license.BlockNew})), trem.EventInstalled)
	s, err := h.home.Begin(ctx, screen(false))
	h.must(err)
	_, err = h.home.Begin(ctx, screen(true))
	h.full(err, license.WaitUntil)
	h.gone(h.home, s.Handle, false)
	h.must(h.home.End(ctx, s.Handle))
	_, err = h.home.Begin(ctx, screen(false))
	h.must(err)
}

// Nothing that runs ends for a session that does not begin.
func TestEvaluator_E5_ARefusedScreenEndsNothing(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, limited(h.sell(rental, filmID), license.ConcurrencyRule{Max: 1, OnFull: license.TakeoverOldest})), trem.EventInstalled, trem.EventClosed)
	one, err := h.home.Begin(ctx, screen(false))
	h.must(err)
	ask := screen(true)
	ask.Confirm = false
	_, err = h.home.Begin(ctx, ask)
	var no *trem.RefusalError
	if !errors.As(err, &no) || !no.Decision.Has(license.NeedsConfirm) {
		t.Errorf("%v: want NEEDS_CONFIRM", err)
	}
	h.gone(h.home, one.Handle, false)
}

// A module that is full takes a session in the place of one that ends for it, and no other.
func TestEvaluator_E5_TakesOverInAFullModule(t *testing.T) {
	ctx := context.Background()
	const most = 64
	for _, places := range []uint64{most, most + 1} {
		h := newHouse(t)
		h.stock(cenc.SchemeCENC, filmID)
		h.wantKinds(h.buy(filmID, limited(h.sell(purchase, filmID), license.ConcurrencyRule{Max: places})), trem.EventInstalled)
		var open []uint64
		for range most {
			s, err := h.home.Begin(ctx, screen(false))
			h.must(err)
			open = append(open, s.Handle)
		}
		_, err := h.home.Begin(ctx, screen(true))
		if places > most {
			var e *trem.Error
			if !errors.As(err, &e) || e.Code != trem.CodeState {
				t.Errorf("one more than the module has room for: %v", err)
			}
		} else if err != nil {
			t.Errorf("a take-over in a full module: %v", err)
		}
		h.gone(h.home, open[0], places == most)
		h.gone(h.home, open[1], false)
	}
}

// A place does not lapse because the issuer's time is ahead of the house's.
func TestEvaluator_E5_AnIssuerAheadFreesNoPlace(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	sells := limited(h.sell(purchase, filmID), license.ConcurrencyRule{Max: 1})
	h.wantKinds(h.buy(filmID, func(e trem.Event) trem.Terms {
		terms := sells(e)
		terms.Info.IssuedAt += 4 * 60_000
		return terms
	}), trem.EventInstalled)
	_, err := h.home.Begin(ctx, screen(false))
	h.must(err)
	_, err = h.home.Begin(ctx, screen(false))
	h.full(err, license.Takeover)
}

// A play that goes on on another screen is the same play: nothing more is counted.
func TestEvaluator_E4_ATakeOverIsTheSamePlay(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, h.sell(rental, filmID)), trem.EventInstalled, trem.EventClosed)
	one, err := h.home.Begin(ctx, screen(false))
	h.must(err)
	h.must(h.home.watch(s, one.Handle, 0, 6))
	left := func() uint64 {
		t.Helper()
		held := h.held(h.home)
		if len(held) != 1 || held[0].Counters.PlaysLeft == nil {
			t.Fatalf("held: %+v", held)
		}
		return *held[0].Counters.PlaysLeft
	}
	if n := left(); n != 1 {
		t.Fatalf("%d plays are left while the first one runs, want 1", n)
	}
	ask := screen(true)
	ask.FromMS = 12_000
	two, err := h.home.Begin(ctx, ask)
	h.must(err)
	h.gone(h.home, one.Handle, true)
	h.must(h.home.watch(s, two.Handle, 6, 9))
	h.must(h.home.End(ctx, two.Handle))
	if n := left(); n != 1 {
		t.Errorf("%d plays are left after the take-over, want 1", n)
	}
}

// watch has segments from one to before another of the SD track decrypted in a session.
func (b *box) watch(s *stuff, session uint64, from, to int) error {
	b.t.Helper()
	ctx := context.Background()
	i := slices.IndexFunc(s.m.Tracks, func(t content.TrackFiles) bool { return t.Tier == content.SD })
	track := &s.m.Tracks[i]
	n, _, err := b.Track(ctx, session, s.read(b.t, track.Init))
	for _, seg := range track.Segments[from:to] {
		if err == nil {
			_, err = b.Decrypt(ctx, session, n, s.read(b.t, seg.File))
		}
	}
	return err
}
