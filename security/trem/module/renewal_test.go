package module_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// renewed is a grant with another version of the same license.
func renewed(g grant, version uint64) grant {
	return func(e trem.Event) trem.Terms {
		t := g(e)
		t.Info.ID, t.Info.Version = license.Info{}.ID, version
		t.Info.ID[0] = 0x77
		return t
	}
}

func (h *house) held(b *box) []trem.Held {
	h.t.Helper()
	held, err := b.Licenses(context.Background())
	h.must(err)
	return held
}

// A renewal takes the place of the version before it, keeps what was counted,
// and survives a restart; a version that was superseded does not come back.
func TestEvaluator_E5_RenewalTakesOver(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	counted := h.sell("PLAY; PLAY_COUNT=3", filmID)
	h.wantKinds(h.buy(filmID, renewed(counted, 1)), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.buy(filmID, renewed(counted, 2)), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.buy(filmID, renewed(counted, 1)), trem.EventFailed, trem.EventClosed)
	for range 2 {
		held := h.held(h.home)
		if len(held) != 1 || *held[0].Counters.PlaysLeft != 2 {
			t.Fatalf("%d licenses, %+v; want the renewed one with 2 plays left", len(held), held)
		}
		lic, err := license.Parse(held[0].Bytes)
		h.must(err)
		if lic.Info().Version != 2 {
			t.Errorf("version %d is held, want 2", lic.Info().Version)
		}
		h.home.restart()
	}
}

// A stateless license is renewed in the same way: its end moves, and the old
// end is gone.
func TestEvaluator_E5_SubscriptionIsRenewed(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	until := func(days int) grant {
		end := h.now.Add(time.Duration(days) * 24 * time.Hour)
		return renewed(h.sell("PLAY; CHARGE=SUBSCRIPTION; END_TIME="+end.UTC().Format(time.RFC3339), filmID), uint64(days))
	}
	h.wantKinds(h.buy(filmID, until(10)), trem.EventInstalled)
	h.wantKinds(h.buy(filmID, until(40)), trem.EventInstalled)
	h.home.restart()
	h.pass(20 * 24 * time.Hour)
	h.learn(h.home)
	d, err := h.home.Evaluate(context.Background(), playAsk(content.HD))
	h.must(err)
	if held := h.held(h.home); !d.Allow || len(held) != 1 {
		t.Errorf("after 20 days: %+v, %d licenses; want the renewed one, which plays", d, len(held))
	}
	h.wantKinds(h.buy(filmID, until(5)), trem.EventFailed) // an older version, late
}

// A film that is being watched goes on while its license is renewed.
func TestEvaluator_E5_RenewalInterruptsNobody(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	counted := h.sell("PLAY; PLAY_COUNT=3", filmID)
	h.wantKinds(h.buy(filmID, renewed(counted, 1)), trem.EventInstalled, trem.EventClosed)
	ctx := context.Background()
	session, err := h.home.Begin(ctx, playAsk(content.SD))
	h.must(err)
	film := s.m.Tracks[slices.IndexFunc(s.m.Tracks, func(t content.TrackFiles) bool { return t.Tier == content.SD })]
	track, _, err := h.home.Track(ctx, session.Handle, s.read(t, film.Init))
	h.must(err)
	_, err = h.home.Decrypt(ctx, session.Handle, track, s.read(t, film.Segments[0].File))
	h.must(err)
	h.wantKinds(h.buy(filmID, renewed(counted, 2)), trem.EventInstalled, trem.EventClosed)
	for _, seg := range film.Segments[1:] {
		_, err = h.home.Decrypt(ctx, session.Handle, track, s.read(t, seg.File))
		h.must(err)
	}
	h.must(h.home.End(ctx, session.Handle))
	h.home.restart()
	if held := h.held(h.home); len(held) != 1 || *held[0].Counters.PlaysLeft != 2 {
		t.Errorf("%+v, want the renewed license with 2 plays left: one was charged across the renewal", held)
	}
}

// once is a grant of a license that has no count and begins with its first use.
func (h *house) once(terms string) grant {
	g := h.sell(terms, filmID)
	return func(e trem.Event) trem.Terms {
		t := g(e)
		h.seq++
		t.Seq = h.seq
		return t
	}
}

// A rental without a count goes to each device of the house, once: the same
// device does not begin its time anew with another child, also an hour later.
func TestEvaluator_E4_RentalWithoutACountGoesToDevices(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(filmID, h.once("PLAY; INTERVAL=48h; CHARGE=RENTAL")), trem.EventInstalled, trem.EventClosed)
	for _, b := range []*box{h.tablet, h.phone} {
		h.wantKinds(h.get(b, filmID, 1), trem.EventInstalled, trem.EventClosed)
		h.pass(time.Hour)
		h.wantKinds(h.get(b, filmID, 1), trem.EventFailed, trem.EventClosed)
		d, err := b.Evaluate(context.Background(), playAsk(content.HD))
		h.must(err)
		if held := h.held(b); !d.Allow || len(held) != 1 {
			t.Errorf("%+v with %d licenses, want one that plays", d, len(held))
		}
	}
}

// Accumulated time goes to devices by a tenth.
func TestEvaluator_E4_AccumulatedTimeGoesToDevices(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.buy(filmID, h.once("PLAY; ACCUMULATED=10h")), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventInstalled, trem.EventClosed)
	left := func(b *box) int64 { return *h.held(b)[0].Counters.MSLeft / 3600_000 }
	if left(h.home) != 9 || left(h.tablet) != 1 {
		t.Errorf("%d h at home and %d h on the tablet, want 9 and 1", left(h.home), left(h.tablet))
	}
}

// interrupted buys a license whose receipt is lost on the way, as in a crash.
func (h *house) interrupted(id ident.Content, g grant) {
	h.t.Helper()
	ctx := context.Background()
	o, err := h.home.Open(ctx, trem.LicenseRequest{Peer: h.issuer.id, Request: ident.NewRequest(), Content: id, Issuer: h.issuerID})
	h.must(err)
	for queue := o.Messages; len(queue) > 0; queue = queue[1:] {
		got, err := h.issuer.Receive(ctx, queue[0])
		h.must(err)
		back := got.Messages
		for _, e := range got.Events {
			back = append(back, h.host(h.issuer, e, g)...)
		}
		for _, m := range back {
			got, err := h.home.Receive(ctx, m)
			h.must(err)
			if slices.Contains(kinds(got.Events), trem.EventInstalled) {
				return
			}
			queue = append(queue, got.Messages...)
		}
	}
	h.t.Fatal("nothing was installed")
}

// A purchase that a crash left open does not hold up the later ones, which were
// closed; and it is the one that is asked about.
func TestTransfer_2_FirstOpenTransferIsClosedFirst(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.interrupted(filmID, h.sell("PLAY; PLAY_COUNT=2", filmID))
	for _, terms := range []string{"PLAY; PLAY_COUNT=20", "PLAY; PLAY_COUNT=200", "PLAY; PLAY_COUNT=2000", "PLAY; PLAY_COUNT=20000"} {
		h.wantKinds(h.buy(filmID, h.sell(terms, filmID)), trem.EventInstalled, trem.EventClosed)
	}
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventInstalled, trem.EventClosed)
	o, err := h.home.Resend(context.Background(), h.issuer.id)
	h.must(err)
	got := h.carry(h.home, h.issuer, o, nil)
	if last := got[len(got)-1]; last.Kind != trem.EventClosed || last.Transfer.Seq != 1 {
		t.Errorf("%+v, want the first transfer closed", last)
	}
	if o, err := h.home.Resend(context.Background(), h.issuer.id); err != nil || len(o.Messages) != 0 {
		t.Errorf("%d messages, %v: something is still open", len(o.Messages), err)
	}
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventInstalled, trem.EventClosed)
}
