package transfer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// act lets side i do something, and visits what follows: the process dies
// before its records are durable (nothing has happened), or after that and
// before it sends, or not at all.
func (x *loanExplorer) act(w loanWorld, i int, ev loanEvent) error {
	e := x.step(i, w.disk[i], ev)
	if e.err != nil {
		return e.err
	}
	if x.flaws.sendFirst {
		lost := w
		lost.msgs[1-i] |= e.send
		if err := x.visit(lost); err != nil {
			return err
		}
	}
	w.announced = w.announced || x.flaws.recallEnds && ev.do == "cancel"
	w.disk[i] = e.disk
	if err := x.visit(w); err != nil {
		return err
	}
	w.msgs[1-i] |= e.send
	return x.visit(w)
}

func (x *loanExplorer) visit(w loanWorld) error {
	if x.seen[w] {
		return nil
	}
	x.seen[w] = true
	if err := x.once(w); err != nil {
		return fmt.Errorf("at %d: %w", w.now, err)
	}
	end := loanWorld{disk: w.disk, now: w.now, proven: w.proven}
	if !x.ended[end] {
		x.ended[end] = true
		if err := x.finish(w); err != nil {
			return fmt.Errorf("from %d on: %w", w.now, err)
		}
	}
	x.queue = append(x.queue, w)
	return nil
}

// loans is what the lender has out, and here what the borrower has and could
// use at this time, with a clock that is as far behind as it may be.
func (x *loanExplorer) loans(w loanWorld) (out []Lent, here []Borrowing, usable bool) {
	here = x.views[borrower][w.disk[borrower]].here
	for _, b := range here {
		usable = usable || !b.Returned && w.now-x.lag() < b.Until
	}
	return x.views[lender][w.disk[lender]].out, here, usable
}

func (x *loanExplorer) lag() int64 {
	if x.flaws.slowClock {
		return loanGuard + 1
	}
	return loanGuard
}

// once holds the first half of the promise: never usable on both sides.
func (x *loanExplorer) once(w loanWorld) error {
	out, _, usable := x.loans(w)
	switch {
	case usable && (len(out) == 0 || w.announced):
		return errors.New("doubled: usable on both sides")
	case len(out) > 1:
		return errors.New("one right is lent twice")
	}
	return nil
}

// finish holds the rest. Messages get through: then what is out is with the
// borrower and nobody asked it back. Time passes too: then nothing is open.
func (x *loanExplorer) finish(w loanWorld) error {
	if err := x.settle(&w); err != nil {
		return err
	}
	out, here, _ := x.loans(w)
	for _, l := range out {
		at := slices.IndexFunc(here, func(b Borrowing) bool { return b.TID == l.TID })
		if slices.Contains(x.views[lender][w.disk[lender]].doubt, l.TID) || at < 0 || here[at].Returned {
			return fmt.Errorf("stuck: loan %v does not end: %+v", l.TID, here)
		}
	}
	w.now, w.proven = w.now+x.bounds.end+9, w.now+x.bounds.end+9
	if err := x.settle(&w); err != nil {
		return err
	}
	if out, here, _ = x.loans(w); len(out)+len(here) > 0 {
		return fmt.Errorf("lost: %d loans stay out, %d stay with the borrower", len(out), len(here))
	}
	return nil
}

// settle lets everything through until nothing changes: what is open goes out
// again, the borrower gives back what is asked back or has ended, the lender
// looks at the time.
func (x *loanExplorer) settle(w *loanWorld) error {
	for range 4 {
		out, here, _ := x.loans(*w)
		for _, l := range out {
			if err := x.pass(w, lender, loanEvent{do: "expire", tid: l.TID, proven: w.proven}); err != nil {
				return err
			}
		}
		if err := x.pass(w, lender, loanEvent{do: "resend"}); err != nil {
			return err
		}
		for _, b := range here {
			if b.Returned || w.now-x.lag() >= b.Until {
				if err := x.pass(w, borrower, loanEvent{do: "give back", tid: b.TID}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pass is one event and all that the two sides then say to each other.
func (x *loanExplorer) pass(w *loanWorld, i int, ev loanEvent) error {
	type turn struct {
		side int
		ev   loanEvent
	}
	turns := []turn{{i, ev}}
	for n := 0; len(turns) > 0; n++ {
		if n > 100 {
			return errors.New("they talk without end")
		}
		i, ev := turns[0].side, turns[0].ev
		turns = turns[1:]
		e := x.step(i, w.disk[i], ev)
		if e.err != nil {
			return e.err
		}
		w.disk[i] = e.disk
		for _, tid := range e.recalled {
			turns = append(turns, turn{i, loanEvent{do: "give back", tid: tid}})
		}
		for m := range x.msgs[1-i] {
			if e.send>>m&1 == 1 {
				turns = append(turns, turn{1 - i, x.delivery(*w, 1-i, m)})
			}
		}
	}
	return nil
}

// delivery is how a message is taken: a LEND by a borrower that judges its end.
func (x *loanExplorer) delivery(w loanWorld, i, m int) loanEvent {
	ev := loanEvent{do: "get", msg: m}
	if i == borrower && !x.flaws.noJudge && x.ends[m] != 0 && w.now-x.lag() >= x.ends[m] {
		ev.do = "refuse"
	}
	return ev
}

// explore visits everything, and returns what is wrong somewhere.
func (x *loanExplorer) explore() error {
	var w loanWorld
	for i := range 2 {
		var err error
		x.parties[i].disk = nil
		if err = x.parties[i].boot(); err != nil {
			return err
		}
		if w.disk[i], err = x.save(i); err != nil {
			return err
		}
	}
	if err := x.visit(w); err != nil {
		return err
	}
	for len(x.queue) > 0 {
		w := x.queue[0]
		x.queue = x.queue[1:]
		for _, next := range []func(loanWorld) error{x.time, x.lenderActs, x.borrowerActs} {
			if err := next(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// time goes on, or the lender hears what it is.
func (x *loanExplorer) time(w loanWorld) error {
	last := x.bounds.end + loanGuard + 1
	if w.now < last {
		later := w
		later.now++
		if err := x.visit(later); err != nil {
			return err
		}
	}
	if x.flaws.ownTime && w.proven < last {
		ahead := w
		ahead.proven++
		if err := x.visit(ahead); err != nil {
			return err
		}
	}
	w.proven = max(w.proven, w.now)
	return x.visit(w)
}

func (x *loanExplorer) lenderActs(w loanWorld) error {
	v := x.views[lender][w.disk[lender]]
	var evs []loanEvent
	until := w.now + 1
	if x.flaws.shorter {
		until++
	}
	if len(v.out) == 0 && v.next <= x.bounds.loans && until <= x.bounds.end {
		evs = append(evs, loanEvent{do: "lend", until: until})
	}
	for _, l := range v.out {
		evs = append(evs, loanEvent{do: "resend"}, loanEvent{do: "cancel", tid: l.TID}, loanEvent{do: "expire", tid: l.TID, proven: w.proven})
		until := max(w.now, l.Until) + 1
		if x.flaws.shorter {
			until = w.now + 1
		}
		if l.Number < x.bounds.numbers && until <= x.bounds.end {
			evs = append(evs, loanEvent{do: "renew", tid: l.TID, until: until})
		}
	}
	return x.actAll(w, lender, evs)
}

func (x *loanExplorer) borrowerActs(w loanWorld) error {
	var evs []loanEvent
	for _, b := range x.views[borrower][w.disk[borrower]].here {
		evs = append(evs, loanEvent{do: "give back", tid: b.TID})
	}
	return x.actAll(w, borrower, evs)
}

// actAll is the side's own events, and each message that it was ever sent.
func (x *loanExplorer) actAll(w loanWorld, i int, evs []loanEvent) error {
	for m := range x.msgs[i] {
		if w.msgs[i]>>m&1 == 0 {
			continue
		}
		evs = append(evs, x.delivery(w, i, m))
		if i == borrower && x.ends[m] != 0 {
			evs = append(evs, loanEvent{do: "refuse", msg: m})
		}
	}
	for _, ev := range evs {
		if err := x.act(w, i, ev); err != nil {
			return err
		}
	}
	return nil
}

// TestTransfer_3_EveryLoanUnderFaults visits every state of lender and borrower
// within bounds: each message lost, doubled, reordered or replayed, a crash of
// either side at every durable write, renewal, early return, recall and refusal
// at any time, and time that passes anywhere in between. The larger bounds belong
// to `make faults N=10000` and more.
func TestTransfer_3_EveryLoanUnderFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		bounds loanBounds
		states int // how many there are; another number means that the machines changed
		faults int // size of the run from which on it is visited
	}{
		{"one loan, one renewal", loanBounds{loans: 1, numbers: 2, end: 2}, 6607, 0},
		{"one loan, two renewals", loanBounds{loans: 1, numbers: 3, end: 3}, 42331, 0},
		{"two loans of one length", loanBounds{loans: 2, numbers: 1, end: 1}, 71038, 0},
		{"two loans", loanBounds{loans: 2, numbers: 1, end: 2}, 276591, 10000},
	} {
		if tc.faults > faults(t) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			x := newLoanExplorer(t, tc.bounds, loanFlaws{})
			if err := x.explore(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d states", len(x.seen))
			if len(x.seen) != tc.states {
				t.Errorf("%d states, want %d", len(x.seen), tc.states)
			}
		})
	}
}

// TestTransfer_3_EachFlawIsCaught: what the driver of the machines can do wrong
// is seen. One is not, and is there to say so: that a RETURNED of any number ends
// the loan is harmless as long as the borrower keeps its tombstone.
func TestTransfer_3_EachFlawIsCaught(t *testing.T) {
	small, three := loanBounds{loans: 1, numbers: 2, end: 2}, loanBounds{loans: 1, numbers: 2, end: 3}
	for _, tc := range []struct {
		name   string
		bounds loanBounds
		flaws  loanFlaws
		want   string // "" where the machines hold in spite of it
	}{
		{"RETURNED of any number", small, loanFlaws{anyNumber: true}, ""},
		{"a renewal revives what was given back", three, loanFlaws{revive: true}, "doubled"},
		{"both", three, loanFlaws{anyNumber: true, revive: true}, "doubled"},
		{"the tombstone is forgotten", small, loanFlaws{forget: true}, "doubled"},
		{"the lender counts its own time", small, loanFlaws{ownTime: true}, "doubled"},
		{"no guard", small, loanFlaws{noGuard: true}, "doubled"},
		{"a clock slower than the guard", small, loanFlaws{slowClock: true}, "doubled"},
		{"a shorter renewal", three, loanFlaws{shorter: true}, "doubled"},
		{"messages before records", small, loanFlaws{sendFirst: true}, "doubled"},
		{"the recall ends it", small, loanFlaws{recallEnds: true}, "doubled"},
		{"the recall instead of the renewal", small, loanFlaws{cancelFirst: true}, "without end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := newLoanExplorer(t, tc.bounds, tc.flaws).explore()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
