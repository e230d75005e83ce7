package sim

import (
	"maps"
	"slices"
)

// durable holds the rule that only what is on the disk is sent: at this very
// moment a power cut would leave what the box has in memory.
func (w *World) durable(b *box) error {
	if w.cfg.Lenient || b.down {
		return nil
	}
	v, err := b.seen()
	if err != nil {
		return w.broken(Early, "%v", err)
	}
	ram, err := b.state()
	if err != nil {
		return err
	}
	if ram != v.state {
		return w.broken(Early, "box %d sends, and its disk does not say the same", b.index)
	}
	return nil
}

// check holds the promise after a step, for every way in which boxes that are
// down may come back.
func (w *World) check() error {
	worlds := [][]*view{make([]*view, len(w.boxes))}
	for i, b := range w.boxes {
		v, err := b.seen()
		if err != nil {
			return w.broken(Bricked, "%v", err)
		}
		if err := w.sameInRAM(b, v); err != nil {
			return err
		}
		also := v
		if b.down && !b.disk.clean() { // the power may still fail
			if also, err = b.look(b.disk.surely()); err != nil {
				return w.broken(Bricked, "box %d after a kill and a power cut: %v", i, err)
			}
		}
		for _, x := range worlds {
			x[i] = v
		}
		if also != v {
			for _, x := range slices.Clone(worlds) {
				y := slices.Clone(x)
				y[i] = also
				worlds = append(worlds, y)
			}
		}
	}
	for _, views := range worlds {
		if err := w.conserved(views); err != nil {
			return err
		}
	}
	if err := w.checkLoans(); err != nil {
		return err
	}
	return w.checkPlays()
}

// sameInRAM: between events, memory and disk say the same.
func (w *World) sameInRAM(b *box, v *view) error {
	if b.down {
		return nil
	}
	ram, err := b.state()
	if err != nil {
		return err
	}
	if ram != v.state && !w.cfg.Lenient {
		return w.broken(Early, "box %d acts on what is not on its disk", b.index)
	}
	return nil
}

// Balance is what became of a license's units.
type Balance struct {
	Issued uint64 // at the beginning, and by copies made
	Usable uint64
	Escrow uint64 // on the way and not arrived, or lent out
	Used   uint64 // plays that were charged, or copies that were made
}

// Sum is all that is accounted for.
func (b Balance) Sum() uint64 { return b.Usable + b.Escrow + b.Used }

// balance adds up a license's plays and copies over all boxes.
func (w *World) balance(views []*view, lic uint64) (plays, copies Balance) {
	plays.Issued, copies.Issued = w.issued[lic].Plays, w.issued[lic].Copies
	for _, v := range views {
		for a, h := range v.account.have {
			if a.License == lic {
				plays.Usable += h.Plays
				copies.Usable += h.Copies
			}
		}
		plays.Used += v.account.charged[lic] + v.account.spent[lic]
		plays.Issued += v.account.minted[lic]
		copies.Used += v.account.copied[lic]
		for tid, e := range v.account.held {
			if _, freed := views[w.byID(tid.Src)].account.freed[tid]; e.Asset.License == lic && !freed {
				plays.Usable += e.Units.Plays
				plays.Used += e.Played
				copies.Usable += e.Units.Copies
			}
		}
		for _, e := range v.account.lent {
			if e.Asset.License == lic {
				plays.Escrow += e.Units.Plays
				copies.Escrow += e.Units.Copies
			}
		}
		for tid, e := range v.account.escrow {
			if to := w.byID(tid.Dst); e.Asset.License == lic && !views[to].installed(tid) {
				plays.Escrow += e.Units.Plays
				copies.Escrow += e.Units.Copies
			}
		}
	}
	return plays, copies
}

// conserved: usable + escrow + used = issued, for every license.
func (w *World) conserved(views []*view) error {
	for _, lic := range slices.Sorted(maps.Keys(w.issued)) {
		plays, copies := w.balance(views, lic)
		for i, b := range []Balance{plays, copies} {
			if v := b.verdict(); v != 0 {
				return w.broken(v, "license %d: %d %s usable, %d in escrow, %d used, of %d", lic, b.Usable, []string{"plays", "copies"}[i], b.Escrow, b.Used, b.Issued)
			}
		}
	}
	for _, v := range views {
		for a := range v.account.have {
			if a.Gen > maxGeneration {
				return w.broken(Doubled, "a copy of generation %d of license %d", a.Gen, a.License)
			}
		}
	}
	return w.once(views[0])
}

func (b Balance) verdict() Verdict {
	switch {
	case b.Sum() > b.Issued:
		return Doubled
	case b.Sum() < b.Issued:
		return Missing
	}
	return 0
}

// once: no request has led to two transfers. The issuer's disk is asked.
func (w *World) once(issuer *view) error {
	if w.boxes[0].down {
		return nil // what it will have done is not yet certain
	}
	for _, e := range sortedEntries(issuer.account.escrow) {
		was, ok := w.answered[e.Request]
		if ok && was != e.TID {
			return w.broken(Doubled, "request %x was answered twice: %v and %v", e.Request[:8], was, e.TID)
		}
		w.answered[e.Request] = e.TID
	}
	return nil
}

// checkLoans: a lender and its borrower are never both able to play. It is the
// property of docs/model/lend.pml, in true time. Nor are the two sides of what an
// arbiter has released.
func (w *World) checkLoans() error {
	for _, b := range w.boxes {
		for _, l := range b.view.dst.Borrowed() {
			lender := w.boxes[w.byID(l.TID.Src)]
			if _, out := lender.view.account.lent[l.TID]; !out && !l.Returned && b.clock.alive(l.Until, w.truth, w.cfg.Mutant) {
				return w.broken(Doubled, "loan %v: both may play; it ends %d s from now", l.TID, (l.Until-w.truth)/second)
			}
		}
		for _, e := range sortedEntries(b.view.account.held) {
			if _, freed := w.boxes[w.byID(e.TID.Src)].view.account.freed[e.TID]; freed && w.awake(b, &b.view.life, e) {
				return w.broken(Doubled, "%v was released to its source, and may be played at its destination", e.TID)
			}
		}
	}
	return nil
}

// checkPlays: no film was shown that was not charged. One that was charged and
// not shown is a play that its owner lost to a power cut in that second.
func (w *World) checkPlays() error {
	for _, lic := range slices.Sorted(maps.Keys(w.shown)) {
		var charged uint64
		for _, b := range w.boxes {
			charged += b.view.account.charged[lic] + b.view.account.spent[lic]
			for tid, e := range b.view.account.held {
				if _, freed := w.boxes[w.byID(tid.Src)].view.account.freed[tid]; e.Asset.License == lic && !freed {
					charged += e.Played
				}
			}
			for tid, e := range b.view.account.lent {
				if e.Asset.License == lic {
					charged += w.boxes[w.byID(tid.Dst)].view.account.loans[tid].Played
				}
			}
		}
		if w.shown[lic] > charged {
			return w.broken(Doubled, "license %d was shown %d times and charged %d times", lic, w.shown[lic], charged)
		}
	}
	return nil
}

// Settle lets messages pass and nothing more go wrong, and holds the rest of
// the promise: every transfer ends, and everything is usable.
func (w *World) Settle() error {
	w.calm = true
	w.note("calm")
	for range 8 {
		if err := w.round(); err != nil {
			return err
		}
	}
	for _, b := range w.boxes {
		if err := w.opMerge(b); err != nil {
			return err
		}
		if open := b.src.Open(); len(open) > 0 {
			return w.broken(Stuck, "box %d: %v stays open", b.index, open[0])
		}
		for _, e := range sortedEntries(b.account.fresh) {
			if b.dst.Unconfirmed(e.TID) {
				return w.broken(Stuck, "box %d: %v stays unconfirmed", b.index, e.TID)
			}
		}
		if len(b.account.held) > 0 {
			return w.broken(Stuck, "box %d: %v stays held", b.index, sortedEntries(b.account.held)[0].TID)
		}
		if l := b.dst.Borrowed(); len(l) > 0 {
			return w.broken(Stuck, "box %d: loan %v stays", b.index, l[0].TID)
		}
		if len(b.src.Evidence())+len(b.dst.Evidence()) > 0 {
			return w.broken(Stuck, "box %d has evidence against an honest box", b.index)
		}
	}
	return w.check()
}

// maxTalk is how many messages one contact of everybody may take.
const maxTalk = 5000

// round is one contact of everybody with everybody.
func (w *World) round() error {
	for _, b := range w.boxes {
		b.clock = clock{secure: true, proven: w.truth}
		b.disk.disarm()
		if b.down {
			if err := w.boot(b); err != nil {
				return err
			}
		}
		if err := w.endLoans(b); err != nil {
			return err
		}
		for _, to := range w.boxes {
			if err := w.resend(b, to); err != nil {
				return err
			}
		}
		if err := w.opQuery(b); err != nil {
			return err
		}
		for n := 0; len(w.relay.waiting) > 0; n++ {
			if n > maxTalk {
				return w.broken(Stuck, "box %d and others talk without end", b.index)
			}
			l := w.relay.waiting[0]
			w.relay.drop(l)
			if err := w.deliver(l); err != nil {
				return err
			}
		}
	}
	return w.check()
}
