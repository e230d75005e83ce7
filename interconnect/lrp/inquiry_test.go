package lrp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// neighbor passes a revocation state on, or says that it does. Its head is
// "head N", its step from K "step K-N", its whole longer than one answer.
type neighbor struct {
	t     *testing.T
	epoch uint64
	claim uint64 // its HELLO's
	steps bool   // it has a step from every epoch
	whole []byte
	// answer is what a liar says instead; nil: the truth.
	answer func(ask lrp.Gossip) []lrp.Gossip
	code   lrp.Code // instead of any answer

	asked, hung int // questions; the connection ends after hung of them, 0: never
}

func newNeighbor(t *testing.T) *neighbor {
	n := &neighbor{t: t, epoch: 9, claim: 9, steps: true, whole: make([]byte, 3*lrp.MaxFrames*lrp.MaxPiece+17)}
	for i := range n.whole {
		n.whole[i] = byte(i * 7 >> 3)
	}
	return n
}

func head(epoch uint64) []byte    { return fmt.Appendf(nil, "head %d", epoch) }
func step(from, to uint64) []byte { return fmt.Appendf(nil, "step %d-%d", from, to) }

func (n *neighbor) gossip(_ lrp.Addr, ask lrp.Gossip) ([]lrp.Gossip, error) {
	if n.answer != nil {
		return n.answer(ask), nil
	}
	return n.truth(ask), nil
}

func (n *neighbor) truth(ask lrp.Gossip) []lrp.Gossip {
	switch ask.Want {
	case lrp.GossipHead:
		return ask.Pieces(n.epoch, head(n.epoch))
	case lrp.GossipDelta:
		if !n.steps {
			return nil
		}
		return ask.Pieces(n.epoch, step(ask.Epoch, n.epoch))
	default:
		return ask.Pieces(n.epoch, n.whole)
	}
}

// Exchange is the way to it, with an endpoint of its own behind it.
func (n *neighbor) Exchange(_ context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	if f.Type == lrp.TypeGossip {
		if n.asked++; n.hung > 0 && n.asked > n.hung {
			return nil, lrp.ErrLost
		}
		if n.code != 0 {
			return []lrp.Frame{lrp.ErrorFrame(f, n.code, 0)}, nil
		}
	}
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: home, Epoch: func() uint64 { return n.claim }, Gossip: n.gossip})
	if err != nil {
		n.t.Fatal(err)
	}
	return e.Handle(f, start, nil), nil
}

// asker is a device with the module that judges for it.
type asker struct {
	known  uint64
	noStep bool // its module takes no step
	got    []lrp.Finding
}

func (a *asker) config(claimed uint64) lrp.InquiryConfig {
	return lrp.InquiryConfig{Known: a.known, Claimed: claimed, Max: 4 << 20, Judge: func(h []byte) (epoch uint64, err error) {
		if n, err := fmt.Sscanf(string(h), "head %d", &epoch); n != 1 || err != nil {
			return 0, errors.New("nobody signed that")
		}
		return epoch, nil
	}}
}

func (a *asker) learn(whole []byte) func(lrp.Finding) (refused, err error) {
	return func(f lrp.Finding) (refused, err error) {
		a.got = append(a.got, f)
		switch {
		case f.Delta != nil && (a.noStep || !bytes.Equal(f.Delta, step(a.known, f.Epoch))), f.Delta == nil && !bytes.Equal(f.Snapshot, whole):
			return errors.New("it is not the head's"), nil
		}
		a.known = f.Epoch
		return nil, nil
	}
}

func (a *asker) catchUp(t *testing.T, n *neighbor) error {
	t.Helper()
	tx := lrp.NewTransaction(home, device, start, lrp.Life)
	agreed, err := lrp.Hail(t.Context(), n, tx, lrp.DefaultHello("http"))
	if err != nil {
		t.Fatal(err)
	}
	return lrp.Inquire(t.Context(), n, tx, lrp.NewInquiry(a.config(agreed.Epoch)), a.learn(n.whole))
}

func TestGossip_Spec11_AskerCatchesUp(t *testing.T) {
	for name, tc := range map[string]struct {
		known        uint64
		steps, noFit bool
		questions    int
	}{
		"by a step":                  {3, true, false, 2},
		"nothing is known":           {0, true, false, 5},
		"there is no step":           {3, false, false, 6},
		"the step leads elsewhere":   {3, true, true, 6},
		"up to date":                 {9, true, false, 1},
		"ahead of what it is told":   {10, true, false, 1},
		"the first epoch is not one": {1, true, false, 2},
	} {
		n, a := newNeighbor(t), &asker{known: tc.known, noStep: tc.noFit}
		n.steps = tc.steps
		if err := a.catchUp(t, n); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := max(tc.known, n.epoch); a.known != want || n.asked != tc.questions {
			t.Errorf("%s: epoch %d after %d questions, want %d after %d", name, a.known, n.asked, want, tc.questions)
		}
	}
}

// TestGossip_Spec11_LiarsAreRefused: a claim has no effect, and no byte of a
// state is asked for before the head stands.
func TestGossip_Spec11_LiarsAreRefused(t *testing.T) {
	piece := func(ask lrp.Gossip, epoch uint64, b []byte, total uint64) []lrp.Gossip {
		return []lrp.Gossip{{Kind: ask.Want, Want: ask.Want, Epoch: epoch, Offset: ask.Offset, Total: total, Bytes: b}}
	}
	for name, tc := range map[string]struct {
		lie       func(n *neighbor)
		questions int
		taken     int // findings that the module was shown
	}{
		"no head":          {func(n *neighbor) { n.answer = func(lrp.Gossip) []lrp.Gossip { return nil } }, 1, 0},
		"no gossip at all": {func(n *neighbor) { n.code = lrp.CodeUnsupported }, 1, 0},
		"a head that nobody signed": {func(n *neighbor) {
			n.answer = func(ask lrp.Gossip) []lrp.Gossip { return ask.Pieces(9, []byte("trust me")) }
		}, 1, 0},
		"an older head than it claims": {func(n *neighbor) { n.epoch = 8 }, 1, 0},
		"a head of a megabyte": {func(n *neighbor) {
			n.answer = func(ask lrp.Gossip) []lrp.Gossip { return piece(ask, 9, []byte("x"), 1<<20) }
		}, 1, 0},
		"a head and no state": {func(n *neighbor) {
			n.answer = func(ask lrp.Gossip) []lrp.Gossip {
				if ask.Want == lrp.GossipHead {
					return n.truth(ask)
				}
				return nil
			}
		}, 3, 0},
		"a state that is not the head's": {func(n *neighbor) {
			n.answer = func(ask lrp.Gossip) []lrp.Gossip {
				if ask.Want == lrp.GossipHead {
					return n.truth(ask)
				}
				return ask.Pieces(9, []byte("nobody is revoked"))
			}
		}, 3, 2},
		"a state without end": {func(n *neighbor) {
			n.answer = func(ask lrp.Gossip) []lrp.Gossip {
				if ask.Want == lrp.GossipHead {
					return n.truth(ask)
				}
				return piece(ask, 9, make([]byte, lrp.MaxPiece), lrp.MaxGossip)
			}
		}, 2, 0},
		"a state in drops": {func(n *neighbor) {
			n.steps = false
			n.answer = func(ask lrp.Gossip) []lrp.Gossip {
				if ask.Want != lrp.GossipSnapshot {
					return n.truth(ask)
				}
				return piece(ask, 9, []byte{1}, 1<<20)
			}
		}, lrp.MaxQuestions + 1, 0},
		"another state each time": {func(n *neighbor) {
			n.answer = func(ask lrp.Gossip) []lrp.Gossip {
				n.epoch++
				return n.truth(ask)
			}
		}, lrp.MaxQuestions + 1, 0},
		"the same piece for ever": {func(n *neighbor) {
			n.steps = false
			n.answer = func(ask lrp.Gossip) []lrp.Gossip {
				ask.Offset = 0
				got := n.truth(ask)
				return got[:min(1, len(got))]
			}
		}, lrp.MaxQuestions + 1, 0},
		"answers to another question": {func(n *neighbor) {
			n.answer = func(ask lrp.Gossip) []lrp.Gossip {
				ask.Want = lrp.GossipPage
				return ask.Pieces(9, []byte("page"))
			}
		}, lrp.MaxQuestions + 1, 0},
	} {
		n, a := newNeighbor(t), &asker{known: 3}
		tc.lie(n)
		if err := a.catchUp(t, n); !errors.Is(err, lrp.ErrClaim) {
			t.Errorf("%s: %v, want ErrClaim", name, err)
		}
		if a.known != 3 || len(a.got) != tc.taken || n.asked != tc.questions && n.asked != tc.questions-1 {
			t.Errorf("%s: epoch %d, %d findings, %d questions; want 3, %d, %d", name, a.known, len(a.got), n.asked, tc.taken, tc.questions)
		}
	}
}

// TestGossip_Spec11_BusyIsNoLie: who cannot answer now is asked another time.
func TestGossip_Spec11_BusyIsNoLie(t *testing.T) {
	n, a := newNeighbor(t), &asker{known: 3}
	n.code = lrp.CodeInternal
	if err := a.catchUp(t, n); errors.Is(err, lrp.ErrClaim) || err == nil {
		t.Errorf("%v", err)
	}
}

// TestGossip_Spec11_InterruptedAnywhere ends the connection after each question,
// and the asker's process with it. It goes on where it was.
func TestGossip_Spec11_InterruptedAnywhere(t *testing.T) {
	for _, steps := range []bool{true, false} {
		for at := 1; at <= 6; at++ {
			n, a := newNeighbor(t), &asker{known: 3, noStep: true}
			n.steps, n.hung = steps, at
			q := lrp.NewInquiry(a.config(9))
			tx := lrp.NewTransaction(home, device, start, lrp.Life)
			err := lrp.Inquire(t.Context(), n, tx, q, a.learn(n.whole))
			if at < 6 && !errors.Is(err, lrp.ErrLost) {
				t.Fatalf("cut after %d: %v", at, err)
			}
			kept, err := q.Encode()
			if err != nil || len(kept) > 4<<20 {
				t.Fatalf("%d bytes, %v", len(kept), err)
			}
			n.hung, n.asked = 0, 0
			q = lrp.Resume(a.config(9), kept)
			if a.known == 3 {
				if err := lrp.Inquire(t.Context(), n, lrp.NewTransaction(home, device, start, lrp.Life), q, a.learn(n.whole)); err != nil {
					t.Fatalf("resumed after %d: %v", at, err)
				}
			}
			if want := max(0, 6-at); a.known != 9 || n.asked != want {
				t.Errorf("cut after %d: epoch %d with %d more questions, want %d", at, a.known, n.asked, want)
			}
		}
	}
}

// TestGossip_Spec11_ResumedAfterMore: the state has changed meanwhile, the module
// has learned something else, or the record is damaged.
func TestGossip_Spec11_ResumedAfterMore(t *testing.T) {
	n, a := newNeighbor(t), &asker{known: 3, noStep: true}
	n.hung = 4
	q := lrp.NewInquiry(a.config(9))
	if err := lrp.Inquire(t.Context(), n, lrp.NewTransaction(home, device, start, lrp.Life), q, a.learn(n.whole)); !errors.Is(err, lrp.ErrLost) {
		t.Fatal(err)
	}
	kept, err := q.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func()
		kept   []byte
	}{
		"a newer state":     {func() { n.epoch = 11 }, kept},
		"a newer known one": {func() { a.known = 8 }, kept},
		"a damaged record":  {func() {}, kept[:len(kept)-1]},
		"no record":         {func() {}, nil},
	} {
		a.known, n.epoch, n.hung = 3, 9, 0
		tc.change()
		if err := lrp.Inquire(t.Context(), n, lrp.NewTransaction(home, device, start, lrp.Life), lrp.Resume(a.config(9), tc.kept), a.learn(n.whole)); err != nil || a.known != n.epoch {
			t.Errorf("%s: epoch %d, %v", name, a.known, err)
		}
	}
}

// TestGossip_Spec11_Together is a folder that travels: all questions of one
// journey are asked before one is answered, and answers come twice or not at all.
func TestGossip_Spec11_Together(t *testing.T) {
	for _, known := range []uint64{0, 3} {
		n, a := newNeighbor(t), &asker{known: known, noStep: true}
		var journeys int
		var kept []byte
		for a.known < 9 && journeys < 9 {
			journeys++
			q := lrp.Resume(a.config(0), kept)
			for i, ask := range q.Together() {
				if journeys == 2 && i == 1 {
					continue // the stick lost one
				}
				for range 2 {
					if err := q.Answer(ask, n.truth(ask)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if f, ok := q.Found(); ok {
				refused, err := a.learn(n.whole)(f)
				if err == nil && refused != nil {
					err = q.Rejected(refused)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if kept, err = q.Encode(); err != nil {
				t.Fatal(err)
			}
		}
		if a.known != 9 || journeys != 3 {
			t.Errorf("from %d: epoch %d after %d journeys, want 3", known, a.known, journeys)
		}
	}
}

// FuzzInquiry resumes anything: what comes of it ends, and nothing is found that
// was not gathered under a head that was judged.
func FuzzInquiry(f *testing.F) {
	a := &asker{known: 3}
	q := lrp.NewInquiry(a.config(9))
	n := &neighbor{epoch: 9, steps: true}
	for range 2 {
		if ask, ok := q.Ask(); ok {
			_ = q.Answer(ask, n.truth(ask))
		}
		kept, err := q.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(kept)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q := lrp.Resume(a.config(9), data)
		for range lrp.MaxQuestions + 2 {
			ask, ok := q.Ask()
			if !ok {
				break
			}
			if q.Answer(ask, n.truth(ask)) != nil {
				break
			}
		}
		if f, ok := q.Found(); ok && f.Epoch < 9 {
			t.Errorf("found epoch %d", f.Epoch)
		} else if _, more := q.Ask(); more {
			t.Error("it does not end")
		}
	})
}

// TestGossip_Spec11_WorkedExample: an inquiry that was interrupted in the middle of
// the whole, as docs/spec/lrp.md has it.
func TestGossip_Spec11_WorkedExample(t *testing.T) {
	n := &neighbor{epoch: 9, whole: []byte("0123456789")}
	q := lrp.NewInquiry((&asker{known: 3}).config(9))
	for range 2 { // the head; there is no step
		ask, _ := q.Ask()
		if err := q.Answer(ask, n.truth(ask)); err != nil {
			t.Fatal(err)
		}
	}
	ask, _ := q.Ask()
	part := lrp.Gossip{Kind: lrp.GossipSnapshot, Want: lrp.GossipSnapshot, Epoch: 9, Total: 10, Bytes: []byte("0123")}
	if err := q.Answer(ask, []lrp.Gossip{part}); err != nil {
		t.Fatal(err)
	}
	got, err := q.Encode()
	if want := specHex(t, "an interrupted inquiry"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x (%v), the page has %x", got, err, want)
	}
	ask, ok := lrp.Resume((&asker{known: 3}).config(9), got).Ask()
	if !ok || ask.Want != lrp.GossipSnapshot || ask.Offset != 4 {
		t.Errorf("resumed, it asks %+v", ask)
	}
}
