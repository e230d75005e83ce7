package sim

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// Phases of docs/model/move.pml.
const (
	srcNone, srcEscrow, srcDone, srcAbort    = 0, 1, 2, 3
	destNone, destInst, destRef, destClosed_ = 0, 1, 2, 3
)

// item is what a step wants on the disk: records, and units in or out.
type item struct {
	recs  []transfer.Record
	units int
}

// half is a module's memory, or what a restart would make of its disk.
type half struct {
	src   *transfer.Source
	dst   *transfer.Destination
	units int
}

// replica is a node of the model, made of machines: the model's r_ is ram, its
// d_ is disk. What is sent is taken from the disk, as in the model.
type replica struct {
	*party
	ram, disk half
	log, wait []item
}

// replayer follows a trace of move.pml.
type replayer struct {
	t     *testing.T
	nodes [2]*replica
	nq    int
	units int // at node 0 in the beginning
	model map[string]int
	msgs  map[string][]byte // by the model's name of the bit
	at    string            // the step, for failures
}

// moves replays traces of move.pml of a size: nq transfers a pair, units issued.
func moves(nq, units int) func(*testing.T, []action) {
	return func(t *testing.T, steps []action) {
		t.Helper()
		r := &replayer{t: t, model: map[string]int{}, msgs: map[string][]byte{}, nq: nq, units: units}
		all := parties(t).all
		for i := range r.nodes {
			r.nodes[i] = &replica{party: all[i]}
		}
		for i, n := range r.nodes {
			n.disk, n.ram = r.restart(i, nil), r.restart(i, nil)
		}
		for i, a := range steps {
			r.at = fmt.Sprintf("step %d, %v", i+1, a)
			old := maps.Clone(r.model)
			maps.Copy(r.model, a.set)
			if a.who == "init 0" {
				continue
			}
			r.step(a, old)
			r.compare()
		}
	}
}

func (r *replayer) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%s: %v", r.at, err)
	}
}

func (r *replayer) restart(i int, log []item) half {
	h := half{src: transfer.NewSource(r.nodes[i].id, ident.Incarnation{byte(i) + 1}), dst: transfer.NewDestination(r.nodes[i].id)}
	if i == 0 {
		h.units = r.units
	}
	for _, it := range log {
		r.must(h.apply(it))
	}
	return h
}

func (h *half) apply(it item) error {
	for _, rec := range it.recs {
		if err := h.src.Replay(rec); err != nil {
			return err
		}
		if _, err := h.dst.Replay(rec); err != nil {
			return err
		}
	}
	h.units += it.units
	return nil
}

// want notes what a step wants on the disk of a node; its memory has it already.
func (n *replica) want(units int, recs []transfer.Record) {
	n.ram.units += units
	n.wait = append(n.wait, item{recs, units})
}

func (r *replayer) sync(i int) {
	n := r.nodes[i]
	for _, it := range n.wait {
		r.must(n.disk.apply(it))
	}
	n.log, n.wait = append(n.log, n.wait...), nil
}

func (r *replayer) step(a action, old map[string]int) {
	var pid int
	if _, err := fmt.Sscanf(a.who[strings.Index(a.who, " "):], "%d", &pid); err != nil {
		r.t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(a.who, "crash"):
		for i, n := range r.nodes {
			if r.crashed(i, old) {
				n.wait, n.ram = nil, r.restart(i, n.log)
			}
		}
		return
	case strings.HasPrefix(a.who, "sync"):
		r.sync(pid - 1)
		return
	case strings.HasPrefix(a.who, "play"):
		r.nodes[pid-1].want(-1, nil)
		r.sync(pid - 1)
		return
	}
	for name, v := range a.set {
		var t int
		if _, err := fmt.Sscanf(name[strings.Index(name, "["):], "[%d]", &t); err == nil {
			r.change(pid-1, name[:strings.Index(name, "[")], t, v, old)
		}
	}
}

// crashed: the crash was of this node, or makes no difference for it.
func (r *replayer) crashed(i int, old map[string]int) bool {
	for t := range r.nq * 4 {
		if src := t / (2 * r.nq); src == i && r.val("r_s", t) != r.val("d_s", t) {
			return false
		}
		if dst := t / r.nq % 2; dst == i && r.val("r_d", t) != r.val("d_d", t) {
			return false
		}
	}
	return r.val("r_u", i) == r.val("d_u", i) && old != nil
}

func (r *replayer) val(name string, i int) int { return r.model[fmt.Sprintf("%s[%d]", name, i)] }

// tid is the ID that the model's transfer t has.
func (r *replayer) tid(t int) ident.Transfer {
	src, dst := t/(2*r.nq), t/r.nq%2
	return ident.Transfer{Src: r.nodes[src].id, Dst: r.nodes[dst].id, Incarnation: ident.Incarnation{byte(src) + 1}, Seq: uint64(t%r.nq) + 1}
}

// change makes the machines do what the model did at node i.
func (r *replayer) change(i int, name string, t, v int, old map[string]int) {
	n, key := r.nodes[i], fmt.Sprintf("%s[%d]", name, t)
	switch name {
	case "m_xfer", "m_cancel", "m_done", "m_inst", "m_ref":
		r.say(n, name, t)
	case "r_s":
		switch v {
		case srcEscrow:
			body, err := transfer.Body{Op: transfer.OpMove, Chain: [][]byte{{1}}, Amounts: map[uint64]uint64{rightPlay: uint64(r.val("amt", t))}}.Encode() //nolint:gosec // a byte
			r.must(err)
			x, recs, err := n.ram.src.Prepare(transfer.Order{Dst: r.tid(t).Dst, Body: body})
			r.must(err)
			if x.TID != r.tid(t) {
				r.t.Fatalf("%s: the machine calls it %v, the model %v", r.at, x.TID, r.tid(t))
			}
			n.want(-r.val("amt", t), recs)
		case srcDone, srcAbort:
			out := r.hear(n, map[int]string{srcDone: "m_inst", srcAbort: "m_ref"}[v], t)
			if out.Committed != (v == srcDone) || out.Aborted != (v == srcAbort) {
				r.t.Fatalf("%s: %+v", r.at, out)
			}
			n.want(map[int]int{srcDone: 0, srcAbort: r.val("amt", t)}[v], out.Records)
		}
	case "r_d":
		switch v {
		case destInst:
			x, err := transfer.ParseXFER(r.msgs[fmt.Sprint("m_xfer", t)])
			r.must(err)
			res, err := n.ram.dst.Receive(x, func(*transfer.Body) error { return nil })
			r.must(err)
			if !res.New || !res.Installed {
				r.t.Fatalf("%s: %+v", r.at, res)
			}
			n.want(r.val("amt", t), res.Records)
		case destRef:
			c, err := transfer.ParseCancel(r.msgs[fmt.Sprint("m_cancel", t)])
			r.must(err)
			res, err := n.ram.dst.Cancel(c)
			r.must(err)
			if !res.New || res.Installed {
				r.t.Fatalf("%s: %+v", r.at, res)
			}
			n.want(0, res.Records)
		case destClosed_:
			for done := t; done < t-t%r.nq+r.nq; done++ { // of this or a later one
				if data := r.msgs[fmt.Sprint("m_done", done)]; data != nil && old[key] != destClosed_ {
					d, err := transfer.ParseDone(data)
					r.must(err)
					n.want(0, n.ram.dst.Done(d))
				}
			}
		}
	}
}

// say takes a message from what is on the disk of a node.
func (r *replayer) say(n *replica, name string, t int) {
	key := fmt.Sprint(name, t)
	var m message
	var err error
	switch name {
	case "m_xfer":
		m, err = n.disk.src.Answer(r.tid(t))
	case "m_done":
		if m, err = n.disk.src.Answer(r.tid(t)); err == nil && m.(transfer.Done).Low < r.tid(t).Seq { //nolint:errcheck,forcetypeassert // a failure of the test
			r.t.Fatalf("%s: %+v", r.at, m)
		}
	case "m_cancel": // a machine that has decided to cancel sends nothing else; the model's may
		other := r.restart(map[bool]int{true: 0, false: 1}[n == r.nodes[0]], n.log)
		m, _, err = other.src.Cancel(r.tid(t))
	default:
		var s transfer.Statement
		s, err = n.disk.dst.Query(r.tid(t))
		r.must(err)
		if want := map[string]transfer.Verdict{"m_inst": transfer.Installed, "m_ref": transfer.Refused}[name]; s.Verdict != want {
			r.t.Fatalf("%s: the machine says %v", r.at, s.Verdict)
		}
		r.msgs[key], err = transfer.SignReceipt(n.key, n.peer.Leaf(), s)
		r.must(err)
		return
	}
	r.must(err)
	if want := map[string]string{"m_xfer": "XFER", "m_done": "DONE", "m_cancel": "CANCEL"}[name]; kindOf(m) != want {
		r.t.Fatalf("%s: the machine sends %s", r.at, kindOf(m))
	}
	r.msgs[key], err = m.Encode()
	r.must(err)
}

// hear hands a receipt to a source.
func (r *replayer) hear(n *replica, name string, t int) transfer.Outcome {
	peer := r.nodes[t/r.nq%2].peer
	rec, err := transfer.ParseReceipt(r.msgs[fmt.Sprint(name, t)], peer)
	r.must(err)
	out, err := n.ram.src.Receipt(rec)
	r.must(err)
	return out
}

// compare holds the machines against the model's state.
func (r *replayer) compare() {
	r.t.Helper()
	for i, n := range r.nodes {
		for prefix, h := range map[string]*half{"r": &n.ram, "d": &n.disk} {
			if want := r.val(prefix+"_u", i); h.units != want {
				r.t.Fatalf("%s: node %d, %s: %d units, the model has %d", r.at, i, prefix, h.units, want)
			}
			for t := range r.nq * 4 {
				src, dst := t/(2*r.nq), t/r.nq%2
				if src == dst {
					continue
				}
				if src == i {
					r.same(prefix+"_s", t, h.phase(r.tid(t)), r.val(prefix+"_s", t))
				}
				if dst == i {
					r.sameDest(prefix+"_d", t, h.outcome(r.tid(t)))
				}
			}
		}
	}
}

func (r *replayer) same(name string, t, got, want int) {
	r.t.Helper()
	if want == srcAbort {
		want = srcDone // the units tell them apart
	}
	if got != want {
		r.t.Fatalf("%s: %s[%d] is %d, the model has %d", r.at, name, t, got, want)
	}
}

// sameDest: the machine may know earlier that the source has closed, because
// each of its messages says so.
func (r *replayer) sameDest(name string, t, got int) {
	r.t.Helper()
	want := r.val(name, t)
	early := got == destClosed_ && want != destNone && r.val("d_s", t) >= srcDone
	if got != want && !early {
		r.t.Fatalf("%s: %s[%d] is %d, the model has %d", r.at, name, t, got, want)
	}
}

func (h *half) phase(tid ident.Transfer) int {
	if _, err := h.src.Opened(tid); err == nil {
		return srcEscrow
	}
	if _, err := h.src.Answer(tid); err == nil {
		return srcDone
	}
	return srcNone
}

func (h *half) outcome(tid ident.Transfer) int {
	s, err := h.dst.Query(tid)
	switch {
	case err != nil:
		return destNone
	case s.Closed:
		return destClosed_
	case s.Verdict == transfer.Installed:
		return destInst
	}
	return destRef
}
