package module_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// shut ends a module; its folder can then be looked at, and start it again.
func (b *box) shut() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	if err := <-b.exited; err != nil {
		b.t.Fatal(err)
	}
}

// image copies a stopped module's folder, as its owner can.
func (b *box) image() string {
	b.t.Helper()
	b.shut()
	to := filepath.Join(b.t.TempDir(), "image")
	if err := os.CopyFS(to, os.DirFS(b.dir)); err != nil {
		b.t.Fatal(err)
	}
	b.start()
	return to
}

// setBack replaces a module's folder by an older image of it.
func (b *box) setBack(image string) {
	b.t.Helper()
	b.shut()
	if err := os.RemoveAll(b.dir); err != nil {
		b.t.Fatal(err)
	}
	if err := os.CopyFS(b.dir, os.DirFS(image)); err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

// witnessed is a house whose tablet holds two plays of a rental and a title
// without state.
func witnessed(t *testing.T) (*house, *stuff) {
	t.Helper()
	h := newHouse(t)
	own := h.stock(cenc.SchemeCENC, ownFilm)
	h.rental = h.stock(cenc.SchemeCENC, rentedFilm)
	h.must(h.pair(h.tablet))
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(ownFilm, h.sell(purchase, ownFilm)), trem.EventInstalled)
	h.wantKinds(h.buy(rentedFilm, h.sell("PLAY; PLAY_COUNT=9", rentedFilm)), trem.EventInstalled, trem.EventClosed)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantKinds(h.get(h.tablet, rentedFilm, 2), trem.EventInstalled, trem.EventClosed)
	return h, own
}

// watch uses one play of the rental up.
func (h *house) watch(b *box) {
	h.t.Helper()
	if _, err := b.play(h.rental, content.SD, trem.Ask{Content: rentedFilm, Action: 1, Output: trem.OutputInternal, Confirm: true}, 0); err != nil {
		h.t.Fatal(err)
	}
}

// spend begins one play of the rental, and ends it before it is used.
func (h *house) spend(b *box) {
	h.t.Helper()
	ctx := context.Background()
	ask := trem.Ask{Content: rentedFilm, Action: 1, Output: trem.OutputInternal, Confirm: true}
	ses, err := b.Begin(ctx, ask)
	h.must(err)
	h.must(b.End(ctx, ses.Handle))
}

func (h *house) decision(b *box, id ident.Content) license.Decision {
	h.t.Helper()
	d, err := b.Evaluate(context.Background(), trem.Ask{Content: id, Action: 1, Output: trem.OutputInternal, Confirm: true})
	h.must(err)
	return d
}

func (h *house) wantSetBack(b *box, s *stuff) {
	h.t.Helper()
	d := h.decision(b, rentedFilm)
	if d.Allow || !slices.ContainsFunc(d.Reasons, func(r license.Reason) bool { return r.Code == license.StateRolledBack && r.Closed }) {
		h.t.Errorf("a counted title of a module that was set back: %+v", d)
	}
	if st, err := b.Status(context.Background()); err != nil || !st.SetBack {
		h.t.Errorf("status of a module that was set back: %v %v", st.SetBack, err)
	}
	if _, err := b.play(s, content.SD, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal}, 0); err != nil {
		h.t.Errorf("a title without state does not go on: %v", err)
	}
}

// Who copies a device's folder back to win plays has them until the device meets
// its house; then they wait, also after a restart, and the rest goes on.
func TestWitness_2_ASetBackDeviceIsToldByItsHouse(t *testing.T) {
	h, own := witnessed(t)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.spend(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled) // the house has the newer HEAD now
	h.tablet.setBack(image)
	h.learn(h.tablet)
	if d := h.decision(h.tablet, rentedFilm); !d.Allow {
		t.Fatalf("nobody has told the tablet yet: %+v", d)
	}
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.tablet, own)
	h.tablet.restart()
	h.learn(h.tablet)
	h.wantSetBack(h.tablet, own)
	h.wantKinds(h.get(h.tablet, rentedFilm, 0), trem.EventRefused) // nothing counted comes in
	if got := h.homeLeft(); got != 7 {
		t.Errorf("%d plays are left at home, want 7", got)
	}
	_, err := h.tablet.Open(context.Background(), trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: rentedFilm, Plays: 1})
	wantRejected(t, err, trem.CodeState, "set back")
}

func (h *house) homeLeft() uint64 {
	h.t.Helper()
	for _, x := range h.held(h.home) {
		if x.Content == rentedFilm {
			return *x.Counters.PlaysLeft
		}
	}
	h.t.Fatal("the rental is not at home")
	return 0
}

// A device that was set back and has gone on past the place where its house last
// saw it is found by the hash of that place.
func TestWitness_2_ASetBackDeviceThatWentOnIsFound(t *testing.T) {
	h, own := witnessed(t)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.spend(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	st, err := h.tablet.Status(context.Background())
	h.must(err)
	h.tablet.setBack(image)
	for range 40 {
		h.pass(time.Minute)
		h.learn(h.tablet)
	}
	if now, err := h.tablet.Status(context.Background()); err != nil || now.Records <= st.Records {
		t.Fatalf("the log has %d batches, the house saw %d: %v", now.Records, st.Records, err)
	}
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.tablet, own)
}

// Who was set back and loses the house's answers is not witnessed as it is now:
// the HEAD from before stays until its device has looked at it.
func TestWitness_1_LostAnswersDoNotReplaceTheHead(t *testing.T) {
	h, own := witnessed(t)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.spend(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.tablet.setBack(image)
	for range 6 {
		for range 5 {
			h.pass(time.Minute)
			h.learn(h.tablet)
		}
		h.getAndLose(h.tablet, ownFilm)
	}
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.tablet, own)
}

// getAndLose asks the house for a title and loses its answer.
func (h *house) getAndLose(b *box, id ident.Content) {
	h.t.Helper()
	ctx := context.Background()
	o, err := b.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: id})
	h.must(err)
	two, err := h.home.Receive(ctx, o.Messages[0])
	h.must(err)
	three, err := b.Receive(ctx, two.Messages[0])
	h.must(err)
	four, err := h.home.Receive(ctx, three.Messages[0])
	h.must(err)
	if len(four.Messages) != 1 {
		h.t.Fatalf("%d answers", len(four.Messages))
	}
}

// Who has not looked at the HEAD that is kept of it gets nothing that counts, and
// once it has, it does.
func TestWitness_1_FirstItLooksAtItsHead(t *testing.T) {
	h, _ := witnessed(t)
	h.getAndLose(h.tablet, ownFilm)
	h.learn(h.tablet)
	got := h.get(h.tablet, rentedFilm, 1)
	h.wantKinds(got, trem.EventRefused)
	if got[0].Code != "TRY_LATER" {
		t.Errorf("refused with %s", got[0].Code)
	}
	h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventInstalled, trem.EventClosed)
}

// A session that counts ends when its module finds out.
func TestWitness_2_ARunningPlayEnds(t *testing.T) {
	h, _ := witnessed(t)
	image := h.tablet.image()
	h.learn(h.tablet)
	h.spend(h.tablet)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.tablet.setBack(image)
	h.learn(h.tablet)
	ctx := context.Background()
	ses, err := h.tablet.Begin(ctx, trem.Ask{Content: rentedFilm, Action: 1, Output: trem.OutputInternal, Confirm: true})
	h.must(err)
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	wantRejected(t, h.tablet.End(ctx, ses.Handle), trem.CodeUnknown, "no such session")
}

// The home server is told by its devices, and gives no more counts.
func TestWitness_2_ASetBackHomeServerIsToldByADevice(t *testing.T) {
	h, own := witnessed(t)
	image := h.home.image()
	h.learn(h.home)
	h.wantKinds(h.get(h.tablet, rentedFilm, 3), trem.EventInstalled, trem.EventClosed)
	h.home.setBack(image)
	h.learn(h.home)
	h.wantKinds(h.get(h.phone, rentedFilm, 1), trem.EventInstalled, trem.EventClosed) // the phone knows of nothing
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
	h.wantSetBack(h.home, own)
	h.wantKinds(h.get(h.phone, rentedFilm, 1), trem.EventRefused)
	h.wantKinds(h.get(h.phone, ownFilm, 0), trem.EventInstalled)
}

// Two that use one device's key are found when they show two hashes for one place
// of the log. Both are quarantined: counts are exchanged with neither.
func TestWitness_3_ACloneIsQuarantined(t *testing.T) {
	h, own := witnessed(t)
	clone := &box{t: t, dir: h.tablet.image(), clock: &clock{rtc: h.now, boot: time.Minute}, id: h.tablet.id}
	clone.start()
	t.Cleanup(func() { _ = clone.Close(); <-clone.exited })
	for _, b := range []*box{h.tablet, clone} { // one batch each, different ones
		h.pass(time.Minute)
		clone.clock.pass(time.Minute)
		h.must(h.learnTime(b))
		h.wantKinds(h.get(b, ownFilm, 0), trem.EventInstalled)
	}
	st, err := h.home.Status(context.Background())
	h.must(err)
	if !slices.Equal(st.Twins, []ident.Device{h.tablet.id}) {
		t.Fatalf("twins: %v", st.Twins)
	}
	h.home.restart()
	h.learn(h.home)
	for _, b := range []*box{h.tablet, clone} {
		h.learn(b)
		h.wantKinds(h.get(b, rentedFilm, 1), trem.EventRefused)
		if _, err := b.play(own, content.SD, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal}, 0); err != nil {
			t.Error(err)
		}
	}
	h.wantKinds(h.get(h.phone, rentedFilm, 1), trem.EventInstalled, trem.EventClosed)
}

// Modules that crash and restart, and are compacted, are not taken for set back.
func TestWitness_2_RestartsAreNoSetBack(t *testing.T) {
	h, _ := witnessed(t)
	for range 4 {
		h.tablet.restart()
		h.home.restart()
		h.learn(h.tablet)
		h.learn(h.home)
		h.wantKinds(h.get(h.tablet, rentedFilm, 1), trem.EventInstalled, trem.EventClosed)
	}
	for _, b := range []*box{h.tablet, h.home} {
		if st, err := b.Status(context.Background()); err != nil || st.SetBack || len(st.Twins) != 0 {
			t.Errorf("%+v %v", st, err)
		}
	}
}
