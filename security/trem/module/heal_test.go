package module_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/security/trem"
)

// logOf is a copy of a module's log, as members keep it.
func (h *house) logOf(b *box) [][]byte {
	h.t.Helper()
	ctx := context.Background()
	all, none, err := b.Log(ctx, nil)
	h.must(err)
	if len(none) != 0 {
		h.t.Errorf("%d bytes of segments that nobody wanted", len(none))
	}
	var want [][32]byte
	for _, s := range all.Segments {
		want = append(want, s.Hash)
	}
	got, data, err := b.Log(ctx, want)
	h.must(err)
	var out [][]byte
	for _, s := range got.Segments {
		if !s.Here {
			h.t.Fatal("a segment is missing")
		}
		out, data = append(out, data[:s.Size]), data[s.Size:]
	}
	return out
}

func (h *house) left(b *box) uint64 {
	h.t.Helper()
	for _, x := range h.held(b) {
		if x.Content == rentedFilm {
			return *x.Counters.PlaysLeft
		}
	}
	h.t.Fatal("the rental is not there")
	return 0
}

// usedAndSetBack is a house whose tablet has used a play, was set back to before
// that, and knows it; with a copy of its log from between.
func usedAndSetBack(t *testing.T) (*house, *stuff, [][]byte) {
	t.Helper()
	h, own := witnessed(t)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.watch(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	log := h.logOf(h.tablet)
	h.tablet.setBack(image)
	h.learn(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.tablet, own)
	return h, own, log
}

// A device that was set back and used nothing since is whole again by a copy of
// its log: neither less nor more is left, and it gives and takes counts.
func TestWitness_4_ASetBackDeviceHeals(t *testing.T) {
	h, own, log := usedAndSetBack(t)
	ctx := context.Background()
	_, _, err := h.tablet.Log(ctx, nil)
	wantRejected(t, err, trem.CodeState, "set back")
	got, err := h.tablet.Heal(ctx, log)
	if err != nil || got.Dropped == 0 {
		t.Fatalf("%+v %v", got, err)
	}
	for range 2 {
		st, err := h.tablet.Status(ctx)
		if err != nil || st.SetBack || st.Records != got.Counter {
			t.Fatalf("healed: %+v %v", st, err)
		}
		if n := h.left(h.tablet); n != 1 {
			t.Errorf("%d plays are left, want 1", n)
		}
		if _, err := h.tablet.play(own, content.SD, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal}, 0); err != nil {
			t.Errorf("a title without state does not go on: %v", err)
		}
		h.tablet.restart()
		if st, err = h.tablet.Status(ctx); err != nil {
			t.Fatal(err)
		}
		got.Counter = st.Records
	}
	h.learn(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventInstalled, trem.EventClosed)
	h.watch(h.tablet)
	if st, err := h.home.Status(ctx); err != nil || len(st.Twins) != 0 {
		t.Errorf("the house takes it for two: %v %v", st.Twins, err)
	}
	_, err = h.tablet.Heal(ctx, log)
	wantRejected(t, err, trem.CodeState, "was not set back")
}

// What it has learned since is not forgotten: time, and what it keeps of peers.
func TestWitness_4_WhatWasLearnedStays(t *testing.T) {
	h, _, log := usedAndSetBack(t)
	ctx := context.Background()
	h.pass(36 * time.Hour)
	h.publish()
	h.learn(h.tablet)
	h.learn(h.home)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled) // the tablet keeps a newer HEAD of the house
	before, err := h.tablet.Status(ctx)
	h.must(err)
	kept, err := h.tablet.Kept(ctx)
	h.must(err)
	_, err = h.tablet.Heal(ctx, log)
	h.must(err)
	after, err := h.tablet.Status(ctx)
	h.must(err)
	if after.Clock.Lo < before.Clock.Lo || after.Clock.Quality != before.Clock.Quality || after.Epoch != before.Epoch {
		t.Errorf("before %+v %d, after %+v %d", before.Clock, before.Epoch, after.Clock, after.Epoch)
	}
	again, err := h.tablet.Kept(ctx)
	if h.must(err); len(kept) == 0 || !reflect.DeepEqual(again, kept) {
		t.Errorf("keeps %v, before %v", again, kept)
	}
}

func TestWitness_4_ACopyThatDoesNotHeal(t *testing.T) {
	h, own, log := usedAndSetBack(t)
	ctx := context.Background()
	old := slices.Clone(log)
	old = old[:1] // the log as it began
	bent := slices.Clone(log)
	bent[len(bent)-1] = slices.Clone(bent[len(bent)-1])
	bent[len(bent)-1][len(bent[len(bent)-1])-100] ^= 1
	for _, tc := range []struct {
		name string
		log  [][]byte
		why  string
	}{
		{"old", old, "does not reach batch"},
		{"changed", bent, "damaged"},
		{"of another device", h.logOf(h.phone), "not of this keystore or device"},
		{"without its beginning", log[1:], "missing"},
		{"nothing", [][]byte{}, "it is empty"},
		{"noise", [][]byte{[]byte("noise")}, "damaged"},
	} {
		_, err := h.tablet.Heal(ctx, tc.log)
		t.Log(tc.name)
		wantRejected(t, err, trem.CodeRejected, tc.why)
	}
	h.wantSetBack(h.tablet, own)
	h.tablet.restart()
	h.learn(h.tablet)
	h.wantSetBack(h.tablet, own)
	if _, err := h.tablet.Heal(ctx, log); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// Who uses what counts after setting a device back cannot have it healed: the
// copy does not know of that use.
func TestWitness_4_WhatWasUsedSinceIsInNoCopy(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		h, own := witnessed(t)
		image := h.tablet.image()
		h.learn(h.tablet)
		h.watch(h.tablet)
		h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
		log := h.logOf(h.tablet)
		h.tablet.setBack(image)
		h.learn(h.tablet)
		h.watch(h.tablet)
		h.pass(time.Minute)
		h.learn(h.tablet) // one batch more than before: at the same number it would be taken for a clone
		if restarts {
			for range 70 { // as many as a log is compacted after
				h.tablet.restart()
				h.learn(h.tablet)
			}
		}
		h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
		h.wantSetBack(h.tablet, own)
		_, err := h.tablet.Heal(context.Background(), log)
		wantRejected(t, err, trem.CodeRejected, "has done what counts")
		h.wantSetBack(h.tablet, own)
	}
}

// A log that was compacted since it was set back still heals, and so does one
// that was compacted before the copy was made.
func TestWitness_4_AcrossCompactions(t *testing.T) {
	h, own := witnessed(t)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.watch(h.tablet)
	again := func() {
		for range 70 {
			h.tablet.restart()
			h.learn(h.tablet)
		}
	}
	again()
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	log := h.logOf(h.tablet)
	if len(log) > 64 {
		t.Fatalf("%d segments: it was not compacted", len(log))
	}
	h.tablet.setBack(image)
	again()
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.tablet, own)
	_, err := h.tablet.Heal(context.Background(), log)
	h.must(err)
	if n := h.left(h.tablet); n != 1 {
		t.Errorf("%d plays are left, want 1", n)
	}
}

// A home server heals as its devices do.
func TestWitness_4_ASetBackHomeServerHeals(t *testing.T) {
	h, own := witnessed(t)
	image := h.home.image()
	h.learn(h.home)
	h.wantKinds(h.get(h.tablet, rentedFilm, 3), trem.EventInstalled, trem.EventClosed)
	log := h.logOf(h.home)
	h.home.setBack(image)
	h.learn(h.home)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.home, own)
	_, err := h.home.Heal(context.Background(), log)
	h.must(err)
	if n := h.homeLeft(); n != 4 {
		t.Errorf("%d plays are left at home, want 4", n)
	}
	h.wantKinds(h.get(h.phone, rentedFilm, 4), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventRefused) // no play is left
}

// A HEAD is as good from a courier as from its keeper: the module has signed it.
func TestWitness_4_AHeadIsHeardFromAnybody(t *testing.T) {
	h, own := witnessed(t)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.watch(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	ctx := context.Background()
	kept, err := h.home.Kept(ctx)
	h.must(err)
	i := slices.IndexFunc(kept, func(s trem.LogSeen) bool { return s.Device == h.tablet.id })
	h.must(h.tablet.Hear(ctx, kept[i].Head))
	if st, err := h.tablet.Status(ctx); err != nil || st.SetBack {
		t.Fatalf("it is as it was: %v", err)
	}
	h.tablet.setBack(image)
	h.learn(h.tablet)
	for _, s := range kept {
		if s.Device != h.tablet.id {
			h.must(h.tablet.Hear(ctx, s.Head)) // another's
		}
	}
	h.must(h.tablet.Hear(ctx, []byte("noise")))
	if st, err := h.tablet.Status(ctx); err != nil || st.SetBack {
		t.Fatalf("nobody has said so: %v", err)
	}
	h.must(h.tablet.Hear(ctx, kept[i].Head))
	h.wantSetBack(h.tablet, own)
}

func TestWitness_4_NobodyCopiesAnIssuersLog(t *testing.T) {
	h, _ := witnessed(t)
	_, _, err := h.issuer.Log(context.Background(), nil)
	wantRejected(t, err, trem.CodeState, "not for a module of role")
}
