package module_test

import (
	"context"
	"testing"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/security/trem"
)

// A license that moved to a device after the backup is there and nowhere else
// when the house is restored, and may move home again.
func TestBackup_4_WhatMovedAwayStaysAway(t *testing.T) {
	for _, terms := range []string{"PLAY; MOVE=DOMAIN", "PLAY; PLAY_COUNT=3; MOVE=DOMAIN"} {
		t.Run(terms, func(t *testing.T) {
			h := newHouse(t)
			h.stock(cenc.SchemeCENC, filmID)
			h.stock(cenc.SchemeCENC, boughtFilm)
			h.must(h.pair(h.tablet))
			g := h.stateful(terms, filmID)
			if terms == "PLAY; MOVE=DOMAIN" {
				g = household(g, 0x53)
			}
			h.buy(filmID, g)
			h.wantKinds(h.buy(boughtFilm, household(h.sell(purchase, boughtFilm), 0x54)), trem.EventInstalled)
			code := h.code()
			_, file := h.backup(code, "")
			h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
			h.lose()
			out := h.restore(h.home, code, file, 0)
			if needsOf(out.Titles)[filmID] == trem.NeedsNothing {
				t.Errorf("restore needs %v", needsOf(out.Titles))
			}
			h.learn(h.home)
			h.plays(h.home, false)
			h.plays(h.tablet, true)
			_, err := h.follow(h.tablet, h.home)
			h.must(err)
			h.wantKinds(h.get(h.tablet, boughtFilm, 0), trem.EventInstalled) // its membership is renewed
			back, err := h.tablet.HandOver(context.Background(), trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home)})
			h.must(err)
			h.mail(back.Letters)
			h.plays(h.home, true)
			h.plays(h.tablet, false)
		})
	}
}

// A device that was set back to before a move does not move the license again.
func TestWitness_2_ASetBackDeviceMovesNothing(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	h.stock(cenc.SchemeCENC, boughtFilm)
	h.wantKinds(h.buy(boughtFilm, household(h.sell(purchase, boughtFilm), 0x55)), trem.EventInstalled)
	ctx := context.Background()
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, boughtFilm, 0), trem.EventInstalled)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.learn(h.phone)
	out, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	h.mail(out.Letters)
	h.plays(h.phone, true)
	h.wantKinds(h.get(h.tablet, boughtFilm, 0), trem.EventInstalled)
	h.tablet.setBack(image)
	h.learn(h.tablet)
	h.wantKinds(h.get(h.tablet, boughtFilm, 0), trem.EventInstalled)
	h.plays(h.tablet, false)
	_, err = h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home)})
	wantRejected(t, err, trem.CodeState, "set back")
	_, err = h.tablet.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Content: filmID, Op: trem.OpMove})
	wantRejected(t, err, trem.CodeState, "set back")
	h.plays(h.phone, true)
}
