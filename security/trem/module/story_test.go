package module_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

func playAsk(tier content.Tier) trem.Ask {
	return trem.Ask{Content: filmID, Action: permission.Play, Tier: uint64(tier), Output: trem.OutputInternal, Confirm: true}
}

// samples hashes the tracks of a file as another parser than ours reads it.
func samples(t *testing.T, data []byte) map[string][32]byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stream.mp4")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := packager.StreamHashes(file)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestStory_4and5 is the way of a purchase: shop to home server to device,
// and the stream that the device writes is the source's, for both schemes and
// every tier.
func TestStory_4and5_PurchasePlaysEveryTier(t *testing.T) {
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		t.Run(scheme.String(), func(t *testing.T) {
			h := newHouse(t)
			s := h.stock(scheme, filmID)
			h.wantKinds(h.buy(filmID, h.sell(purchase, filmID)), trem.EventInstalled)
			h.must(h.pair(h.tablet))
			h.wantKinds(h.get(h.tablet, filmID, 0), trem.EventInstalled)
			want := sources(t)
			for _, tier := range []content.Tier{content.SD, content.HD, content.Audio} {
				stream, err := h.tablet.play(s, tier, playAsk(tier), 0)
				h.must(err)
				got := samples(t, stream)
				if len(got) != 1 {
					t.Fatalf("%v: the output has %d tracks", tier, len(got))
				}
				for kind, hash := range got {
					if hash != want[tier] {
						t.Errorf("%v: the %s stream is not the source's", tier, kind)
					}
				}
			}
			h.noSecretCrossed(s)
		})
	}
}

// noSecretCrossed looks for every title key and every license in what the
// couriers carried.
func (h *house) noSecretCrossed(s *stuff) {
	h.t.Helper()
	if len(h.wire) < 6 {
		h.t.Fatalf("only %d messages were recorded", len(h.wire))
	}
	held, err := h.home.Licenses(context.Background())
	h.must(err)
	for _, m := range h.wire {
		for tier, key := range s.keys {
			plain, err := key.Reveal()
			h.must(err)
			if bytes.Contains(m, plain[:]) {
				h.t.Errorf("the %v key crossed the relay", tier)
			}
		}
		for _, l := range held {
			if bytes.Contains(m, l.Bytes) || bytes.Contains(m, l.Bytes[40:90]) {
				h.t.Error("a license crossed the relay in the clear")
			}
		}
	}
}

// TestStory_6 is the third play of a rental with two plays.
func TestStory_6_ThirdPlayIsRefused(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.wantKinds(h.buy(filmID, h.sell(rental, filmID)), trem.EventInstalled, trem.EventClosed)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, filmID, 2), trem.EventInstalled, trem.EventClosed)

	ask := playAsk(content.HD)
	ask.Confirm = false
	var no *trem.RefusalError
	if _, err := h.tablet.Begin(context.Background(), ask); !errors.As(err, &no) || !no.Decision.Has(license.NeedsConfirm) {
		t.Fatalf("the first play starts 48 hours and asks for no consent: %v", err)
	}
	ask.Confirm = true
	for i := range 2 {
		if _, err := h.tablet.play(s, content.HD, ask, 0); err != nil {
			t.Fatalf("play %d: %v", i+1, err)
		}
		h.tablet.restart() // what was charged is charged
		h.must(h.learnTime(h.tablet))
	}
	third := func() license.Decision {
		t.Helper()
		_, err := h.tablet.play(s, content.HD, ask, 0)
		if !errors.As(err, &no) {
			t.Fatalf("third play: %v", err)
		}
		return no.Decision
	}
	if d := third(); !d.Has(license.CountExhausted) || d.Reasons[0].Remedy != license.Buy {
		t.Errorf("third play: %+v", d.Reasons)
	}
	h.tablet.clock.setRTC(h.now.AddDate(-1, 0, 0))
	if d := third(); !d.Has(license.CountExhausted) {
		t.Errorf("third play with the RTC set back: %+v", d.Reasons)
	}
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventRefused)
}

// TestStory_6_RTC holds the interval against an owner who turns the clock back.
func TestStory_6_SettingTheRTCBackDoesNotHelp(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.must(h.pair(h.tablet))
	h.wantKinds(h.get(h.tablet, filmID, 2), trem.EventInstalled, trem.EventClosed)
	_, err := h.tablet.play(s, content.HD, playAsk(content.HD), 0)
	h.must(err)
	h.pass(47 * time.Hour)
	if d, err := h.tablet.Evaluate(context.Background(), playAsk(content.HD)); err != nil || !d.Allow {
		t.Fatalf("after 47 hours: %v, %+v", err, d.Reasons)
	}
	h.pass(2 * time.Hour)
	for _, back := range []time.Duration{0, 3 * 24 * time.Hour, 400 * 24 * time.Hour} {
		h.tablet.clock.setRTC(h.now.Add(-back))
		d, err := h.tablet.Evaluate(context.Background(), playAsk(content.HD))
		if err != nil || d.Allow || !d.Has(license.IntervalOver) {
			t.Errorf("after 49 hours, the RTC %v back: %v, %+v", back, err, d.Reasons)
		}
	}
}

// TestStory_9 restarts every module: nothing that was acknowledged is lost.
func TestStory_9_RestartKeepsEverything(t *testing.T) {
	h := newHouse(t)
	s := h.stock(cenc.SchemeCENC, filmID)
	h.buy(filmID, h.sell(rental, filmID))
	h.must(h.pair(h.tablet))
	h.get(h.tablet, filmID, 1)
	_, err := h.tablet.play(s, content.HD, playAsk(content.HD), 0)
	h.must(err)
	type facts struct {
		epoch, generation uint64
		licenses          int
		left              uint64
	}
	look := func(b *box) facts {
		st, err := b.Status(context.Background())
		h.must(err)
		held, err := b.Licenses(context.Background())
		h.must(err)
		f := facts{epoch: st.Epoch, generation: st.Generation, licenses: st.Licenses}
		for _, l := range held {
			f.left += *l.Counters.PlaysLeft
		}
		return f
	}
	for _, b := range []*box{h.home, h.tablet} {
		before := look(b)
		b.restart()
		if after := look(b); after != before {
			t.Errorf("before the restart %+v, after it %+v", before, after)
		}
	}
	if f := look(h.home); f.left != 1 {
		t.Errorf("the home server has %d plays left, want 1 of 2", f.left)
	}
	if f := look(h.tablet); f.left != 0 {
		t.Errorf("the tablet has %d plays left, want 0 of 1", f.left)
	}
}

// sources hashes the film as it was made, by tier.
func sources(t *testing.T) map[content.Tier][32]byte {
	t.Helper()
	out := map[content.Tier][32]byte{}
	for tier, name := range map[content.Tier]string{content.SD: film.SD, content.HD: film.HD} {
		data, err := film.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got := samples(t, data)
		out[tier] = got["video"]
		if audio, ok := got["audio"]; ok {
			out[content.Audio] = audio
		}
	}
	return out
}
