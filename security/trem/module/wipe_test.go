package module_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// reborn starts a module again whose folder is as empty, and fails unless its keys are
// new ones.
func (b *box) reborn(was ident.Device) {
	b.t.Helper()
	b.start()
	s, err := b.Status(b.t.Context())
	if err != nil || s.Device == was || s.Role != "" || s.Licenses != 0 {
		b.t.Errorf("after it was wiped: %+v %v", s, err)
	}
	if files, err := filepath.Glob(filepath.Join(b.dir, "*.gone")); err != nil || len(files) > 0 {
		b.t.Errorf("left: %v %v", files, err)
	}
}

// TestWipe_ADeviceIsSold: a device tells its house that it does not come back, then
// destroys its keys. The house does not take it back, whoever shows them.
func TestWipe_ADeviceIsSold(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, ownFilm)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.buy(ownFilm, h.sell(purchase, ownFilm)), trem.EventInstalled)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	if _, err := h.home.Wipe(t.Context(), trem.WipeOrder{GiveUp: true}); err == nil {
		t.Error("a home server is wiped by a command for devices")
	}
	got, err := h.tablet.Wipe(t.Context(), trem.WipeOrder{House: h.home.id})
	h.must(err)
	if got.Done || len(got.Letters) != 1 || len(got.Lost) != 0 {
		t.Fatalf("in its house: %+v", got)
	}
	h.tablet.restart() // killed before the letter left: it is said again
	again, err := h.tablet.Letters(t.Context())
	h.must(err)
	if len(again.Letters) != 1 {
		t.Fatalf("%d letters", len(again.Letters))
	}
	left, err := h.home.Post(t.Context(), again.Letters[0].Bytes)
	h.must(err)
	h.wantKinds(left.Events, trem.EventLeft)
	if err := h.pair(h.tablet); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("paired again: %v", err)
	}
	if got, err = h.tablet.Wipe(t.Context(), trem.WipeOrder{}); err != nil || !got.Done {
		t.Fatalf("%+v %v", got, err)
	}
	h.must(<-h.tablet.exited)
	if files, err := os.ReadDir(h.tablet.dir); err != nil || len(files) != 0 {
		t.Errorf("left: %v %v", files, err)
	}
	h.tablet.reborn(h.tablet.id)
}

// TestWipe_GoesOnAfterACrash: a module whose vault has its last name is wiped by the
// next start, whether its keys are there or not.
func TestWipe_GoesOnAfterACrash(t *testing.T) {
	h := newHouse(t)
	for _, b := range []*box{h.tablet, h.phone} {
		h.must(b.Close())
		h.must(<-b.exited)
		h.must(os.Rename(filepath.Join(b.dir, "vault"), filepath.Join(b.dir, "vault.gone")))
		if b == h.phone {
			h.must(os.Remove(filepath.Join(b.dir, "keystore.lks")))
		}
		b.reborn(b.id)
	}
}

// TestWipe_WhatIsOnlyHereStandsInTheWay: plays that were set aside have to go back
// first, and are named when they are given up.
func TestWipe_WhatIsOnlyHereStandsInTheWay(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.buy(filmID, h.sell(rental, filmID)), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventInstalled, trem.EventClosed)
	if got, err := h.tablet.Wipe(t.Context(), trem.WipeOrder{House: h.home.id}); err == nil {
		t.Errorf("with a play that was set aside: %+v", got)
	}
	got, err := h.tablet.Wipe(t.Context(), trem.WipeOrder{GiveUp: true})
	if err != nil || !got.Done || len(got.Lost) != 1 || got.Lost[0].Content != filmID || *got.Lost[0].Counters.PlaysLeft != 1 {
		t.Errorf("given up: %+v %v", got, err)
	}
	h.must(<-h.tablet.exited)
	h.tablet.start()
}

// TestWipe_WhoGivesUpTellsTheHouse: what was set aside does not keep it from that.
func TestWipe_WhoGivesUpTellsTheHouse(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	h.wantKinds(h.buy(filmID, h.sell(rental, filmID)), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, filmID, 1), trem.EventInstalled, trem.EventClosed)
	got, err := h.tablet.Wipe(t.Context(), trem.WipeOrder{House: h.home.id, GiveUp: true})
	if err != nil || len(got.Letters) != 1 || len(got.Lost) != 1 || got.Lost[0].Content != filmID {
		t.Errorf("%+v %v", got, err)
	}
	if got, err = h.tablet.Wipe(t.Context(), trem.WipeOrder{GiveUp: true}); err != nil || !got.Done {
		t.Errorf("and then: %+v %v", got, err)
	}
	h.must(<-h.tablet.exited)
	h.tablet.start()
}
