package issuer

import (
	"cmp"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// loanGuard is how long after a loan's end its copy is lent again: the borrower's
// secure clock may be that far behind. Source: docs/spec/copies.md.
const loanGuard = int64(10 * time.Minute / time.Millisecond)

// Stock says how many copies a library has of a title, and how it lends them.
type Stock struct {
	Content ident.Content `json:"content"`
	Copies  uint64        `json:"copies"`
	Offer   string        `json:"offer"`     // of kind loan, without an end of its own
	Period  int64         `json:"period_ms"` // of a loan, in ms
	Window  int64         `json:"window_ms"` // for which a copy is kept for who waited, in ms
}

// CopyLoan is a copy that a household has.
type CopyLoan struct {
	Content ident.Content `json:"content"`
	Domain  ident.Domain  `json:"domain"`
	Grant   GrantID       `json:"grant"`
	From    int64         `json:"from"`  // Unix ms
	Until   int64         `json:"until"` // Unix ms: END_TIME of its license
}

// Hold is a household that waits for a copy.
type Hold struct {
	Content      ident.Content `json:"content"`
	Domain       ident.Domain  `json:"domain"`
	Turn         uint64        `json:"turn"`          // the lower one is served first
	At           int64         `json:"at"`            // Unix ms
	OfferedUntil int64         `json:"offered_until"` // Unix ms until which a copy is kept for it; 0 = it waits
}

// copies is the state of one title's copies at a time. Its methods decide; who
// calls them writes what they changed.
//
// Invariant: loans and offers together are never more than the copies.
type copies struct {
	Stock
	loans []CopyLoan
	holds []Hold // in their turn
}

// free is how many copies nobody has and nobody was offered.
func (c *copies) free() int {
	n := int(c.Copies) - len(c.loans) //nolint:gosec // bounded by maxCopies
	for _, h := range c.holds {
		if h.OfferedUntil != 0 {
			n--
		}
	}
	return n
}

// moved is what time changes: copies that came back, offers that nobody took,
// and offers to who is next.
type moved struct {
	back    []CopyLoan
	lapsed  []Hold
	offered []Hold
}

// tick brings the state to a time.
func (c *copies) tick(now int64) (m moved) {
	c.loans = slices.DeleteFunc(c.loans, func(l CopyLoan) bool {
		over := l.Until+loanGuard <= now
		if over {
			m.back = append(m.back, l)
		}
		return over
	})
	c.holds = slices.DeleteFunc(c.holds, func(h Hold) bool {
		over := h.OfferedUntil != 0 && h.OfferedUntil <= now
		if over {
			m.lapsed = append(m.lapsed, h)
		}
		return over
	})
	for i := range c.holds {
		if c.free() <= 0 {
			break
		}
		if h := &c.holds[i]; h.OfferedUntil == 0 {
			h.OfferedUntil = now + c.Window
			m.offered = append(m.offered, *h)
		}
	}
	return m
}

// waiting is how many households wait without an offer.
func (c *copies) waiting() (n int) {
	for _, h := range c.holds {
		if h.OfferedUntil == 0 {
			n++
		}
	}
	return n
}

// loanOf and holdOf find a household's, or nil.
func (c *copies) loanOf(d ident.Domain) *CopyLoan {
	if i := slices.IndexFunc(c.loans, func(l CopyLoan) bool { return l.Domain == d }); i >= 0 {
		return &c.loans[i]
	}
	return nil
}

func (c *copies) holdOf(d ident.Domain) *Hold {
	if i := slices.IndexFunc(c.holds, func(h Hold) bool { return h.Domain == d }); i >= 0 {
		return &c.holds[i]
	}
	return nil
}

// may reports whether a household can have a copy now: one is kept for it, or
// one is free. A copy is only free when nobody waits.
func (c *copies) may(d ident.Domain) bool {
	h := c.holdOf(d)
	return h != nil && h.OfferedUntil != 0 || c.free() > 0
}

// add puts a household at the end of the queue.
func (c *copies) add(h Hold) {
	c.holds = append(c.holds, h)
	slices.SortFunc(c.holds, func(a, b Hold) int { return cmp.Compare(a.Turn, b.Turn) })
}

func (c *copies) dropLoan(d ident.Domain) {
	c.loans = slices.DeleteFunc(c.loans, func(l CopyLoan) bool { return l.Domain == d })
}

func (c *copies) dropHold(d ident.Domain) {
	c.holds = slices.DeleteFunc(c.holds, func(h Hold) bool { return h.Domain == d })
}
