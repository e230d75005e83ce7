package sim

import (
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// maxKept is how many messages the relay keeps of those that were ever sent,
// and maxWaiting how many of those have not arrived.
const (
	maxKept    = 400
	maxWaiting = 120
)

// letter is a message on the way: the relay knows from whom to whom, and may
// do anything with it but change it.
type letter struct {
	id       int
	from, to int
	data     []byte
	request  *request // a request for a license; nil: data
	report   *entry   // with LOST: what is reported
	kind     string   // for people
	tid      ident.Transfer
	arrivals int
}

// relay keeps every message.
type relay struct {
	next    int
	waiting []*letter
	kept    []*letter
}

func (r *relay) put(l *letter) {
	r.next++
	l.id = r.next
	r.waiting = append(r.waiting, l)
	r.kept = append(r.kept, l)
	if len(r.kept) > maxKept {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
}

func (r *relay) drop(l *letter) {
	r.waiting = slices.DeleteFunc(r.waiting, func(x *letter) bool { return x == l })
}

// message is what a machine sends.
type message interface{ Encode() ([]byte, error) }

// kindOf names a message.
func kindOf(m message) string {
	switch m.(type) {
	case *transfer.XFER:
		return "XFER"
	case *transfer.Lend:
		return "LEND"
	case transfer.Done:
		return "DONE"
	case transfer.Cancel:
		return "CANCEL"
	case transfer.Query:
		return "QUERY"
	}
	return "?"
}

// send puts a message on the relay. The promise is that its cause is durable.
func (w *World) send(from *box, to int, kind string, tid ident.Transfer, data []byte) error {
	l := &letter{from: from.index, to: to, data: data, kind: kind, tid: tid}
	w.relay.put(l)
	w.note("box %d sends %s to %d (letter %d)", from.index, kind, to, l.id)
	if len(w.relay.waiting) > maxWaiting {
		old := w.relay.waiting[w.rnd.IntN(len(w.relay.waiting))]
		w.relay.drop(old)
		if old.arrivals == 0 {
			w.counts[Lost]++
		}
	}
	return w.durable(from)
}

// post sends machines' messages. The box may stop between two of them.
func (w *World) post(from *box, msgs ...message) error {
	for _, m := range msgs {
		if w.mayStop(from) {
			return nil
		}
		data, err := m.Encode()
		if err != nil {
			return err
		}
		tid, err := tidOf(m)
		if err != nil {
			return err
		}
		to := tid.Dst
		if to == from.id {
			to = tid.Src
		}
		if err := w.send(from, w.byID(to), kindOf(m), tid, data); err != nil {
			return err
		}
	}
	return nil
}

// mayStop stops a box between two messages, sometimes.
func (w *World) mayStop(b *box) bool {
	if b.down {
		return true
	}
	if w.calm || w.rnd.IntN(25) > 0 {
		return false
	}
	b.disk.fired = []Plug{PlugKill, PlugPower}[w.rnd.IntN(2)]
	_ = w.stop(b) // never fails
	return true
}

// deliver hands a letter to its box, which acts on it. What the relay does to
// letters is counted.
func (w *World) deliver(l *letter) error {
	b := w.boxes[l.to]
	if b.down {
		return nil
	}
	if l.arrivals > 0 {
		w.counts[Again]++
	}
	if slices.ContainsFunc(w.relay.waiting, func(x *letter) bool { return x.to == l.to && x.id < l.id && x.arrivals == 0 }) {
		w.counts[Reordered]++
	}
	l.arrivals++
	w.note("box %d gets %s (letter %d)", b.index, l.kind, l.id)
	if l.request != nil {
		return w.issue(b, l)
	}
	return w.receive(b, l)
}
