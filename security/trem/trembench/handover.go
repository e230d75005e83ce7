package trembench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Side is what one module did.
type Side struct {
	Syncs   int           // of files and folders
	Batches int           // of its vault
	CPU     time.Duration // its commands, without its host
}

func (s Side) less(b Side) Side {
	return Side{Syncs: s.Syncs - b.Syncs, Batches: s.Batches - b.Batches, CPU: s.CPU - b.CPU}
}

// tally is what a module has done so far.
func (m *module) tally(ctx context.Context) (Side, error) {
	out := Side{Syncs: int(m.disk.syncs.Load()), CPU: m.used}
	s, err := m.Status(ctx)
	m.used, out.Batches = out.CPU, int(s.Records) //nolint:gosec // a number of batches
	return out, err
}

// Handed is one hand-over. Its critical path is from the order until the right
// is usable at the destination and closed at the source; what the source then
// says to the destination, and what that writes down, comes after it.
type Handed struct {
	Source, Dest Side          // in the critical path
	After        Side          // of both, after it
	Took         time.Duration // the critical path, by the wall clock
	Messages     int           // that were carried, after it too
	Bytes        int           // of them
}

// Loan is a loan and its return. Source is who gives: the lender of the one and
// the borrower of the other.
type Loan struct{ Lent, Returned Handed }

// run is a hand-over that is being measured.
type run struct {
	house    *House
	src, dst *module
	events   []trem.Event

	Handed
	start     time.Time
	from      [2]Side // of source and destination
	mid       [2]Side
	over      bool
	messages0 int
	bytes0    int
}

func (h *House) newRun(src, dst *module) *run { return &run{house: h, src: src, dst: dst} }

// hand measures what do does.
func (r *run) hand(ctx context.Context, do func() error) (out Handed, err error) {
	if r.from, err = r.sides(ctx); err != nil {
		return out, err
	}
	r.messages0, r.bytes0 = r.house.wire.messages, r.house.wire.bytes
	r.start = r.house.Now()
	if err := do(); err != nil {
		return out, err
	}
	if !r.over {
		return out, errors.New("the hand-over has not come to its end")
	}
	end, err := r.sides(ctx)
	if err != nil {
		return out, err
	}
	r.Source, r.Dest = r.mid[0].less(r.from[0]), r.mid[1].less(r.from[1])
	for i := range end {
		a := end[i].less(r.mid[i])
		r.After = Side{r.After.Syncs + a.Syncs, r.After.Batches + a.Batches, r.After.CPU + a.CPU}
	}
	r.Messages, r.Bytes = r.house.wire.messages-r.messages0, r.house.wire.bytes-r.bytes0
	return r.Handed, nil
}

func (r *run) sides(ctx context.Context) (out [2]Side, err error) {
	for i, m := range []*module{r.src, r.dst} {
		if m.disk == nil {
			continue // it is not of this process
		}
		if out[i], err = m.tally(ctx); err != nil {
			return out, err
		}
	}
	return out, nil
}

// led notes what a message led to. With the receipt, or the loan's end, both
// sides have it on their disks.
func (r *run) led(ctx context.Context, events []trem.Event) (err error) {
	r.events = append(r.events, events...)
	ends := func(e trem.Event) bool { return e.Kind == trem.EventReceipt || e.Kind == trem.EventLoanOver }
	if r.over || !slices.ContainsFunc(events, ends) {
		return nil
	}
	r.Took, r.over = r.house.Now().Sub(r.start), true
	r.mid, err = r.sides(ctx)
	return err
}

// want checks what the hand-over led to, in this order.
func (r *run) want(kinds ...trem.EventKind) error {
	var got []trem.EventKind
	for _, e := range r.events {
		got = append(got, e.Kind)
	}
	if !slices.Equal(got, kinds) {
		return fmt.Errorf("the hand-over led to %+v, want kinds %v", r.events, kinds)
	}
	return nil
}

// session carries the messages of a session that the destination opened.
func (r *run) session(ctx context.Context, messages []trem.SLTPMessage) error {
	for to, from := r.src, r.dst; len(messages) > 0; to, from = from, to {
		var back []trem.SLTPMessage
		for _, m := range messages {
			data, err := r.house.wire.carry(m.Bytes)
			if err != nil {
				return err
			}
			got, err := to.Receive(ctx, trem.SLTPMessage{CID: m.CID, Bytes: data})
			if err != nil {
				return err
			}
			back = append(back, got.Messages...)
			if err := r.led(ctx, got.Events); err != nil {
				return err
			}
			for _, e := range got.Events {
				if to != r.house.issuer {
					continue
				}
				more, err := r.house.shopkeeper(ctx, e)
				if err != nil {
					return err
				}
				back = append(back, more...)
			}
		}
		messages = back
	}
	return nil
}

// mail carries letters, and what they lead to.
func (r *run) mail(ctx context.Context, letters []trem.Letter) error {
	for ; len(letters) > 0; letters = letters[1:] {
		to, err := r.house.of(letters[0].To)
		if err != nil {
			return err
		}
		data, err := r.house.wire.carry(letters[0].Bytes)
		if err != nil {
			return err
		}
		got, err := to.Post(ctx, data)
		if err != nil {
			return err
		}
		letters = append(letters, got.Letters...)
		if err := r.led(ctx, got.Events); err != nil {
			return err
		}
	}
	return nil
}

// byLetter hands the film over by an order to who has it.
func (h *House) byLetter(ctx context.Context, src, dst *module, op trem.Op) (Handed, ident.Transfer, error) {
	r := h.newRun(src, dst)
	var tid ident.Transfer
	out, err := r.hand(ctx, func() error {
		got, err := src.HandOver(ctx, trem.HandOver{Op: op, Content: Film, To: h.cards[dst.id], ForMS: time.Hour.Milliseconds()})
		if err != nil {
			return err
		}
		tid = got.Transfer
		return r.mail(ctx, got.Letters)
	})
	kinds := []trem.EventKind{trem.EventInstalled, trem.EventReceipt, trem.EventClosed}
	if op == trem.OpLend { // it is not closed while it is out
		kinds = kinds[:2]
	}
	if err == nil {
		err = errors.Join(r.want(kinds...), h.usable(ctx, dst))
	}
	return out, tid, err
}

// inSession has a device ask the home server for the film itself.
func (h *House) inSession(ctx context.Context, dst *module) (Handed, error) {
	r := h.newRun(h.home, dst)
	out, err := r.hand(ctx, func() error {
		o, err := dst.Open(ctx, trem.LicenseRequest{Peer: h.home.id, Request: ident.NewRequest(), Content: Film, Op: trem.OpMove})
		if err != nil {
			return err
		}
		return r.session(ctx, o.Messages)
	})
	if err == nil {
		err = errors.Join(r.want(trem.EventInstalled, trem.EventReceipt, trem.EventClosed), h.usable(ctx, dst))
	}
	return out, err
}

// giveBack returns a loan to the home server.
func (h *House) giveBack(ctx context.Context, src *module, tid ident.Transfer) (Handed, error) {
	r := h.newRun(src, h.home)
	out, err := r.hand(ctx, func() error {
		got, err := src.GiveBack(ctx, tid)
		if err != nil {
			return err
		}
		return r.mail(ctx, got.Letters)
	})
	if err == nil {
		err = errors.Join(r.want(trem.EventLoanOver, trem.EventClosed), h.usable(ctx, h.home))
	}
	return out, err
}
