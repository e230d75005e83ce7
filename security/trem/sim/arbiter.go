package sim

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/security/sltp/transfer"
)

// applyHold makes a change of what has a hold.
func (a *account) applyHold(e entry) error {
	h := a.held[e.TID]
	switch e.What {
	case entryRelease:
		out := a.escrow[e.TID]
		delete(a.escrow, e.TID)
		a.freed[e.TID] = e
		a.spent[out.Asset.License] += out.Units.Plays - e.Units.Plays
		a.add(out.Asset, e.Units)
	case entryDestroy:
		delete(a.held, e.TID)
	case entrySlept:
		if h.Units.Plays == 0 {
			return fmt.Errorf("sim: nothing is left of %v", e.TID)
		}
		h.Units.Plays--
		h.Played++
		a.held[e.TID] = h
	case entryMerge:
		delete(a.held, e.TID)
		a.charged[h.Asset.License] += h.Played
		a.add(h.Asset, h.Units)
	}
	return nil
}

// awake reports whether what is held may be played: its source has closed it,
// or it is proven that the hold is not over.
func (w *World) awake(b *box, l *life, e entry) bool {
	return !l.dst.Unconfirmed(e.TID) || b.clock.alive(e.Hold-transfer.HoldMargin, w.truth, w.cfg.Mutant)
}

// opPlayHeld plays what came with a hold.
func (w *World) opPlayHeld(b *box) error {
	for _, e := range sortedEntries(b.account.held) {
		if e.Units.Plays == 0 || !w.awake(b, &b.life, e) {
			continue
		}
		w.armSome(b)
		if err := w.settled(b, w.commit(b, nil, entry{What: entrySlept, TID: e.TID})); err != nil || b.down {
			return err
		}
		w.shown[e.Asset.License]++
		w.note("box %d plays %v, which has a hold", b.index, e.TID)
		return nil
	}
	return nil
}

// opMerge puts what is confirmed to the rest.
func (w *World) opMerge(b *box) error {
	for _, e := range sortedEntries(b.account.held) {
		if b.dst.Unconfirmed(e.TID) && w.cfg.Mutant != MergeHeld {
			continue
		}
		w.armSome(b)
		if err := w.settled(b, w.commit(b, nil, entry{What: entryMerge, TID: e.TID})); err != nil || b.down {
			return err
		}
	}
	return nil
}

// opReport says to the arbiter that the destination of something with a hold
// is lost. It may be a lie. Sometimes it is just the time at which that counts.
func (w *World) opReport(b *box) error {
	for _, e := range sortedEntries(b.account.escrow) {
		o, err := b.src.Opened(e.TID)
		if err != nil || e.Hold == 0 {
			continue
		}
		if due := e.Hold + transfer.ReleaseWait + second; w.rnd.IntN(6) == 0 && due > w.truth {
			w.truth = due
			w.boxes[0].clock.proven = due
		}
		w.relay.put(&letter{from: b.index, to: 0, kind: "LOST", tid: e.TID, data: o.Hash[:], report: &e})
		w.note("box %d says that the other side of %v is lost", b.index, e.TID)
		return nil
	}
	return nil
}

// opShow shows the arbiter what came, when its source is said to be lost.
func (w *World) opShow(b *box) error {
	for _, e := range sortedEntries(b.account.held) {
		s, err := b.dst.Query(e.TID)
		if err != nil || !b.dst.Unconfirmed(e.TID) {
			continue
		}
		data, err := w.sign(b, s)
		if err != nil {
			return err
		}
		return w.send(b, 0, "SHOWN", e.TID, data)
	}
	return nil
}

// arbitrate decides, once and for ever: RELEASE after the hold and a day of
// proven time, CONFIRM for who shows a receipt. What counts does not come back,
// since it could all have been watched.
func (w *World) arbitrate(b, from *box, l *letter) error {
	d, hold := transfer.Decision{TID: l.tid}, int64(0)
	if l.report != nil {
		d.XferHash, hold = [32]byte(l.data), l.report.Hold
		d.Regrant = map[uint64]uint64{rightPlay: 0, rightCopy: l.report.Units.Copies}
	} else {
		r, err := transfer.ParseReceipt(l.data, from.peer)
		if err != nil || !r.Installed() {
			return err
		}
		d.XferHash, d.Confirm = r.XferHash, true
	}
	now, arbiter := b.clock.proven, b.arbiter
	if w.cfg.Mutant == EarlyRelease {
		now += 400 * day
	}
	if w.cfg.Mutant == DecideTwice {
		arbiter = transfer.NewArbiter()
	}
	d, recs, err := arbiter.Decide(d, hold, now)
	if errors.Is(err, transfer.ErrLater) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.cfg.Mutant == DecideTwice {
		recs = nil
	}
	w.armSome(b)
	if err := w.settled(b, w.commit(b, recs)); err != nil || b.down {
		return err
	}
	data, err := transfer.SignDecision(b.key, b.peer.Leaf(), d)
	if err != nil {
		return err
	}
	if d.Confirm {
		return w.send(b, w.byID(d.TID.Dst), "CONFIRM", d.TID, data)
	}
	if w.cfg.Mutant == TellBoth {
		if err := w.send(b, w.byID(d.TID.Dst), "RELEASE", d.TID, data); err != nil {
			return err
		}
	}
	return w.send(b, w.byID(d.TID.Src), "RELEASE", d.TID, data) // who passes it on
}

// onRelease acts on RELEASE: at the source first, which then tells the destination.
func (w *World) onRelease(b *box, data []byte) error {
	d, err := transfer.ParseDecision(data, w.boxes[0].peer)
	if err != nil {
		return err
	}
	if d.TID.Dst == b.id {
		res, err := b.dst.Released(d)
		if err != nil {
			return err
		}
		var entries []entry
		if res.Destroyed {
			entries = append(entries, entry{What: entryDestroy, TID: d.TID})
		}
		return w.decided(b, res, entries...)
	}
	out, err := b.src.Release(d)
	if errors.Is(err, transfer.ErrUnknown) {
		return nil // it has ended otherwise
	}
	if err != nil {
		return err
	}
	if out.Aborted {
		w.note("box %d has %v back by RELEASE", b.index, d.TID)
		w.armSome(b)
		back := entry{What: entryRelease, TID: d.TID, Units: units{Copies: out.Regrant[rightCopy]}, Word: data}
		if err := w.settled(b, w.commit(b, out.Records, back)); err != nil || b.down {
			return err
		}
	}
	return w.passOn(b, w.boxes[w.byID(d.TID.Dst)])
}

// passOn tells a destination of what was released to this source.
func (w *World) passOn(b, to *box) error {
	for _, e := range sortedEntries(b.account.freed) {
		if o, err := b.src.Opened(e.TID); err != nil || !o.Released || e.TID.Dst != to.id {
			continue
		}
		if w.mayStop(b) {
			return nil
		}
		if err := w.send(b, to.index, "RELEASE", e.TID, e.Word); err != nil {
			return err
		}
	}
	return nil
}

// onConfirm acts on CONFIRM at the destination.
func (w *World) onConfirm(b *box, data []byte) error {
	d, err := transfer.ParseDecision(data, w.boxes[0].peer)
	if err != nil {
		return err
	}
	recs, err := b.dst.Confirm(d)
	if errors.Is(err, transfer.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	w.note("box %d keeps %v by CONFIRM", b.index, d.TID)
	w.armSome(b)
	return w.settled(b, w.commit(b, recs))
}
