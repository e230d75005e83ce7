package core

import (
	"errors"
	"fmt"
	"math"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// lend is LEND: a child goes that ends by itself, and the license sleeps.
func (c *Core) lend(h *handover) (transfer.Message, ident.Transfer, error) {
	inst, now := h.inst, c.clock.judge(h.r).Est
	d := license.Derivation{
		Kind: license.KindLoan, Subject: license.DeviceSubject(h.peer.ID()), For: h.order.ForMS, Index: inst.state.NextIndex, Now: now, State: inst.state,
	}
	share := inst.leaf().DefaultShare(inst.state, h.order.Plays)
	d.Plays, d.MS = share.Plays, share.MS
	chain, bundle, err := c.derive(h, d)
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	next, err := inst.leaf().Give(inst.state, share)
	if err != nil {
		return nil, ident.Transfer{}, exhausted(err)
	}
	child, until, err := loanOf(chain)
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	m, recs, err := c.source.Lend(transfer.Loan{
		Dst: h.peer.ID(), Leaf: h.peer.Leaf(), Request: h.request, Child: child, Until: until, Chain: chain, Bundle: bundle,
	})
	if err != nil {
		return nil, ident.Transfer{}, rejected(err)
	}
	next.Phase, next.Slice, next.Loan = license.Lent, nil, &license.Loan{Child: child, Seq: m.Number, Until: until}
	return m, m.TID, c.gone(h, next, records(recs))
}

// loanOf reads what a loan's chain says: the child's ID and its end.
func loanOf(chain [][]byte) (ident.License, int64, error) {
	_, lic, err := parseLink(chain[0])
	if err != nil {
		return ident.License{}, 0, err
	}
	info := lic.Info()
	if info.Parent == nil || info.Parent.Kind != license.KindLoan || info.Policy.HardEnd <= 0 {
		return ident.License{}, 0, fmt.Errorf("loan: the license is not one")
	}
	return info.ID, info.Policy.HardEnd, nil
}

// lentOut is the license that a loan was made of, and the child that is out.
func (c *Core) lentOut(tid ident.Transfer) (*instance, *transfer.Lent, *license.License, error) {
	o, err := c.source.Opened(tid)
	if err != nil || o.Loan == nil {
		return nil, nil, nil, &trem.Error{Code: trem.CodeUnknown, Text: "no such loan is out"}
	}
	_, child, err := parseLink(o.Loan.Chain[0])
	if err != nil {
		return nil, nil, nil, err
	}
	_, parent, err := parseLink(o.Loan.Chain[1])
	if err != nil {
		return nil, nil, nil, err
	}
	inst := c.successor(parent)
	if inst == nil {
		return nil, nil, nil, &trem.Error{Code: trem.CodeInternal, Text: "the license of a loan is not here"}
	}
	return inst, o.Loan, child, nil
}

// renewLoan gives a loan that is out a new end: the child again, one version on.
func (c *Core) renewLoan(in trem.Renewal, r Reading) (trem.Handed, error) {
	inst, lent, child, err := c.lentOut(in.Transfer)
	if err != nil {
		return trem.Handed{}, err
	}
	p, ok := c.peers[in.Transfer.Dst]
	if !ok {
		return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "the certificates of the borrower are not known here"}
	}
	peer, err := c.verifier.Verify(p.Chain, c.certTime(r))
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	before, err := inst.state.TakeBack(child.Whole())
	if err != nil {
		return trem.Handed{}, err
	}
	before.Phase, before.Loan = license.Held, nil
	h := &handover{order: trem.HandOver{Op: trem.OpLend, ForMS: in.ForMS}, peer: peer, inst: inst, r: r, fellow: c.fellow(peer, linkMembership(lent.Chain[0]), r)}
	eval := c.input(inst, trem.Ask{Action: permission.Lend, Confirm: true}, r)
	eval.State, eval.Request.Dest, eval.Request.For = before, c.destOf(h, inst), in.ForMS
	if d := inst.leaf().Evaluate(eval); !d.Allow {
		return trem.Handed{}, &trem.RefusalError{Decision: d}
	}
	whole, info := child.Whole(), child.Info()
	chain, bundle, err := c.derive(h, license.Derivation{
		Kind: license.KindLoan, Subject: info.Subject, Plays: whole.Plays, MS: whole.MS, For: in.ForMS,
		Index: info.Parent.Index, Now: c.clock.judge(r).Est, State: before, Version: info.Version + 1,
	})
	if err != nil {
		return trem.Handed{}, err
	}
	_, until, err := loanOf(chain)
	if err != nil {
		return trem.Handed{}, err
	}
	m, recs, err := c.source.Renew(in.Transfer, until, chain, bundle)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	next := inst.state
	next.Loan = &license.Loan{Child: m.Child, Seq: m.Number, Until: until}
	if err := c.gone(h, next, records(recs)); err != nil {
		return trem.Handed{}, err
	}
	letter, err := c.push(in.Transfer, m, r)
	return trem.Handed{Transfer: in.Transfer, Letters: []trem.Letter{letter}}, err
}

// loanOver gives a license back to its own use when its loan is over: what the
// borrower used is consumed, and of a borrower that said nothing all that it had.
func (c *Core) loanOver(tid ident.Transfer, out func() (transfer.Outcome, error)) (transfer.Outcome, error) {
	inst, _, child, err := c.lentOut(tid)
	if err != nil {
		return transfer.Outcome{}, err
	}
	res, err := out()
	if err != nil {
		return res, err
	}
	if !res.Aborted {
		return res, c.write(true, records(res.Records)...)
	}
	spent := res.Spent
	if res.Expired {
		spent = math.MaxUint64
	}
	next, err := inst.state.Settle(child.Whole(), spent)
	if err != nil {
		return res, err
	}
	next.Phase, next.Loan = license.Held, nil
	paid := *inst
	paid.state = next
	mark, err := paid.record()
	if err != nil {
		return res, err
	}
	if err := c.write(true, append(records(res.Records), mark)...); err != nil {
		return res, err
	}
	inst.state = next
	return res, nil
}

// expire ends the loans whose end is proven: by a statement of time that this
// module heard since it started, and by nothing that it counted itself.
func (c *Core) expire() (out trem.Handed, err error) {
	for _, l := range c.source.Loans() {
		guard := int64(transfer.Guard)
		if m, ok := c.members[l.TID.Dst]; ok && c.domain != nil && !m.Removed {
			guard = transfer.GuardHome
		}
		res, err := c.loanOver(l.TID, func() (transfer.Outcome, error) { return c.source.Expire(l.TID, c.heard, guard) })
		if errors.Is(err, transfer.ErrLater) {
			continue
		}
		if err != nil {
			return out, err
		}
		if !res.Aborted {
			continue
		}
		out.Events = append(out.Events, trem.Event{Kind: trem.EventLoanOver, Peer: l.TID.Dst, Transfer: l.TID, License: l.Child})
		if out, err = c.withDone(out, res.Done); err != nil {
			return out, err
		}
	}
	return out, nil
}

// giveBack destroys a loan that is here and says so. Of one that was destroyed
// before it says it again.
func (c *Core) giveBack(tid ident.Transfer, r Reading) (trem.Handed, error) {
	inst := c.held[c.came[tid]]
	spent := uint64(0)
	if inst != nil {
		if p := inst.leaf().Info().Parent; p == nil || p.Kind != license.KindLoan {
			return trem.Handed{}, rejected(fmt.Errorf("give back: it is not a loan"))
		}
		if c.waits(inst) {
			return trem.Handed{}, stateError("this module was set back and does not know what was used of the loan; it ends by itself")
		}
		if err := c.quiet(inst, r); err != nil {
			return trem.Handed{}, err
		}
		spent = inst.leaf().Spent(inst.state)
	}
	ret, recs, err := c.dest.GiveBack(tid, spent)
	if err != nil {
		return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such loan is here"}
	}
	all := records(recs)
	if inst != nil {
		rec, err := newRecord(kindGone, goneRecord{Hash: inst.leaf().Hash()})
		if err != nil {
			return trem.Handed{}, err
		}
		all = append(all, rec)
	}
	if err := c.write(true, all...); err != nil {
		return trem.Handed{}, err
	}
	if inst != nil {
		delete(c.held, inst.leaf().Hash())
	}
	letter, err := c.returned(ret)
	return trem.Handed{Transfer: tid, Letters: []trem.Letter{letter}}, err
}

// goneRecord is the end of an instance that was destroyed here.
type goneRecord struct {
	_    struct{} `cbor:",toarray"`
	Hash [32]byte
}

// returned is the letter that says that a loan was given back.
func (c *Core) returned(ret transfer.Return) (trem.Letter, error) {
	object, err := transfer.SignReturn(c.signer, c.identity.Chain[0], ret)
	if err != nil {
		return trem.Letter{}, err
	}
	l, err := c.letter(ret.TID.Src, topic(ret.TID, "destination"), object)
	l.Says = says(ret)
	return l, err
}

// borrow takes a loan, or its renewal, that came from its lender.
func (c *Core) borrow(m *transfer.Lend, from party, r Reading) (arrival, error) {
	out := arrival{tid: m.TID, hash: m.Hash()}
	var inst *instance
	res, err := c.dest.Borrow(m, func(m *transfer.Lend) error {
		inst, out.why = c.acceptLoan(m, from, r)
		return out.why
	})
	if err != nil {
		return out, err
	}
	out.res = res
	return out, c.arrived(&out, inst)
}

// acceptLoan judges a loan: only in proven time before its end.
func (c *Core) acceptLoan(m *transfer.Lend, from party, r Reading) (*instance, error) {
	if err := c.noTransfer(from.peer.ID()); err != nil {
		return nil, err
	}
	if clock := c.clock.judge(r); clock.Q != license.Secure {
		return nil, transfer.ErrLater
	} else if clock.Est >= m.Until {
		return nil, &transfer.RefusedError{Reason: "EXPIRED"}
	}
	inst, err := c.accept(m.Chain, m.Bundle, from, r)
	if err != nil {
		return nil, err
	}
	child, until, err := loanOf(m.Chain)
	if err != nil || child != m.Child || until != m.Until {
		return nil, errors.Join(fmt.Errorf("loan: the license says another end than the message"), err)
	}
	if err := c.oneIdentity(inst.leaf()); err != nil {
		return nil, err
	}
	if _, ok := c.held[inst.leaf().Hash()]; ok {
		return nil, fmt.Errorf("transfer: this license is already here")
	}
	return inst, c.takeOver(inst, r)
}

// forget ends an instance that a closed loan left here, and its sessions: what
// they would write has nothing to stand on any more.
func (c *Core) forget(tid ident.Transfer) ([]vault.Record, error) {
	inst, ok := c.held[c.came[tid]]
	if !ok || inst.leaf().Info().Parent == nil || inst.leaf().Info().Parent.Kind != license.KindLoan {
		return nil, nil
	}
	for handle, s := range c.sessions {
		if s.inst == inst {
			c.drop(handle, s)
		}
	}
	rec, err := newRecord(kindGone, goneRecord{Hash: inst.leaf().Hash()})
	delete(c.held, inst.leaf().Hash())
	delete(c.recalled, tid)
	return []vault.Record{rec}, err
}
