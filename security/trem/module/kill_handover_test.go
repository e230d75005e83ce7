package module_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
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

// TestTransfer_4_KillPerInstanceCopy: a copy with counts of its own takes none
// of its parent's, and gives none back when it is refused.
func TestTransfer_4_KillPerInstanceCopy(t *testing.T) {
	h := newHouse(t)
	h.stock(cenc.SchemeCENC, filmID)
	h.must(h.pair(h.tablet))
	sold := h.stateful("PLAY; PLAY_COUNT=3; COPY=COUNTED; COPY_COUNT=2; MOVE=DOMAIN", filmID)
	h.wantKinds(h.buy(filmID, func(e trem.Event) trem.Terms {
		terms := sold(e)
		terms.Info.Policy.Copy = &license.CopyRule{PerInstance: true}
		return terms
	}), trem.EventInstalled, trem.EventClosed)
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpCopy, Content: filmID, To: h.card(h.tablet)})
	h.must(err)
	cancel, err := h.home.Cancel(ctx, out.Transfer)
	h.must(err)
	h.mail(cancel.Letters)
	h.home.restart()
	h.learn(h.home)
	h.waiting(h.home)
	if held := h.held(h.home); *held[0].Counters.PlaysLeft != 3 || *held[0].Counters.CopiesLeft != 2 {
		t.Errorf("%+v", held[0].Counters)
	}
	h.mail(out.Letters)
	out, err = h.home.HandOver(ctx, trem.HandOver{Op: trem.OpCopy, Content: filmID, To: h.card(h.tablet)})
	h.must(err)
	h.mail(out.Letters)
	if held := h.held(h.tablet); len(held) != 1 || *held[0].Counters.PlaysLeft != 3 {
		t.Errorf("%+v", held)
	}
}

// TestTransfer_4_KillLoanWhileWatched: the lender says that a loan is over while
// its borrower's session is open. The module starts again afterwards.
func TestTransfer_4_KillLoanWhileWatched(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; LEND")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.card(h.tablet), ForMS: time.Hour.Milliseconds()})
	h.must(err)
	h.mail(out.Letters)
	ses, err := h.tablet.Begin(ctx, playAsk(content.HD))
	h.must(err)
	h.pass(time.Hour + time.Minute)
	h.learn(h.home)
	h.learn(h.tablet)
	over, err := h.home.Letters(ctx)
	h.must(err)
	h.wantKinds(over.Events, trem.EventLoanOver)
	h.mail(over.Letters)
	if err := h.tablet.End(ctx, ses.Handle); err != nil {
		var gone *trem.Error
		if !errors.As(err, &gone) || gone.Code != trem.CodeUnknown {
			t.Error(err)
		}
	}
	h.tablet.restart()
	h.learn(h.tablet)
	h.waiting(h.tablet)
	h.plays(h.home, true)
	h.reason(h.tablet, license.NoGrant)
}

// TestTransfer_4_KillRecallOfASession: a loan was made in a session, so nothing
// can be sealed to its borrower. Its recall is repeated all the same.
func TestTransfer_4_KillRecallOfASession(t *testing.T) {
	h := movable(t, "PLAY; LEND")
	ctx := context.Background()
	h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpLend, ForMS: time.Hour.Milliseconds()}), trem.EventInstalled)
	list, err := h.home.Transfers(ctx)
	h.must(err)
	_, err = h.home.Cancel(ctx, list[0].ID) // its letter is lost
	h.must(err)
	h.home.restart()
	h.learn(h.home)
	again, err := h.home.Letters(ctx)
	h.must(err)
	h.mail(again.Letters)
	h.plays(h.home, true)
	h.waiting(h.home)
	h.waiting(h.tablet)
}

// TestTransfer_4_KillAndAskAnew: the answer to a request is lost, and who asked
// has forgotten under which number. What is open for it is the answer.
func TestTransfer_4_KillAndAskAnew(t *testing.T) {
	for _, req := range []trem.LicenseRequest{
		{Content: filmID, Op: trem.OpMove}, {Content: filmID, Op: trem.OpCopy, Plays: 1}, {Content: filmID, Op: trem.OpLend, ForMS: 1000_000},
	} {
		t.Run(req.Op.String(), func(t *testing.T) {
			h := movable(t, "PLAY; PLAY_COUNT=3; COPY=COUNTED; COPY_COUNT=2; MOVE=DOMAIN; LEND")
			x := &flow{house: h, check: func() {}, fault: before, at: 3} // the answer
			req.Peer, req.Request = h.home.id, ident.NewRequest()
			o, err := h.tablet.Open(context.Background(), req)
			h.must(err)
			x.session(h.tablet, o.Messages)
			if len(h.held(h.tablet)) != 0 {
				t.Fatal("the answer was not lost")
			}
			h.wantKinds(h.ask(h.tablet, req)[:1], trem.EventInstalled)
			if held := h.held(h.tablet); len(held) != 1 {
				t.Errorf("%+v", held)
			}
			h.plays(h.tablet, true)
		})
	}
}

// TestTransfer_2_ReceiptComesAgain: who has something that is not confirmed says
// so in full, and does not ask: the letter may take the place of its receipt.
func TestTransfer_2_ReceiptComesAgain(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; MOVE=DOMAIN")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.tablet)})
	h.must(err)
	first, err := h.tablet.Post(ctx, out.Letters[0].Bytes)
	h.must(err)
	again, err := h.tablet.Letters(ctx)
	h.must(err)
	if len(again.Letters) != 1 || !again.Letters[0].Again || again.Letters[0].Topic != first.Letters[0].Topic {
		t.Fatalf("%+v", again)
	}
	got, err := h.home.Post(ctx, again.Letters[0].Bytes)
	h.must(err)
	h.wantKinds(got.Events, trem.EventReceipt)
	h.waiting(h.home)
}

// TestTransfer_4_KillParentOfACopy: a license goes when no part of it is on its
// way. What is refused comes back to it, and would find it gone.
func TestTransfer_4_KillParentOfACopy(t *testing.T) {
	h := movable(t, "PLAY; PLAY_COUNT=3; COPY=COUNTED; COPY_COUNT=2; MOVE=DOMAIN")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpCopy, Content: filmID, To: h.card(h.tablet)})
	h.must(err)
	move := trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.phone)}
	var no *trem.Error
	if _, err := h.home.HandOver(ctx, move); !errors.As(err, &no) || no.Code != trem.CodeState {
		t.Fatalf("it moves while a copy is on its way: %v", err)
	}
	h.wantKinds(h.ask(h.phone, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventRefused)
	cancel, err := h.home.Cancel(ctx, out.Transfer)
	h.must(err)
	h.mail(cancel.Letters)
	moved, err := h.home.HandOver(ctx, move)
	h.must(err)
	h.mail(moved.Letters)
	if held := h.held(h.phone); len(held) != 1 || *held[0].Counters.PlaysLeft != 3 || *held[0].Counters.CopiesLeft != 2 {
		t.Errorf("%+v", held)
	}
}

// TestTransfer_2_LettersSayWhatIsNew: a courier that has sent one thing of a topic
// sends the other at once, and the same not again.
func TestTransfer_2_LettersSayWhatIsNew(t *testing.T) {
	h := movable(t, "PLAY; LEND")
	ctx := context.Background()
	out, err := h.home.HandOver(ctx, trem.HandOver{Op: trem.OpLend, Content: filmID, To: h.card(h.tablet), ForMS: 3600_000})
	h.must(err)
	told, err := h.tablet.Post(ctx, out.Letters[0].Bytes)
	h.must(err)
	next := func(b *box) trem.Letter {
		t.Helper()
		got, err := b.Letters(ctx)
		h.must(err)
		if len(got.Letters) != 1 || !got.Letters[0].Again {
			t.Fatalf("%+v", got.Letters)
		}
		return got.Letters[0]
	}
	says := []trem.Letter{out.Letters[0]}
	if again := next(h.home); again.Says != says[0].Says || again.Topic != says[0].Topic {
		t.Error("the same loan says something else")
	}
	_, err = h.home.RenewLoan(ctx, trem.Renewal{Transfer: out.Transfer, ForMS: 7200_000})
	h.must(err)
	says = append(says, next(h.home))
	_, err = h.home.Cancel(ctx, out.Transfer)
	h.must(err)
	says = append(says, next(h.home))
	for i, a := range says {
		for _, b := range says[:i] {
			if a.Says == b.Says || a.Topic != b.Topic {
				t.Errorf("%d and %d of topics %x and %x", a.Says, b.Says, a.Topic, b.Topic)
			}
		}
	}
	_, err = h.tablet.GiveBack(ctx, out.Transfer)
	h.must(err)
	if back := next(h.tablet); back.Topic != told.Letters[0].Topic || back.Says == told.Letters[0].Says {
		t.Error("the return says what the receipt said")
	}
}
