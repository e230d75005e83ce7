package license

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/lares-drm/lares/license/ident"
)

// Candidate is one of several licenses for a content, with its state and what
// its evaluation said.
type Candidate struct {
	License  *License
	State    State
	Decision *Decision
}

// Choose gives the index of the license that is used (evaluator E13): of those
// that allow the one that burns least; where none allows, the one with the
// fewest closed reasons, for its reasons. It is -1 for no candidates.
func Choose(list []Candidate) int {
	best := -1
	for i := range list {
		if best < 0 || prefer(&list[i], &list[best]) < 0 {
			best = i
		}
	}
	return best
}

// prefer is below 0 when a is used rather than b.
func prefer(a, b *Candidate) int {
	if a.Decision.Allow != b.Decision.Allow {
		if a.Decision.Allow {
			return -1
		}
		return 1
	}
	if !a.Decision.Allow {
		return cmp.Or(cmp.Compare(a.Decision.closed(), b.Decision.closed()), lowerID(a, b))
	}
	x, y := a.class(), b.class()
	if x != y {
		return cmp.Compare(x, y)
	}
	switch x {
	case burnsWindow:
		if c := cmp.Compare(b.end(), a.end()); c != 0 { // latest first: fewest interruptions
			return c
		}
	case burnsCount:
		if c := cmp.Compare(value(b.Decision.Counters.PlaysLeft), value(a.Decision.Counters.PlaysLeft)); c != 0 {
			return c
		}
	default: // the others have no order of their own
	}
	return cmp.Or(cmp.Compare(a.owned(), b.owned()), cmp.Compare(a.end(), b.end()), lowerID(a, b))
}

func lowerID(a, b *Candidate) int { return bytes.Compare(a.License.info.ID[:], b.License.info.ID[:]) }

// closed counts the closed reasons.
func (d *Decision) closed() int {
	n := 0
	for i := range d.Reasons {
		if d.Reasons[i].Closed {
			n++
		}
	}
	return n
}

// terms is the reading of the unit that the decision is about; of handling it
// is the one whose time was judged.
func (c *Candidate) terms() terms {
	l := c.License
	if n := c.Decision.Unit; n > 0 && n <= len(l.units.Usage) {
		t := termsOf(&l.info, l.units, &l.units.Usage[n-1])
		t.denied = c.State.Denied != 0
		return t
	}
	return l.longest(&c.State)
}

func (c *Candidate) class() burn {
	if slices.ContainsFunc(c.Decision.Confirm, func(x Confirm) bool { return x.Kind == StartsInterval }) {
		return burnsInterval
	}
	t := c.terms()
	return t.burns(&c.State)
}

func (c *Candidate) end() int64 {
	t := c.terms()
	return t.end(c.State.FirstUse)
}

// owned orders domain licenses before others, and loans last.
func (c *Candidate) owned() int {
	t := c.terms()
	switch {
	case t.loan():
		return 2
	case c.License.info.Subject.Kind != SubjectDomain:
		return 1
	}
	return 0
}

// Ends reports whether the license is over one day whatever is done with it.
func (l *License) Ends() bool {
	for i := range l.units.Usage {
		t := termsOf(&l.info, l.units, &l.units.Usage[i])
		if t.latestEnd() == never {
			return false
		}
	}
	return true
}

// EvaluateChain evaluates a use under a chain of licenses, leaf first: the leaf
// with its state, and of each ancestor START_TIME, the latest end that any
// first use can lead to, levels and outputs (evaluator E13). All must allow.
// VerifyChain has made sure that a derived license says no more than its
// parent, so for a chain that it accepts the leaf alone decides the same.
func EvaluateChain(chain []*License, in *Input, out *Decision) {
	Evaluate(chain[0], in, out)
	for _, l := range chain[1:] {
		var d Decision
		e := evaluation{l: l, in: in, out: &d}
		e.ancestor()
		out.and(&d)
	}
	chain[0].tier(in.Request.Tier, out)
	out.finish()
}

// ancestor judges what holds of a license for those derived from it.
func (e *evaluation) ancestor() {
	e.prepare()
	if !e.use() || !e.granted() {
		return
	}
	before, best, least := e.mark(), -1, 0
	for i := range e.l.units.Usage {
		if !e.covers(i) {
			continue
		}
		e.above(i)
		if n := e.out.closed(); best < 0 || n < least {
			best, least = i, n
		}
		e.reset(before)
	}
	if best < 0 {
		e.out.refuse(NoGrant, "PART", "another part", "a unit for this part", Buy)
		return
	}
	e.above(best)
}

// above judges what of an ancestor's usage unit holds for those below it.
func (e *evaluation) above(unit int) {
	e.terms = termsOf(&e.l.info, e.l.units, &e.l.units.Usage[unit])
	e.start()
	if end := e.terms.latestEnd(); e.est >= end {
		e.out.refuse(Expired, "PARENT", when(e.est), "< "+when(end), Buy)
		e.ahead(end)
	} else {
		e.out.change(e.est, end, "END")
	}
	e.levels()
	e.outputs()
}

// and joins what an ancestor says: its closed reasons, the keys that both
// permit, the times at which either changes.
func (d *Decision) and(o *Decision) {
	for _, r := range o.Reasons {
		if r.Closed && !slices.Contains(d.Reasons, r) {
			d.add(r)
		}
	}
	d.Allow = d.Allow && o.Allow
	d.KIDs = slices.DeleteFunc(d.KIDs, func(k ident.Key) bool { return !slices.Contains(o.KIDs, k) })
	d.Next = append(d.Next, o.Next...)
}

// tier sets a decision's tier again, to the best of the keys that are left.
func (l *License) tier(want Tier, d *Decision) {
	d.Tier = 0
	for _, kid := range d.KIDs {
		if t := l.key(kid).Tier; t.better(d.Tier, want) {
			d.Tier = t
		}
	}
}
