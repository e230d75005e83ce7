package core

import (
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// letters are what is worth sending now: everything that is not closed, from
// either side. Loans whose end is proven are over first.
func (c *Core) letters(r Reading) (trem.Handed, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return trem.Handed{}, err
	}
	out, err := c.expire()
	if err != nil {
		return out, err
	}
	for _, tid := range c.source.Open() {
		l, err := c.sourceLetter(tid, r)
		if err != nil {
			if broken(err) != nil {
				return out, err
			}
			continue // its certificates are not known, or have run out: it comes by itself, in a session
		}
		l.Again = true
		out.Letters = append(out.Letters, l)
	}
	for _, b := range c.dest.Borrowed() {
		if !b.Returned && (c.recalled[b.TID] || c.over(b, r)) && !c.watched(b.TID) {
			h, err := c.giveBack(b.TID, r)
			if err != nil {
				return out, err
			}
			out.Letters = append(out.Letters, h.Letters...)
		} else if b.Returned {
			l, err := c.returned(b.Return)
			if err != nil {
				return out, err
			}
			l.Again = true
			out.Letters = append(out.Letters, l)
		}
	}
	if out, err = c.reportsLetters(out, r); err != nil {
		return out, err
	}
	n := len(out.Letters)
	if out, err = c.yielded(out, r); err != nil {
		return out, err
	}
	if out, err = c.leftLetters(out); err != nil {
		return out, err
	}
	if out, err = c.hereLetters(out, r); err != nil {
		return out, err
	}
	if out, err = c.wantedLetters(out, r); err != nil {
		return out, err
	}
	for i := range out.Letters[n:] {
		out.Letters[n+i].Again = true
	}
	return c.receipts(out)
}

// over reports whether the end of a loan that is here is proven. Its lender may
// have ended it too, and its DONE may be lost: RETURNED is answered with it, and
// says what was used.
func (c *Core) over(b transfer.Borrowing, r Reading) bool {
	now := c.clock.judge(r)
	return now.Q == license.Secure && now.Est >= b.Until
}

// receipts says again of each right that is here and not confirmed that it is
// here. A QUERY would lead to the same by two letters more, and takes the place
// of the receipt where a courier keeps one letter of a topic.
func (c *Core) receipts(out trem.Handed) (trem.Handed, error) {
	for _, tid := range c.unconfirmedAll() {
		if c.held[c.came[tid]].state.Tx == nil {
			continue // it came in a session of its issuer or its house, and is closed there
		}
		said, err := c.dest.Query(tid)
		if err != nil {
			return out, err
		}
		l, err := c.statement(tid, transfer.Result{Receipt: said})
		if err != nil {
			return out, err
		}
		l.Again = true
		out.Letters = append(out.Letters, l)
	}
	return out, nil
}

// cancel asks an open transfer back.
func (c *Core) cancel(tid ident.Transfer) (trem.Handed, error) {
	m, recs, err := c.source.Cancel(tid)
	if err != nil {
		return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such transfer is open here"}
	}
	if err := c.write(true, records(recs)...); err != nil {
		return trem.Handed{}, err
	}
	l, err := c.markLetter(tid.Dst, topic(tid, "source"), m)
	return trem.Handed{Transfer: tid, Letters: []trem.Letter{l}}, err
}

// transfers lists what is not closed.
func (c *Core) transfers() ([]trem.Transfer, error) {
	out := []trem.Transfer{}
	for _, tid := range c.source.Open() {
		t, err := c.outgoing(tid)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	for _, b := range c.dest.Borrowed() {
		t := trem.Transfer{ID: b.TID, Op: trem.OpLend.String(), Stage: trem.StageBorrowed, Peer: b.TID.Src, License: b.Child, Until: b.Until}
		if b.Returned {
			t.Stage = trem.StageReturned
		} else if inst, ok := c.held[c.came[b.TID]]; ok {
			t.Content = inst.leaf().Info().Content
		}
		out = append(out, t)
	}
	for _, tid := range c.unconfirmedAll() {
		inst := c.held[c.came[tid]]
		t := trem.Transfer{ID: tid, Op: opOf(inst), Stage: trem.StageUnconfirmed, Peer: tid.Src, License: inst.leaf().Info().ID, Content: inst.leaf().Info().Content}
		if inst.state.Tx != nil {
			t.HoldUntil = inst.state.Tx.HoldUntil
		}
		out = append(out, t)
	}
	return out, nil
}

func (c *Core) outgoing(tid ident.Transfer) (trem.Transfer, error) {
	o, err := c.source.Opened(tid)
	if err != nil {
		return trem.Transfer{}, err
	}
	t := trem.Transfer{ID: tid, Stage: trem.StageSent, Peer: tid.Dst, Cancelled: o.Cancelled}
	var chain [][]byte
	if o.Loan != nil {
		t.Op, t.Stage, t.Until, chain = trem.OpLend.String(), trem.StageLent, o.Loan.Until, o.Loan.Chain
	} else {
		b, err := transfer.ParseBody(o.Body)
		if err != nil {
			return t, err
		}
		t.Op, t.HoldUntil, chain = b.Op.String(), holdOf(b.HoldUntil), b.Chain
	}
	if o.InDoubt {
		t.Stage = trem.StageInDoubt
	}
	if o.Released {
		t.Stage = trem.StageReleased
	}
	if _, lic, err := parseLink(chain[0]); err == nil {
		t.License, t.Content = lic.Info().ID, lic.Info().Content
	}
	return t, nil
}

// opOf is the operation that an UNCONFIRMED instance came by, as far as the
// instance itself says it.
func opOf(inst *instance) string {
	switch p := inst.leaf().Info().Parent; {
	case inst.state.Tx != nil && (p == nil || p.Kind != license.KindCopy):
		return transfer.OpMove.String()
	case p != nil && p.Kind == license.KindCopy:
		return transfer.OpCopy.String()
	case p != nil && p.Kind == license.KindAllowance:
		return transfer.OpAllowance.String()
	}
	return transfer.OpIssue.String()
}

// unconfirmedAll lists the transfers that are installed here and not closed.
func (c *Core) unconfirmedAll() (out []ident.Transfer) {
	for tid, hash := range c.came {
		if _, ok := c.held[hash]; ok && c.dest.Unconfirmed(tid) {
			out = append(out, tid)
		}
	}
	slices.SortFunc(out, compareTransfers)
	return out
}
