package core

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// arrival is what came by a transfer, and what this module says to it.
type arrival struct {
	tid  ident.Transfer
	hash [32]byte
	res  transfer.Result
	inst *instance // nil when it was refused
	why  error     // why it was
}

// take runs the destination's machine on an XFER: INSTALL or REFUSE is durable
// before anything says so.
func (c *Core) take(x *transfer.XFER, from *pki.Peer, r Reading) (arrival, error) {
	a := arrival{tid: x.TID, hash: x.Hash()}
	if x.TID.Src != from.ID() || x.TID.Dst != c.self {
		return a, fmt.Errorf("transfer: it is not between these two")
	}
	if err := c.seenOne(from, x.Head); err != nil {
		a.why = err
		return a, err
	}
	var inst *instance
	res, err := c.dest.Receive(x, func(b *transfer.Body) error {
		inst, a.why = c.acceptTransfer(x.TID, b, from, r)
		return a.why
	})
	if err != nil {
		return a, err
	}
	a.res = res
	err = c.arrived(&a, inst)
	clear(x.Body) // it is in the log now, and the keys are in their place
	if res.Body != nil {
		clear(res.Body.Bundle)
	}
	return a, err
}

// arrived makes an arrival durable and holds what was installed.
func (c *Core) arrived(a *arrival, inst *instance) error {
	recs := records(a.res.Records)
	closed, err := c.confirmed() // an XFER says by its low what else is closed
	if err != nil {
		return err
	}
	recs = append(recs, closed...)
	fresh := a.res.New && a.res.Installed
	if fresh {
		more, err := inst.installRecords(a.tid)
		if err != nil {
			return err
		}
		recs = append(recs, more...)
	}
	if err := c.write(true, recs...); err != nil {
		a.why = err
		return err
	}
	switch {
	case fresh:
		c.hold(inst)
		c.came[a.tid] = inst.leaf().Hash()
		delete(c.away, inst.leaf().Hash())
		a.inst = inst
	case a.why == nil:
		a.inst, a.why = c.outcome(a.tid, a.res) // a repetition of what was decided before
	}
	return nil
}

// installRecords are the core's own records of an installation: the state, and
// of a loan, whose LEND record has no body, the license too.
func (i *instance) installRecords(tid ident.Transfer) ([]vault.Record, error) {
	var out []vault.Record
	if p := i.leaf().Info().Parent; p != nil && p.Kind == license.KindLoan {
		bundle, err := i.bundle(i.leaf())
		if err != nil {
			return nil, err
		}
		install, err := newRecord(kindLicense, licenseRecord{Chain: i.links, Bundle: bundle, Epoch: i.epoch})
		if err != nil {
			return nil, err
		}
		came, err := newRecord(kindCame, cameRecord{TID: tid, Hash: i.leaf().Hash()})
		if err != nil {
			return nil, err
		}
		out = append(out, install, came)
	}
	state, err := i.record()
	return append(out, state), err
}

// outcome finds what an earlier receipt spoke of.
func (c *Core) outcome(tid ident.Transfer, res transfer.Result) (*instance, error) {
	if !res.Installed {
		return nil, fmt.Errorf("transfer: refused before")
	}
	if inst, ok := c.held[c.came[tid]]; ok {
		return inst, nil
	}
	return nil, fmt.Errorf("transfer: installed before, and gone since")
}

func (c *Core) acceptTransfer(tid ident.Transfer, b *transfer.Body, from *pki.Peer, r Reading) (*instance, error) {
	if err := c.noTransfer(from.ID()); err != nil {
		return nil, err
	}
	if err := c.holds(b.HoldUntil, r); err != nil {
		return nil, err
	}
	inst, err := c.accept(b.Chain, b.Bundle, party{peer: from, op: b.Op, tid: tid}, r)
	if err != nil {
		return nil, err
	}
	if err := c.oneIdentity(inst.leaf()); err != nil {
		return nil, err
	}
	if _, ok := c.held[inst.leaf().Hash()]; ok {
		return nil, fmt.Errorf("transfer: this license is already here")
	}
	if away, ok := c.away[inst.leaf().Hash()]; ok && b.Op != transfer.OpMove && b.Op != transfer.OpTransfer {
		return nil, fmt.Errorf("transfer: this license moved away to %v, and comes back from there only", away.TID.Dst)
	}
	if len(b.State) > 0 {
		if inst.state, err = license.ParseState(b.State); err != nil {
			return nil, err
		}
	}
	if s := &inst.state; s.Phase != license.Held || s.Tx != nil || s.Loan != nil || s.Slice != nil {
		return nil, fmt.Errorf("transfer: its state is of a license that is in use elsewhere")
	}
	if b.Op != transfer.OpIssue && b.Op != transfer.OpAllowance {
		inst.state.Tx = &license.Tx{ID: tid, HoldUntil: holdOf(b.HoldUntil), Unconfirmed: true}
		inst.state.Ver++
		return inst, nil
	}
	return inst, c.takeOver(inst, r)
}

// holds refuses what may be given back to its source before it could be used
// here: a right with a hold is installed in proven time only.
func (c *Core) holds(until *int64, r Reading) error {
	if until == nil {
		return nil
	}
	now := c.clock.judge(r)
	switch {
	case now.Q != license.Secure:
		return transfer.ErrLater
	case now.Est+transfer.HoldMargin >= *until:
		return &transfer.RefusedError{Reason: "HOLD_OVER"}
	}
	return nil
}

// settle closes a transfer at its source by a receipt: what the records say
// then, and what the license is from then on, are one batch.
func (c *Core) settle(rec *transfer.Receipt, r Reading) (transfer.Outcome, error) {
	o, err := c.source.Opened(rec.TID)
	if err == nil && o.Loan != nil {
		res, err := c.loanOver(rec.TID, func() (transfer.Outcome, error) { return c.source.Receipt(rec) })
		return res, rejected(err)
	}
	res, err := c.source.Receipt(rec)
	if err != nil {
		return res, rejected(err)
	}
	return res, c.close(res, r)
}

// close makes an outcome durable with what it does to the license.
func (c *Core) close(res transfer.Outcome, r Reading) error {
	recs, err := c.effect(res, r)
	if err != nil {
		return err
	}
	return c.write(true, append(records(res.Records), recs...)...)
}

// effect applies an outcome to the license in memory, and is the record of it. A
// commit that fails ends the module.
func (c *Core) effect(res transfer.Outcome, r Reading) ([]vault.Record, error) {
	if !res.Committed && !res.Aborted {
		return nil, nil
	}
	b, err := transfer.ParseBody(res.Body)
	if err != nil {
		return nil, err
	}
	_, lic, err := parseLink(b.Chain[0])
	if err != nil {
		return nil, err
	}
	if b.Op == transfer.OpMove || b.Op == transfer.OpTransfer {
		return c.moved(res, lic)
	}
	if len(b.Chain) < 2 {
		return nil, nil
	}
	_, parent, err := parseLink(b.Chain[1])
	if err != nil {
		return nil, err
	}
	if b.Op == transfer.OpAllowance && res.Committed {
		return c.setAsideHere(res.TID, lic, parent)
	}
	inst := c.successor(parent)
	if inst == nil {
		return nil, nil
	}
	next := inst.state
	if b.Op == transfer.OpCopy {
		next, err = copied(inst, res, c.clock.judge(r).Est)
	}
	if shared := b.Op != transfer.OpCopy || inst.leaf().CopySplits(); err == nil && res.Aborted && shared {
		next, err = next.TakeBack(lic.Whole())
	}
	if err != nil {
		return nil, err
	}
	inst.state = next
	rec, err := inst.record()
	return []vault.Record{rec}, err
}

// copied consumes the copy that was reserved, or gives it back.
func copied(inst *instance, res transfer.Outcome, now int64) (license.State, error) {
	switch {
	case inst.state.Reserved[permission.Copy] == 0: // not counted
		return inst.state, nil
	case res.Committed, res.Released && res.Regrant[uint64(permission.Copy)] == 0 && len(res.Regrant) > 0:
		return inst.state.Commit(permission.Copy, now)
	}
	return inst.state.Release(permission.Copy)
}

// moved ends a MOVE: a tombstone where the license was, or the license again.
func (c *Core) moved(res transfer.Outcome, lic *license.License) ([]vault.Record, error) {
	inst := c.held[lic.Hash()]
	if inst == nil {
		return nil, fmt.Errorf("transfer: the license of %v is not in escrow", res.TID)
	}
	if res.Committed {
		info := lic.Info()
		away := awayRecord{Hash: lic.Hash(), License: info.ID, Content: info.Content, TID: res.TID}
		if issuer := lic.Info().Issuer; c.domain != nil { // the name goes on in the members' memberships
			if err := c.keepName(pairwiseRecord{House: c.domain.ID, Issuer: issuer, Domain: c.domain.pairwise(issuer)}); err != nil {
				return nil, err
			}
		}
		rec, err := newRecord(kindAway, away)
		delete(c.held, away.Hash)
		c.away[away.Hash] = away
		return []vault.Record{rec}, err
	}
	next := inst.state
	if next.Reserved[permission.Transfer] > 0 {
		var err error
		if next, err = next.Release(permission.Transfer); err != nil {
			return nil, err
		}
	}
	next.Phase, next.Tx = license.Held, nil
	next.Ver++
	if n, ok := res.Regrant[uint64(permission.Play)]; ok && res.Released {
		next = inst.leaf().Keep(next, n)
	}
	inst.state = next
	rec, err := inst.record()
	return []vault.Record{rec}, err
}

// awayRecord is the tombstone of a license that moved away: it comes back only
// by a MOVE.
type awayRecord struct {
	_       struct{} `cbor:",toarray"`
	Hash    [32]byte
	License ident.License
	Content ident.Content
	TID     ident.Transfer
}

// confirmed clears UNCONFIRMED from what its sources have closed, and forgets
// the loans that are. A commit of what it returns must follow.
func (c *Core) confirmed() ([]vault.Record, error) {
	var out []vault.Record
	for _, inst := range c.sorted() {
		tx := inst.state.Tx
		if tx == nil || !tx.Unconfirmed || c.dest.Unconfirmed(tx.ID) {
			continue
		}
		inst.state.Tx = nil
		inst.state.Ver++
		rec, err := inst.record()
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	open := c.dest.Borrowed()
	for tid := range c.came {
		if slices.ContainsFunc(open, func(o transfer.Borrowing) bool { return o.TID == tid }) {
			continue
		}
		recs, err := c.forget(tid)
		if err != nil {
			return nil, err
		}
		out = append(out, recs...)
	}
	return out, nil
}

// compareTransfers orders transfers by source, destination and number.
func compareTransfers(a, b ident.Transfer) int {
	return cmp.Or(slices.Compare(a.Src[:], b.Src[:]), slices.Compare(a.Dst[:], b.Dst[:]), slices.Compare(a.Incarnation[:], b.Incarnation[:]), cmp.Compare(a.Seq, b.Seq))
}
