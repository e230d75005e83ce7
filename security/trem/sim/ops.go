package sim

import (
	"cmp"
	"errors"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// op is one thing that can happen at a box that is up. A new kind of operation
// is a line in ops.
type op struct {
	name   string
	weight int // of all that can happen, how often
	run    func(*World, *box) error
}

func ops() []op {
	return []op{
		{"move", 7, (*World).opMove},
		{"copy", 8, (*World).opCopy},
		{"allowance", 3, (*World).opAllowance},
		{"request", 4, (*World).opRequest},
		{"lend", 8, (*World).opLend},
		{"renew", 4, (*World).opRenew},
		{"play a loan", 6, (*World).opPlayLoan},
		{"give back", 2, (*World).opGiveBack},
		{"end a loan", 4, (*World).opExpire},
		{"time passes", 5, (*World).opLater},
		{"ask the time", 8, (*World).opAskTime},
		{"play", 4, (*World).opPlay},
		{"cancel", 4, (*World).opCancel},
		{"report", 6, (*World).opReport},
		{"show", 2, (*World).opShow},
		{"play what is held", 3, (*World).opPlayHeld},
		{"merge", 4, (*World).opMerge},
		{"resend", 8, (*World).opResend},
		{"query", 4, (*World).opQuery},
		{"deliver", 36, (*World).opDeliver},
		{"replay", 8, (*World).opReplay},
		{"lose", 6, (*World).opLose},
		{"compact", 3, (*World).opCompact},
		{"stop", 3, (*World).opStop},
		{"clock", 3, (*World).opClock},
		{"keep or restore", 2, (*World).opRestore},
	}
}

// other picks another box that is not the issuer.
func (w *World) other(b *box) *box {
	for {
		if o := w.boxes[1+w.rnd.IntN(len(w.boxes)-1)]; o != b {
			return o
		}
	}
}

// pick gives an asset of a box that is not the issuer.
func (w *World) pick(b *box) (asset, units, bool) {
	all := b.account.assets()
	if b.index == 0 || len(all) == 0 || len(w.boxes) < 3 {
		return asset{}, units{}, false
	}
	a := all[w.rnd.IntN(len(all))]
	return a, b.free(a), true
}

// opMove hands some units over, or all.
func (w *World) opMove(b *box) error {
	a, u, ok := w.pick(b)
	if !ok || u.Plays+u.Copies == 0 {
		return nil
	}
	whole := w.rnd.IntN(3) == 0
	if !whole {
		u = units{Plays: w.upTo(u.Plays), Copies: w.upTo(u.Copies) * w.rnd.Uint64N(2)}
		if u.Plays+u.Copies == 0 {
			return nil
		}
	}
	if whole && (u.Plays == 0 || u.Copies == 0) {
		whole = false // "all" is for what is there
	}
	return w.prepare(b, w.other(b), entry{Op: transfer.OpMove, Asset: a, Units: u}, whole, w.hold(), ident.Request{})
}

func (w *World) upTo(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	return 1 + w.rnd.Uint64N(n)
}

// hold is a hold_until, sometimes.
func (w *World) hold() *int64 {
	if w.rnd.IntN(3) > 0 {
		return nil
	}
	at := w.truth + w.rnd.Int64N(12*3600*second)
	return &at
}

// opCopy makes a copy: it costs one of the copies that may be made, and some
// of the others go along for the copy to be copied.
func (w *World) opCopy(b *box) error {
	a, u, ok := w.pick(b)
	if all := b.account.assets(); ok && w.rnd.IntN(2) == 0 { // rather a copy of a copy
		slices.SortFunc(all, func(x, y asset) int { return cmp.Compare(y.Gen, x.Gen) })
		a, u = all[0], b.free(all[0])
	}
	if !ok || u.Copies == 0 || a.Gen >= maxGeneration && w.cfg.Mutant != AnyGen {
		return nil
	}
	e := entry{Op: transfer.OpCopy, Asset: a, Units: units{Copies: w.upTo(u.Copies)}}
	if w.rnd.IntN(2) == 0 {
		e.Units.Copies = u.Copies
	}
	if a.Gen+1 == maxGeneration && w.cfg.Mutant != AnyGen {
		e.Units.Copies = 1
	}
	return w.prepare(b, w.other(b), e, false, nil, ident.Request{})
}

// opAllowance sets plays aside for a device.
func (w *World) opAllowance(b *box) error {
	a, u, ok := w.pick(b)
	if !ok || u.Plays == 0 {
		return nil
	}
	return w.prepare(b, w.other(b), entry{Op: transfer.OpAllowance, Asset: a, Units: units{Plays: w.upTo(u.Plays)}}, false, nil, ident.Request{})
}

// prepare is PREPARE: the debit and the record in one batch, and then the XFER.
func (w *World) prepare(b, to *box, e entry, whole bool, hold *int64, req ident.Request) error {
	body, err := e.body(whole, hold)
	if err != nil {
		return err
	}
	x, recs, err := b.src.Prepare(transfer.Order{Dst: to.id, Leaf: to.peer.Leaf(), Request: req, Body: body})
	if errors.Is(err, transfer.ErrFull) {
		return nil
	}
	if err != nil {
		return err
	}
	if e.What, e.TID, e.Request = entryDebit, x.TID, req; hold != nil {
		e.Hold = *hold
	}
	w.note("box %d hands over: %v of license %d.%d, %d plays, %d copies, to %d as %v", b.index, e.Op, e.Asset.License, e.Asset.Gen, e.Units.Plays, e.Units.Copies, to.index, x.TID)
	w.opened[x.TID] = w.step
	if w.cfg.Mutant == SendFirst {
		if err := w.post(b, x); err != nil || b.down {
			return err
		}
	}
	w.armSome(b)
	if err := w.settled(b, w.commit(b, recs, e)); err != nil || b.down {
		return err
	}
	if w.cfg.Mutant != SendFirst {
		if err := w.post(b, x); err != nil || b.down {
			return err
		}
	}
	if w.cfg.Mutant == EarlyDelete {
		return w.pretend(b, x.TID, transfer.Installed)
	}
	return nil
}

// pretend makes a source believe a receipt that nobody sent: what mutants do
// that take a right back, or give it up, of their own accord.
func (w *World) pretend(b *box, tid ident.Transfer, v transfer.Verdict) error {
	x, err := b.src.Answer(tid)
	if err != nil {
		return err
	}
	sent, ok := x.(*transfer.XFER)
	if !ok {
		return nil
	}
	s := transfer.Statement{TID: tid, Verdict: v, XferHash: sent.Hash()}
	if v == transfer.Refused {
		s.Reason = "WAITED"
	}
	l, err := w.sign(w.boxes[w.byID(tid.Dst)], s)
	if err != nil {
		return err
	}
	return w.receipt(b, w.boxes[w.byID(tid.Dst)], l)
}

// opPlay charges a play on the disk, and then shows the film.
func (w *World) opPlay(b *box) error {
	if w.cfg.Mutant == LendAndPlay && len(b.account.lent) > 0 {
		w.shown[sortedEntries(b.account.lent)[0].Asset.License]++
		return nil
	}
	all := b.account.assets()
	if b.index == 0 || len(all) == 0 {
		return nil
	}
	a := all[w.rnd.IntN(len(all))]
	if b.account.have[a].Plays == 0 {
		return nil
	}
	if w.cfg.Mutant == UseFirst {
		w.shown[a.License]++
	}
	w.armSome(b)
	if err := w.settled(b, w.commit(b, nil, entry{What: entryCharge, Asset: a, Units: units{Plays: 1}})); err != nil || b.down {
		return err
	}
	if w.cfg.Mutant != UseFirst {
		w.shown[a.License]++
	}
	w.note("box %d plays license %d.%d", b.index, a.License, a.Gen)
	return nil
}

// opCancel asks for an open transfer back.
func (w *World) opCancel(b *box) error {
	open := b.src.Open()
	if len(open) == 0 {
		return nil
	}
	tid := open[w.rnd.IntN(len(open))]
	if w.cfg.Mutant == Timeout && w.step-w.opened[tid] > w.patience {
		w.note("box %d has waited long enough for %v", b.index, tid)
		return w.pretend(b, tid, transfer.Refused)
	}
	m, recs, err := b.src.Cancel(tid)
	if err != nil {
		return err
	}
	w.note("box %d asks for %v back", b.index, tid)
	w.armSome(b)
	if err := w.settled(b, w.commit(b, recs)); err != nil || b.down {
		return err
	}
	return w.post(b, m)
}

// opResend is a contact: everything that is open is sent again.
func (w *World) opResend(b *box) error { return w.resend(b, w.boxes[w.rnd.IntN(len(w.boxes))]) }

func (w *World) resend(b, to *box) error {
	if w.cfg.Mutant == NoResend {
		return nil
	}
	for _, m := range b.src.Resend(to.id) {
		if err := w.post(b, m); err != nil || b.down {
			return err
		}
	}
	return w.passOn(b, to)
}

// opQuery asks the sources of what is unconfirmed, and the lenders of loans.
func (w *World) opQuery(b *box) error {
	var ask []message
	for _, e := range sortedEntries(b.account.fresh) {
		if b.dst.Unconfirmed(e.TID) {
			ask = append(ask, transfer.Query{TID: e.TID})
		}
	}
	for _, e := range sortedEntries(b.account.held) {
		if b.dst.Unconfirmed(e.TID) {
			ask = append(ask, transfer.Query{TID: e.TID})
		}
	}
	for _, l := range b.dst.Borrowed() {
		ask = append(ask, transfer.Query{TID: l.TID})
	}
	return w.post(b, ask...)
}

// opDeliver lets a letter arrive; it may stay with the relay to come again.
func (w *World) opDeliver(b *box) error {
	mine := slices.DeleteFunc(slices.Clone(w.relay.waiting), func(l *letter) bool { return l.to != b.index })
	if len(mine) == 0 {
		return nil
	}
	l := mine[0]
	if w.rnd.IntN(2) == 0 {
		l = mine[w.rnd.IntN(len(mine))]
	}
	if w.rnd.IntN(4) > 0 {
		w.relay.drop(l)
	}
	return w.deliver(l)
}

// opReplay brings back any message that was ever sent.
func (w *World) opReplay(b *box) error {
	if len(w.relay.kept) == 0 {
		return nil
	}
	l := w.relay.kept[w.rnd.IntN(len(w.relay.kept))]
	w.relay.drop(l)
	return w.deliver(l)
}

// opLose takes a letter out of the queue; the relay keeps it all the same.
func (w *World) opLose(*box) error {
	if len(w.relay.waiting) == 0 {
		return nil
	}
	l := w.relay.waiting[w.rnd.IntN(len(w.relay.waiting))]
	w.relay.drop(l)
	if l.arrivals == 0 {
		w.counts[Lost]++
		w.note("letter %d is lost", l.id)
	}
	return nil
}

// opCompact replaces the log by what it says.
func (w *World) opCompact(b *box) error {
	recs, err := b.snapshot()
	if err != nil {
		return err
	}
	if w.cfg.Mutant == LoseOpen {
		recs = slices.DeleteFunc(recs, func(r record) bool { return r.Kind == transfer.KindPrepare })
	}
	w.armSome(b)
	w.note("box %d compacts", b.index)
	return w.settled(b, b.vault.Compact(recs))
}

// opStop stops a box between two events.
func (w *World) opStop(b *box) error {
	b.disk.fired = []Plug{PlugKill, PlugPower}[w.rnd.IntN(2)]
	return w.stop(b)
}

// opClock lets somebody tamper with a clock: it is then not secure until time
// is proven again.
func (w *World) opClock(b *box) error {
	if b.clock.powerCut(); w.rnd.IntN(3) > 0 { // the owner sets it
		reach := []int64{day, 400 * day}[w.rnd.IntN(2)]
		b.clock.ahead = w.rnd.Int64N(2*reach) - reach
	}
	w.counts[ClockMoved]++
	w.note("the clock of box %d is now %d s ahead", b.index, b.clock.ahead/second)
	return nil
}

// opRestore lets the owner keep an image of the disk, or put an older one
// back. When something anchored is missing there, the box must not start with
// it; then the right one is put back.
func (w *World) opRestore(b *box) error {
	if b.nv == nil && w.cfg.Mutant != RollBack {
		return nil // without an anchor this doubles, and the documents say so
	}
	if b.image == nil || w.rnd.IntN(2) == 0 {
		b.image = b.disk.image()
		return nil
	}
	right := b.disk.image()
	b.disk.fired = PlugKill
	if err := w.stop(b); err != nil {
		return err
	}
	w.counts[Restored]++
	w.note("the owner of box %d puts an old disk there", b.index)
	b.disk.restore(b.image)
	if w.cfg.Mutant == RollBack {
		return nil
	}
	_, err := b.look(b.disk.cached())
	if err == nil {
		return nil // nothing anchored is missing: it goes on from there
	}
	if !errors.Is(err, vault.ErrRolledBack) {
		return w.broken(Bricked, "box %d with an old disk: %v", b.index, err)
	}
	b.disk.restore(right)
	return nil
}
