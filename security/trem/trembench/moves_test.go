package trembench

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/trem"
)

// house is one whose commands take the time of the wall clock.
func house(t *testing.T) House {
	start := time.Now()
	return House{Dir: filepath.Join(t.TempDir(), "new"), Now: time.Now, CPU: func() (time.Duration, error) { return time.Since(start), nil }}
}

// waits fails unless a hand-over waited for the disk as often as is wanted, once
// for each batch.
func waits(t *testing.T, name string, got Handed, source, dest, after int) {
	t.Helper()
	for _, x := range []struct {
		side string
		Side
		want int
	}{{"source", got.Source, source}, {"destination", got.Dest, dest}, {"after it", got.After, after}} {
		if x.Syncs != x.want || x.Batches != x.want || x.want > 0 && x.CPU <= 0 {
			t.Errorf("%s, %s: %+v, want %d syncs", name, x.side, x.Side, x.want)
		}
	}
	if got.Took < got.Source.CPU+got.Dest.CPU || got.Messages < 2 || got.Bytes < 1000*got.Messages {
		t.Errorf("%s: %+v", name, got)
	}
}

// TestTransfer_4_MoveWaitsThreeTimes: twice at its source and once at its
// destination, the first time that two modules meet too.
func TestTransfer_4_MoveWaitsThreeTimes(t *testing.T) {
	for _, off := range []bool{false, true} {
		for name, do := range map[string]func(House, context.Context, int) ([]Handed, error){"session": House.MovesInSession, "letter": House.MovesByLetter} {
			h := house(t)
			h.Off = off
			all, err := do(h, t.Context(), 3)
			if err != nil || len(all) != 3 {
				t.Fatalf("%s: %d moves, %v", name, len(all), err)
			}
			for _, m := range all {
				waits(t, name, m, 2, 1, 1)
			}
		}
	}
}

// TestTransfer_3_LoanWaitsOnEachSide: once to lend and once to return. At the
// first meeting the lender notes beside the receipt where the borrower's log
// stands.
func TestTransfer_3_LoanWaitsOnEachSide(t *testing.T) {
	all, err := house(t).Loans(t.Context(), 3)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d loans, %v", len(all), err)
	}
	waits(t, "lent first", all[0].Lent, 2, 1, 0)
	for _, l := range all[1:] {
		waits(t, "lent", l.Lent, 1, 1, 0)
		waits(t, "returned", l.Returned, 1, 1, 1)
	}
}

// TestTransfer_4_MovedWhileWatched: the end of a session that a move stops is in
// the batch of its PREPARE.
func TestTransfer_4_MovedWhileWatched(t *testing.T) {
	h := house(t)
	defer h.close() //nolint:errcheck // what is measured is over
	ctx := t.Context()
	if err := h.open(ctx); err != nil {
		t.Fatal(err)
	}
	ask := trem.Ask{Content: Film, Action: permission.Play, Output: trem.OutputInternal, Confirm: true}
	ses, err := h.home.Begin(ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.inSession(ctx, h.tablet)
	if err != nil {
		t.Fatal(err)
	}
	waits(t, "watched", m, 2, 1, 1)
	var gone *trem.Error
	if err := h.home.End(ctx, ses.Handle); !errors.As(err, &gone) || gone.Code != trem.CodeUnknown {
		t.Errorf("the session goes on: %v", err)
	}
	held, err := h.tablet.Licenses(ctx)
	if err != nil || len(held) != 1 || *held[0].Counters.PlaysLeft != 1000 {
		t.Errorf("%d licenses, %v; want one with 1000 plays, since nothing was watched", len(held), err)
	}
}
