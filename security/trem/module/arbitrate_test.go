package module_test

import (
	"context"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// moved is a house whose tablet has a title that it hands to the phone, to be
// confirmed within a day.
func moved(t *testing.T, terms string) (*house, trem.Handed) {
	t.Helper()
	h := movable(t, terms)
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	h.learn(h.tablet)
	out, err := h.tablet.HandOver(context.Background(), trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone), HoldMS: 24 * 3600_000})
	h.must(err)
	return h, out
}

func (h *house) letters(b *box) []trem.Letter {
	h.t.Helper()
	got, err := b.Letters(context.Background())
	h.must(err)
	return got.Letters
}

func (h *house) lost(b *box, tid ident.Transfer) []trem.Letter {
	h.t.Helper()
	got, err := b.Lost(context.Background(), tid)
	h.must(err)
	return got.Letters
}

// TestTransfer_2_LostDeviceIsReleased: what never arrived comes back, after the
// hold and a day of signed time, and not one moment before.
func TestTransfer_2_LostDeviceIsReleased(t *testing.T) {
	h, out := moved(t, "PLAY; MOVE=DOMAIN; LEND")
	h.mail(h.lost(h.tablet, out.Transfer)) // the phone has nothing to show
	h.pass(48 * time.Hour)
	h.mail(h.letters(h.home)) // the server counted two days, and heard nothing
	h.reason(h.tablet, license.LockedInMove)
	h.learn(h.home)
	h.pass(time.Minute)
	h.learn(h.home)
	h.home.restart()
	h.learn(h.home)
	h.mail(h.letters(h.home))
	h.plays(h.tablet, true)
	h.mail(out.Letters) // it comes after all
	h.plays(h.phone, false)
	h.waiting(h.tablet)
	h.tablet.restart()
	h.plays(h.tablet, true)
}

// TestTransfer_2_WhatCountsIsNotGivenBackTwice: it could have been watched.
func TestTransfer_2_WhatCountsIsNotGivenBackTwice(t *testing.T) {
	h, out := moved(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	h.mail(h.lost(h.tablet, out.Transfer))
	h.pass(50 * time.Hour)
	h.learn(h.home)
	h.mail(h.letters(h.home))
	h.reason(h.tablet, license.CountExhausted)
}

// TestTransfer_2_ReleasedNeverWakes: it was installed in its hold and sleeps since;
// no later word of the source wakes it, and the arbiter's ends it.
func TestTransfer_2_ReleasedNeverWakes(t *testing.T) {
	h, out := moved(t, "PLAY; MOVE=DOMAIN; LEND")
	ctx := context.Background()
	h.learn(h.phone)
	_, err := h.phone.Post(ctx, out.Letters[0].Bytes) // and its receipt is lost
	h.must(err)
	h.plays(h.phone, true)
	lost := h.lost(h.tablet, out.Transfer)
	_, err = h.home.Post(ctx, lost[0].Bytes) // the phone is off: it is not asked
	h.must(err)
	h.pass(50 * time.Hour)
	h.learn(h.phone)
	h.reason(h.phone, license.LockedInMove)
	h.learn(h.home)
	for _, l := range h.letters(h.home) { // the source alone is told; what it passes on is lost
		if l.To == h.phone.id {
			t.Error("the destination is told of a RELEASE that its source has not")
		}
		_, err := h.tablet.Post(ctx, l.Bytes)
		h.must(err)
	}
	h.plays(h.tablet, true)
	for _, l := range h.letters(h.phone) { // it says that it has it
		h.mail([]trem.Letter{l})
	}
	h.reason(h.phone, license.LockedInMove)
	h.waiting(h.tablet, trem.StageReleased)
	h.tablet.restart()
	h.learn(h.tablet)
	h.learn(h.phone)
	h.mail(h.letters(h.tablet))
	h.waiting(h.tablet)
	h.plays(h.phone, false)
	if len(h.held(h.phone)) > 0 {
		t.Error("the phone still holds it")
	}
	for _, b := range []*box{h.home, h.tablet, h.phone} {
		b.restart()
		h.learn(b)
		h.mail(h.letters(b))
	}
	h.plays(h.tablet, true)
	h.plays(h.phone, false)
}

// TestTransfer_2_ShownReceiptConfirms: the server asks the phone, which shows that
// it has it: then it is the phone's, whoever is lost.
func TestTransfer_2_ShownReceiptConfirms(t *testing.T) {
	h, out := moved(t, "PLAY; MOVE=DOMAIN; LEND")
	h.learn(h.phone)
	_, err := h.phone.Post(context.Background(), out.Letters[0].Bytes)
	h.must(err)
	h.mail(h.lost(h.tablet, out.Transfer))
	h.reason(h.tablet, license.MovedAway)
	h.pass(50 * time.Hour)
	h.learn(h.phone)
	h.plays(h.phone, true) // its hold is over for ever
	h.learn(h.home)
	h.mail(h.letters(h.home))
	h.plays(h.phone, true)
	h.reason(h.tablet, license.MovedAway)

	// The source is lost: the destination shows its receipt itself.
	h, out = moved(t, "PLAY; MOVE=DOMAIN; LEND")
	h.learn(h.phone)
	_, err = h.phone.Post(context.Background(), out.Letters[0].Bytes)
	h.must(err)
	for _, l := range h.lost(h.phone, out.Transfer) {
		got, err := h.home.Post(context.Background(), l.Bytes)
		h.must(err)
		for _, l := range got.Letters {
			if l.To == h.phone.id {
				h.mail([]trem.Letter{l})
			}
		}
	}
	h.pass(50 * time.Hour)
	h.learn(h.phone)
	h.plays(h.phone, true)
	h.waiting(h.phone)
}

// TestTransfer_2_NoHoldNoArbiter: what began without a limit nobody else decides.
func TestTransfer_2_NoHoldNoArbiter(t *testing.T) {
	h := movable(t, "PLAY; MOVE=DOMAIN; LEND")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)})
	h.must(err)
	if _, err := h.home.Lost(ctx, out.Transfer); err == nil {
		t.Error("it was decided")
	}
	h.mail(out.Letters)
	h.plays(h.phone, true)
}

// TestTransfer_2_ReleaseMeetsCommit: the source has committed by the time the
// arbiter decides: it is the destination's, and stays there.
func TestTransfer_2_ReleaseMeetsCommit(t *testing.T) {
	h, out := moved(t, "PLAY; MOVE=DOMAIN; LEND")
	ctx := context.Background()
	lost := h.lost(h.tablet, out.Transfer)
	_, err := h.home.Post(ctx, lost[0].Bytes) // the phone is off
	h.must(err)
	h.learn(h.phone)
	got, err := h.phone.Post(ctx, out.Letters[0].Bytes)
	h.must(err)
	_, err = h.tablet.Post(ctx, got.Letters[0].Bytes) // committed; its DONE is lost
	h.must(err)
	h.pass(50 * time.Hour)
	h.learn(h.home)
	h.mail(h.letters(h.home))
	h.reason(h.tablet, license.MovedAway)
	h.learn(h.phone)
	h.mail(h.letters(h.phone))
	h.plays(h.phone, true)
	h.waiting(h.phone)
	if letters := h.letters(h.home); len(letters) > 0 {
		t.Errorf("the arbiter still has %d letters to write", len(letters))
	}
}
