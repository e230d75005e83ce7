package module_test

import (
	"context"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// TestTransfer_4_KillMove: a title goes to and fro between two devices by
// letters. After every fault one of them plays it, with all its plays.
func TestTransfer_4_KillMove(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	from, to := h.tablet, h.phone
	everyFault(t, h, (*flow).atMostOnce, func(x *flow) {
		x.order(from, func() (trem.Handed, error) {
			return from.HandOver(context.Background(), trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(to)})
		})
		x.straggle()
		x.only(to)
		x.whole(to, 3)
		x.reason(from, license.MovedAway)
		from, to = to, from
	})
}

// whole fails unless b holds one license with all its plays, and nobody else one.
func (x *flow) whole(b *box, plays uint64) {
	x.t.Helper()
	for _, o := range x.boxes() {
		held := x.held(o)
		switch {
		case o != b && len(held) != 0:
			x.t.Fatalf("another module holds %+v", held)
		case o == b && (len(held) != 1 || *held[0].Counters.PlaysLeft != plays):
			x.t.Fatalf("held %+v, want one with %d plays", held, plays)
		}
	}
}

// TestTransfer_4_KillMoveInSession: a device asks its house's server for the
// title itself. Then it gives it back by a letter.
func TestTransfer_4_KillMoveInSession(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	everyFault(t, h, (*flow).atMostOnce, func(x *flow) {
		x.fetch(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove})
		x.straggle()
		x.only(h.tablet)
		x.whole(h.tablet, 3)
		back, err := h.tablet.HandOver(context.Background(), trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home)})
		h.must(err)
		h.mail(back.Letters)
		x.rest()
		x.only(h.home)
	})
}

// TestTransfer_4_KillGift: a title is given to another house, and back.
func TestTransfer_4_KillGift(t *testing.T) {
	for at := range 4 { // a title may change hands so often
		h := movable(t, "PLAY; PLAY_COUNT=3; TRANSFER=1000")
		h.visit()
		from, to := h.home, h.aunt
		give := func(x *flow) {
			x.order(from, func() (trem.Handed, error) {
				return from.HandOver(context.Background(), trem.HandOver{Op: trem.OpTransfer, Content: filmID, To: h.door(to)})
			})
			x.straggle()
			x.only(to)
			x.whole(to, 3)
			x.reason(from, license.MovedAway)
			from, to = to, from
			x.pass(25 * time.Hour) // it may not be given on sooner
			for _, b := range x.boxes() {
				x.learn(b)
			}
		}
		if n := one(t, h, never, -1, (*flow).atMostOnce, give); n != 4 {
			t.Errorf("a gift is %d commands, want 4", n)
		}
		faultsAt(t, h, at, (*flow).atMostOnce, give)
	}
}

// TestTransfer_4_KillCancel: a move is asked back while its letter is on its
// way. Whoever it belongs to afterwards, it is one.
func TestTransfer_4_KillCancel(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
	from, to := h.tablet, h.phone
	everyFault(t, h, (*flow).atMostOnce, func(x *flow) {
		out, err := from.HandOver(context.Background(), trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(to)})
		h.must(err)
		x.order(from, func() (trem.Handed, error) { return from.Cancel(context.Background(), out.Transfer) })
		x.mail(out.Letters)
		x.straggle()
		all := x.allowed()
		if len(all) != 1 {
			t.Fatalf("%d modules play", len(all))
		}
		x.whole(all[0], 3)
		if all[0] == to {
			from, to = to, from
		}
	})
}

// TestTransfer_4_KillCopy: of so many copies each is one, or still to be made;
// and so are the plays that they share.
func TestTransfer_4_KillCopy(t *testing.T) {
	needs.Long(t)
	const copies, plays = 500, 1000
	for _, tc := range []struct {
		name string
		run  func(*flow)
	}{
		{"letters", func(x *flow) {
			x.order(x.home, func() (trem.Handed, error) {
				return x.home.HandOver(context.Background(), trem.HandOver{Op: trem.OpCopy, Content: filmID, Plays: 1, To: x.card(x.tablet)})
			})
		}},
		{"session", func(x *flow) {
			x.fetch(x.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpCopy, Plays: 1})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := movable(t, "PLAY; PLAY_COUNT=1000; COPY=COUNTED; COPY_COUNT=500; MOVE=DOMAIN")
			sum := func(x *flow) (made, left, played uint64) {
				for _, b := range x.boxes() {
					for _, l := range x.held(b) {
						played += *l.Counters.PlaysLeft
						if l.Kind != 0 {
							made++
						} else {
							left = *l.Counters.CopiesLeft
						}
					}
				}
				return made, left, played
			}
			last := uint64(0)
			everyFault(t, h, func(x *flow) {
				if made, left, played := sum(x); made+left > copies || played > plays {
					t.Fatalf("%d copies, %d are left, %d plays: there is more than was", made, left, played)
				}
			}, func(x *flow) {
				tc.run(x)
				x.straggle()
				made, left, played := sum(x)
				if made+left != copies || played != plays || made <= last || made > last+2 {
					t.Fatalf("%d copies after %d, %d are left, %d plays", made, last, left, played)
				}
				last = made
			})
		})
	}
}

// lent is an open loan at a module.
func (x *flow) lent(b *box, stage trem.Stage) (ident.Transfer, bool) {
	x.t.Helper()
	list, err := b.Transfers(context.Background())
	x.must(err)
	for _, t := range list {
		if t.Stage == stage {
			return t.ID, true
		}
	}
	return ident.Transfer{}, false
}

func lend(x *flow, d time.Duration) {
	x.t.Helper()
	x.order(x.home, func() (trem.Handed, error) {
		return x.home.HandOver(context.Background(), trem.HandOver{Op: trem.OpLend, Content: filmID, ForMS: d.Milliseconds(), To: x.card(x.tablet)})
	})
	x.rest()
	x.only(x.tablet)
}

// TestTransfer_4_KillLoan: a loan is never of use on both sides, and returns.
func TestTransfer_4_KillLoan(t *testing.T) {
	needs.Long(t)
	ctx := context.Background()
	for _, tc := range []struct {
		name string
		run  func(*flow)
		used uint64 // plays that are gone after it
	}{
		{"returned", func(x *flow) {
			lend(x, 6*time.Hour)
			id, _ := x.lent(x.tablet, trem.StageBorrowed)
			x.order(x.tablet, func() (trem.Handed, error) { return x.tablet.GiveBack(ctx, id) })
		}, 0},
		{"renewed", func(x *flow) {
			lend(x, time.Hour)
			id, _ := x.lent(x.home, trem.StageLent)
			x.order(x.home, func() (trem.Handed, error) {
				return x.home.RenewLoan(ctx, trem.Renewal{Transfer: id, ForMS: (3 * time.Hour).Milliseconds()})
			})
			x.rest()
			x.pass(2 * time.Hour)
			x.learn(x.home)
			x.learn(x.tablet)
			x.only(x.tablet)
			back, err := x.tablet.GiveBack(ctx, id)
			x.must(err)
			x.house.mail(back.Letters)
		}, 0},
		{"recalled", func(x *flow) {
			lend(x, 6*time.Hour)
			id, _ := x.lent(x.home, trem.StageLent)
			x.order(x.home, func() (trem.Handed, error) { return x.home.Cancel(ctx, id) })
		}, 0},
		{"over", func(x *flow) {
			lend(x, time.Hour)
			x.pass(time.Hour + time.Minute)
			x.learn(x.home)
			x.order(x.home, func() (trem.Handed, error) { return x.home.Letters(ctx) })
			x.learn(x.tablet)
		}, 1},
		{"in session", func(x *flow) {
			x.fetch(x.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpLend, ForMS: time.Hour.Milliseconds()})
			x.rest()
			x.only(x.tablet)
			id, _ := x.lent(x.tablet, trem.StageBorrowed)
			back, err := x.tablet.GiveBack(ctx, id)
			x.must(err)
			x.house.mail(back.Letters)
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := movable(t, "PLAY; PLAY_COUNT=1000; LEND")
			left := uint64(1000)
			everyFault(t, h, (*flow).atMostOnce, func(x *flow) {
				tc.run(x)
				x.straggle()
				if _, open := x.lent(x.home, trem.StageLent); open {
					t.Fatal("a loan is out")
				}
				x.only(h.home)
				now := *h.held(h.home)[0].Counters.PlaysLeft
				if x.whole(h.home, now); now > left || now < left-tc.used {
					t.Fatalf("%d plays are left after %d", now, left)
				}
				left = now
			})
		})
	}
}
