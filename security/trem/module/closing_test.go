package module_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

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

// TestTransfer_4_KillMoveToTheArbiter: the house's server is the destination of a
// move that its source reports lost. It knows what it has, and decides by that.
func TestTransfer_4_KillMoveToTheArbiter(t *testing.T) {
	for _, arrives := range []bool{false, true} {
		h := movable(t, "PLAY; MOVE=DOMAIN; LEND")
		ctx := context.Background()
		h.wantKinds(h.ask(h.tablet, trem.LicenseRequest{Content: filmID, Op: trem.OpMove}), trem.EventInstalled, trem.EventClosed)
		h.learn(h.tablet)
		out, err := h.tablet.HandOver(ctx, trem.HandOver{Op: trem.OpMove, Content: filmID, To: h.card(h.home), HoldMS: 3600_000})
		h.must(err)
		if h.learn(h.home); arrives {
			_, err := h.home.Post(ctx, out.Letters[0].Bytes) // its receipt is lost
			h.must(err)
		}
		report := h.lost(h.tablet, out.Transfer)
		h.pass(50 * time.Hour)
		h.learn(h.home)
		h.learn(h.tablet)
		h.plays(h.home, false) // it sleeps, or never came
		h.mail(report)
		h.mail(h.letters(h.home))
		h.plays(h.home, arrives)
		h.plays(h.tablet, !arrives)
		h.mail(out.Letters)
		h.mail(h.letters(h.tablet))
		for _, b := range []*box{h.home, h.tablet} {
			b.restart()
			h.learn(b)
			h.waiting(b)
			if n := len(h.letters(b)); n > 0 {
				t.Errorf("%d letters after the end", n)
			}
		}
		h.plays(h.home, arrives)
		h.plays(h.tablet, !arrives)
	}
}

// TestModule_WaitsForTheOneBefore: a module that comes before the one of a killed
// host has ended waits for it; while that one goes on it says that it is in use.
func TestModule_WaitsForTheOneBefore(t *testing.T) {
	needs.Long(t)
	h := newHouse(t)
	late := &box{t: t, dir: h.tablet.dir, clock: h.tablet.clock}
	late.start()
	time.Sleep(100 * time.Millisecond)
	h.must(h.tablet.Close())
	h.must(<-h.tablet.exited)
	st, err := late.Status(context.Background())
	h.must(err)
	if st.Device != h.tablet.id {
		t.Errorf("it is %v", st.Device)
	}
	third := &box{t: t, dir: h.tablet.dir, clock: h.tablet.clock}
	third.start()
	if err := <-third.exited; err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second module beside one that runs: %v", err)
	}
	h.must(late.Close())
	h.must(<-late.exited)
	h.tablet.start()
}
