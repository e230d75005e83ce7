package sim

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

type record = vault.Record

// byID finds a box.
func (w *World) byID(id ident.Device) int {
	for _, b := range w.boxes {
		if b.id == id {
			return b.index
		}
	}
	return -1
}

// tidOf is the transfer that a message speaks of.
func tidOf(m message) (ident.Transfer, error) {
	switch m := m.(type) {
	case *transfer.XFER:
		return m.TID, nil
	case *transfer.Lend:
		return m.TID, nil
	case transfer.Done:
		return m.TID, nil
	case transfer.Cancel:
		return m.TID, nil
	case transfer.Query:
		return m.TID, nil
	}
	return ident.Transfer{}, fmt.Errorf("sim: message %T", m)
}

// receive acts on a letter as a module does: the machine, the disk, and only
// then an answer.
func (w *World) receive(b *box, l *letter) error {
	from := w.boxes[l.from]
	switch l.kind {
	case "XFER":
		x, err := transfer.ParseXFER(l.data)
		if err != nil {
			return err
		}
		return w.onXFER(b, x)
	case "CANCEL":
		c, err := transfer.ParseCancel(l.data)
		if err != nil {
			return err
		}
		return w.onCancel(b, c)
	case "DONE":
		d, err := transfer.ParseDone(l.data)
		if err != nil {
			return err
		}
		return w.onDone(b, d)
	case "LEND":
		m, err := transfer.ParseLend(l.data)
		if err != nil {
			return err
		}
		return w.onLend(b, m)
	case "LOST", "SHOWN":
		return w.arbitrate(b, from, l)
	case "RELEASE":
		return w.onRelease(b, l.data)
	case "CONFIRM":
		return w.onConfirm(b, l.data)
	case "RETURNED":
		return w.onReturned(b, from, l.data)
	case "QUERY":
		q, err := transfer.ParseQuery(l.data)
		if err != nil {
			return err
		}
		return w.onQuery(b, q)
	}
	return w.receipt(b, from, l.data)
}

// judge is what a destination asks before it installs.
func (w *World) judge(b *box) func(*transfer.Body) error {
	refuse := !w.calm && w.rnd.IntN(12) == 0
	return func(body *transfer.Body) error {
		if body.HoldUntil != nil {
			yes, later := b.clock.mayInstall(*body.HoldUntil, w.truth)
			if later {
				return transfer.ErrLater
			}
			if !yes {
				return &transfer.RefusedError{Reason: "HOLD_OVER"}
			}
		}
		if refuse {
			w.counts[Rejected]++
			return &transfer.RefusedError{Reason: "FULL"}
		}
		var c contents
		if err := unmarshal(body.State, &c); err != nil {
			return err
		}
		if body.Op == transfer.OpCopy && c.Asset.Gen >= maxGeneration && w.cfg.Mutant != AnyGen {
			return &transfer.RefusedError{Reason: "GENERATION"}
		}
		return nil
	}
}

func (w *World) onXFER(b *box, x *transfer.XFER) error {
	res, err := b.dst.Receive(x, w.judge(b))
	if errors.Is(err, transfer.ErrLater) || errors.Is(err, transfer.ErrDropped) || errors.Is(err, transfer.ErrFull) {
		return nil
	}
	if err != nil {
		return err
	}
	if res.Quarantined {
		return w.broken(Doubled, "box %d has two bodies of %v", b.index, x.TID)
	}
	var entries []entry
	if again := w.cfg.Mutant == NoDedup && !res.New && res.Body != nil && !res.Receipt.Closed; res.Installed && (res.New || again) {
		e, err := entryOf(x.TID, res.Body)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	return w.decided(b, res, entries...)
}

// decided commits what a destination decided, and sends its receipt.
func (w *World) decided(b *box, res transfer.Result, entries ...entry) error {
	if w.cfg.Mutant == SendFirst {
		if err := w.answer(b, res.Receipt); err != nil || b.down {
			return err
		}
	}
	w.armSome(b)
	if err := w.settled(b, w.commit(b, res.Records, entries...)); err != nil || b.down {
		return err
	}
	if w.cfg.Mutant == SendFirst {
		return nil
	}
	return w.answer(b, res.Receipt)
}

// answer signs a statement and sends it to the source.
func (w *World) answer(b *box, s transfer.Statement) error {
	if w.mayStop(b) {
		return nil
	}
	data, err := w.sign(b, s)
	if err != nil {
		return err
	}
	kind := "RECEIPT " + s.Verdict.String()
	if s.Closed {
		kind = "CLOSED " + s.Verdict.String()
	}
	return w.send(b, w.byID(s.TID.Src), kind, s.TID, data)
}

// sign gives the same bytes for the same statement.
func (w *World) sign(b *box, s transfer.Statement) ([]byte, error) {
	return transfer.SignReceipt(b.key, b.peer.Leaf(), s)
}

func (w *World) onCancel(b *box, c transfer.Cancel) error {
	res, err := b.dst.Cancel(c)
	if errors.Is(err, transfer.ErrDropped) || errors.Is(err, transfer.ErrFull) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.cfg.Mutant == NoTombstone && res.Receipt.Verdict == transfer.Refused && len(res.Records) > 0 {
		if err := w.answer(b, res.Receipt); err != nil || b.down {
			return err
		}
		return w.boot(b) // it has forgotten
	}
	if err := w.decided(b, res); err != nil || b.down {
		return err
	}
	return w.recalled(b, c.TID, res)
}

func (w *World) onDone(b *box, d transfer.Done) error {
	recs := b.dst.Done(d)
	w.armSome(b)
	if err := w.settled(b, w.commit(b, recs)); err != nil || b.down || w.cfg.Mutant != Forget {
		return err
	}
	all, err := b.snapshot()
	if err != nil {
		return err
	}
	keep := all[:0:0]
	for _, r := range all {
		if r.Kind != transfer.KindDestPair {
			keep = append(keep, r)
		}
	}
	if err := w.settled(b, b.vault.Compact(keep)); err != nil || b.down {
		return err
	}
	return w.boot(b)
}

func (w *World) onQuery(b *box, q transfer.Query) error {
	if q.TID.Dst == b.id {
		s, err := b.dst.Query(q.TID)
		if errors.Is(err, transfer.ErrUnknown) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.answer(b, s)
	}
	m, err := b.src.Answer(q.TID)
	if errors.Is(err, transfer.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.post(b, m)
}

// receipt acts on a RECEIPT or CLOSED of a box.
func (w *World) receipt(b, from *box, data []byte) error {
	r, err := transfer.ParseReceipt(data, from.peer)
	if err != nil {
		return err
	}
	out, err := b.src.Receipt(r)
	if errors.Is(err, transfer.ErrUnknown) || errors.Is(err, transfer.ErrNeedsRelease) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.cfg.Mutant == DoneFirst && !out.Quarantined && out.Done.TID.Seq > 0 {
		if err := w.post(b, out.Done); err != nil || b.down {
			return err
		}
	}
	var entries []entry
	if out.Done.TID.Seq == 0 && !out.Quarantined {
		return nil // of a loan: it is noted, and changes nothing
	}
	if out.Loan != (ident.License{}) {
		entries = append(entries, entry{What: entryLoanEnd, TID: out.TID})
	} else if e := b.account.escrow[out.TID]; out.Committed || out.Aborted {
		e.What = entryCommit
		if out.Aborted {
			e.What = entryAbort
		}
		entries = append(entries, e)
	}
	if out.Quarantined {
		w.note("box %d has a receipt that contradicts %v", b.index, out.TID)
	}
	w.armSome(b)
	if err := w.settled(b, w.commit(b, out.Records, entries...)); err != nil || b.down || out.Quarantined || w.cfg.Mutant == DoneFirst {
		return err
	}
	if w.cfg.Mutant == HighLow {
		out.Done.Low = max(out.Done.Low, w.lastSeq(b, out.TID))
	}
	return w.post(b, out.Done)
}

// lastSeq is the highest number that a box has used in a pair.
func (w *World) lastSeq(b *box, tid ident.Transfer) uint64 {
	last := tid.Seq
	for open := range b.account.escrow {
		if open.Dst == tid.Dst && open.Incarnation == tid.Incarnation {
			last = max(last, open.Seq)
		}
	}
	return last
}
