package sim

import (
	"encoding/binary"
	"errors"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// opLend lends all that a box has of an asset, for minutes or days.
func (w *World) opLend(b *box) error {
	a, u, ok := w.pick(b)
	if !ok || u != b.account.have[a] || u.Plays == 0 {
		return nil // what is unconfirmed may not be lent
	}
	e := entry{What: entryLend, Asset: a, Units: u}
	chain, err := wire.Marshal(e.contents())
	if err != nil {
		return err
	}
	to := w.other(b)
	child := ident.License{1, byte(b.index)}              //nolint:gosec // one of a few
	binary.BigEndian.PutUint64(child[8:], uint64(w.step)) //nolint:gosec // a step is positive
	m, recs, err := b.src.Lend(transfer.Loan{Dst: to.id, Leaf: to.peer.Leaf(), Child: child, Until: w.loanEnd(), Chain: [][]byte{chain, {1}}, Bundle: []byte{1}})
	if errors.Is(err, transfer.ErrFull) {
		return nil
	}
	if err != nil {
		return err
	}
	e.TID = m.TID
	w.opened[m.TID] = w.step
	w.note("box %d lends license %d.%d, %d plays, to %d as %v until %d", b.index, a.License, a.Gen, u.Plays, to.index, m.TID, m.Until)
	return w.lendOut(b, m, recs, e)
}

// loanEnd is when a loan ends.
func (w *World) loanEnd() int64 {
	if w.rnd.IntN(2) == 0 {
		return w.truth + 60*second + w.rnd.Int64N(1800*second)
	}
	return w.truth + w.rnd.Int64N(3*day)
}

func (w *World) lendOut(b *box, m *transfer.Lend, recs []transfer.Record, entries ...entry) error {
	if w.cfg.Mutant == SendFirst {
		if err := w.post(b, m); err != nil || b.down {
			return err
		}
	}
	w.armSome(b)
	if err := w.settled(b, w.commit(b, recs, entries...)); err != nil || b.down || w.cfg.Mutant == SendFirst {
		return err
	}
	return w.post(b, m)
}

// opRenew gives a loan that is out a later end.
func (w *World) opRenew(b *box) error {
	out := b.src.Loans()
	if len(out) == 0 {
		return nil
	}
	l := out[w.rnd.IntN(len(out))]
	m, recs, err := b.src.Renew(l.TID, max(l.Until, w.loanEnd()), l.Chain, []byte{1})
	if err != nil {
		return err
	}
	w.note("box %d renews %v until %d", b.index, l.TID, m.Until)
	return w.lendOut(b, m, recs)
}

// onLend borrows: only on a secure clock, and before the end.
func (w *World) onLend(b *box, m *transfer.Lend) error {
	refuse := !w.calm && w.rnd.IntN(12) == 0
	res, err := b.dst.Borrow(m, func(m *transfer.Lend) error {
		switch {
		case !b.clock.secure:
			return transfer.ErrLater
		case !b.clock.alive(m.Until, w.truth, None):
			return &transfer.RefusedError{Reason: "EXPIRED"}
		case refuse:
			w.counts[Rejected]++
			return &transfer.RefusedError{Reason: "FULL"}
		}
		return nil
	})
	if _, no := errors.AsType[*transfer.RefusedError](err); no || errors.Is(err, transfer.ErrLater) || errors.Is(err, transfer.ErrDropped) || errors.Is(err, transfer.ErrFull) {
		return nil // of a renewal that is refused, the old end stays
	}
	if err != nil {
		return err
	}
	if res.Quarantined {
		return w.broken(Doubled, "box %d has two loans of %v", b.index, m.TID)
	}
	if res.Return != nil {
		return w.sendReturn(b, *res.Return)
	}
	var entries []entry
	if res.New && res.Installed {
		var c contents
		if err := unmarshal(m.Chain[0], &c); err != nil {
			return err
		}
		entries = append(entries, entry{What: entryBorrow, TID: m.TID, Asset: c.Asset, Units: c.Units})
	}
	return w.decided(b, res, entries...)
}

// recalled answers a CANCEL of a loan: it is given back.
func (w *World) recalled(b *box, tid ident.Transfer, res transfer.Result) error {
	if res.Return != nil {
		return w.sendReturn(b, *res.Return)
	}
	if res.Recalled {
		return w.giveBack(b, tid)
	}
	return nil
}

// opPlayLoan charges a play of a loan, and shows the film.
func (w *World) opPlayLoan(b *box) error {
	for _, l := range b.dst.Borrowed() {
		e := b.account.loans[l.TID]
		if l.Returned || e.Units.Plays == 0 || !b.clock.alive(l.Until, w.truth, w.cfg.Mutant) {
			continue
		}
		w.armSome(b)
		if err := w.settled(b, w.commit(b, nil, entry{What: entryLoaned, TID: l.TID})); err != nil || b.down {
			return err
		}
		w.shown[e.Asset.License]++
		w.note("box %d plays %v, which it has borrowed", b.index, l.TID)
		return nil
	}
	return nil
}

// opGiveBack ends a loan early.
func (w *World) opGiveBack(b *box) error {
	all := b.dst.Borrowed()
	if len(all) == 0 {
		return nil
	}
	return w.giveBack(b, all[w.rnd.IntN(len(all))].TID)
}

func (w *World) giveBack(b *box, tid ident.Transfer) error {
	r, recs, err := b.dst.GiveBack(tid, b.account.loans[tid].Played)
	if err != nil {
		return err
	}
	w.note("box %d gives %v back, %d spent", b.index, tid, r.Spent)
	if w.cfg.Mutant == NoReturnNote && len(recs) > 0 {
		if err := w.sendReturn(b, r); err != nil || b.down {
			return err
		}
		return w.boot(b) // it has forgotten
	}
	w.armSome(b)
	if err := w.settled(b, w.commit(b, recs)); err != nil || b.down {
		return err
	}
	return w.sendReturn(b, r)
}

func (w *World) sendReturn(b *box, r transfer.Return) error {
	if w.mayStop(b) {
		return nil
	}
	data, err := transfer.SignReturn(b.key, b.peer.Leaf(), r)
	if err != nil {
		return err
	}
	return w.send(b, w.byID(r.TID.Src), "RETURNED", r.TID, data)
}

// onReturned ends a loan at its lender.
func (w *World) onReturned(b, from *box, data []byte) error {
	r, err := transfer.ParseReturned(data, from.peer)
	if err != nil {
		return err
	}
	out, m, err := b.src.Returned(r)
	if errors.Is(err, transfer.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(out.Records) == 0 {
		return w.post(b, m)
	}
	return w.loanOver(b, out, out.Spent)
}

// loanOver makes the end of a loan durable.
func (w *World) loanOver(b *box, out transfer.Outcome, spent uint64) error {
	w.note("box %d has %v back, %d spent", b.index, out.TID, spent)
	w.armSome(b)
	if err := w.settled(b, w.commit(b, out.Records, entry{What: entryLoanEnd, TID: out.TID, Units: units{Plays: spent}})); err != nil || b.down {
		return err
	}
	return w.post(b, out.Done)
}

// opExpire ends the loans of a box whose time is over: by proven time.
func (w *World) opExpire(b *box) error {
	for _, l := range b.src.Loans() {
		proven, guard := b.clock.proven, int64(transfer.Guard)
		if w.cfg.Mutant == OwnTime {
			proven = b.clock.now(w.truth)
		}
		if w.cfg.Mutant == NoGuard {
			guard = 0
		}
		out, err := b.src.Expire(l.TID, proven, guard)
		if errors.Is(err, transfer.ErrLater) {
			continue
		}
		if err != nil {
			return err
		}
		return w.loanOver(b, out, b.account.lent[l.TID].Units.Plays)
	}
	return nil
}

// opLater lets some hours or days go by, or just so much that a loan of the box
// ends about now and the box knows it.
func (w *World) opLater(b *box) error {
	out := b.src.Loans()
	if len(out) == 0 || w.rnd.IntN(3) == 0 {
		w.truth += w.rnd.Int64N(2 * day)
	} else if end := out[w.rnd.IntN(len(out))].Until; end > w.truth {
		w.truth = end - maxError/2 + w.rnd.Int64N(2*maxError)
		b.clock.proven = w.truth
		w.note("it is %d, about when a loan of box %d ends", w.truth, b.index)
		return w.opExpire(b)
	}
	w.note("it is later: %d", w.truth)
	return nil
}

// opAskTime asks for the time. The answer sets the clock, or it comes so late
// that it only says what time it has been.
func (w *World) opAskTime(b *box) error {
	if w.rnd.IntN(3) == 0 {
		b.clock.proven = max(b.clock.proven, w.truth-w.rnd.Int64N(day))
		return nil
	}
	late := w.rnd.Int64N(maxError)
	b.clock = clock{ahead: -late, secure: true, proven: max(b.clock.proven, w.truth-late)}
	return nil
}

// endLoans lets everything come back in the end: given back, or by time.
func (w *World) endLoans(b *box) error {
	for _, l := range b.dst.Borrowed() {
		if l.TID.Seq%2 == 0 {
			continue
		}
		if err := w.giveBack(b, l.TID); err != nil {
			return err
		}
	}
	for range b.src.Loans() {
		if err := w.opExpire(b); err != nil {
			return err
		}
	}
	w.truth += day
	return nil
}
