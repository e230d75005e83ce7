package transfer

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/ident"
)

// world is one state of the exhaustive test: two disks, and every message that
// was ever sent. A message may be delivered at any time, any number of times,
// or never: that is loss, repetition, reordering, delay and replay, as in
// docs/model/move.pml.
type world struct {
	disk [2][]Record
	msgs [2]map[string]bool // by receiver
	path string             // how it was reached, for failures
}

// explorer visits every state that can be reached within bounds.
type explorer struct {
	t       *testing.T
	parties [2]*party
	total   uint64
	seqs    [2]uint64 // transfers that each party may begin
	seen    map[[32]byte]bool
	ends    map[string]bool // states of the machines from which the end was reached
	queue   []*world
	steps   int
}

// load makes the parties be what the world's disks say.
func (x *explorer) load(w *world) {
	x.t.Helper()
	for i, p := range x.parties {
		p.disk = slices.Clone(w.disk[i])
		if err := p.boot(); err != nil {
			x.t.Fatalf("%s: replay: %v", w.path, err)
		}
	}
}

// act lets party i do something, and visits what follows: the process dies
// before its records are durable (nothing has happened), or after that and
// before it sends, or not at all.
func (x *explorer) act(w *world, i int, name string, do func(p, q *party) (effect, error)) {
	x.t.Helper()
	x.load(w)
	p, q := x.parties[i], x.parties[1-i]
	e, err := do(p, q)
	if err != nil {
		x.t.Fatalf("%s %s: %v", w.path, name, err)
	}
	if err := p.commit(e.recs); err != nil {
		x.t.Fatalf("%s %s: %v", w.path, name, err)
	}
	ram := p.state()
	if err := p.boot(); err != nil || p.state() != ram {
		x.t.Fatalf("%s %s: the replayed state differs: %v\n%s\n%s", w.path, name, err, ram, p.state())
	}
	disk := w.disk
	disk[i] = p.disk
	if len(e.recs) > 0 {
		x.visit(&world{disk: disk, msgs: w.msgs, path: w.path + " " + name + "!"})
	}
	msgs := w.msgs
	msgs[1-i] = maps.Clone(msgs[1-i])
	for _, m := range e.send {
		msgs[1-i][m] = true
	}
	x.visit(&world{disk: disk, msgs: msgs, path: w.path + " " + name})
}

// visit checks a new state and queues it.
func (x *explorer) visit(w *world) {
	x.t.Helper()
	x.steps++
	x.load(w)
	machines := x.parties[0].state() + x.parties[1].state()
	var key strings.Builder
	key.WriteString(machines)
	for i := range x.parties {
		key.WriteString("to")
		for _, m := range slices.Sorted(maps.Keys(w.msgs[i])) {
			key.WriteString(m)
		}
	}
	sum := sha256.Sum256([]byte(key.String()))
	if x.seen[sum] {
		return
	}
	x.seen[sum] = true
	if err := checkUnits(x.parties[0], x.parties[1], x.total); err != nil {
		x.t.Fatalf("%s: %v", w.path, err)
	}
	if !x.ends[machines] {
		x.ends[machines] = true
		if err := finish(x.parties[0], x.parties[1], x.total); err != nil {
			x.t.Fatalf("%s: %v", w.path, err)
		}
	}
	x.queue = append(x.queue, w)
}

func (x *explorer) run() {
	x.visit(&world{msgs: [2]map[string]bool{{}, {}}})
	for len(x.queue) > 0 {
		w := x.queue[0]
		x.queue = x.queue[1:]
		for i := range x.parties {
			x.expand(w, i)
		}
	}
}

func (x *explorer) expand(w *world, i int) {
	x.load(w)
	p, q := x.parties[i], x.parties[1-i]
	var last uint64
	if s := p.src.pairs[pairKey{q.id, p.inc}]; s != nil {
		last = s.last
	}
	open := p.src.Open()
	if p.usable > 0 && last < x.seqs[i] {
		for n := uint64(1); n <= p.usable; n++ {
			x.act(w, i, "move", func(p, q *party) (effect, error) { return p.prepare(q.id, n) })
			x.load(w)
		}
	}
	if len(open) > 0 {
		x.act(w, i, "resend", func(p, q *party) (effect, error) { return p.resend(q.id) })
	}
	for _, tid := range open {
		x.act(w, i, "cancel", func(p, _ *party) (e effect, err error) {
			c, recs, err := p.src.Cancel(tid)
			if err != nil {
				return e, err
			}
			e.recs = recs
			return e, e.add(c)
		})
	}
	for _, m := range slices.Sorted(maps.Keys(w.msgs[i])) {
		x.act(w, i, "get", func(p, q *party) (effect, error) { return p.receive(q, m, true) })
		if _, err := ParseXFER([]byte(m)); err == nil {
			x.act(w, i, "refuse", func(p, q *party) (effect, error) { return p.receive(q, m, false) })
		}
	}
}

// TestTransfer_2_EveryStateUnderFaults visits every state of the machines within bounds:
// each message lost, doubled or reordered, a crash of either side at every
// durable write, cancel and refusal at any time. The larger bounds take
// minutes and belong to `make faults N=10000` and more.
func TestTransfer_2_EveryStateUnderFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		units  uint64
		seqs   [2]uint64
		states int // how many there are; another number means that the machines changed
		faults int // size of the run from which on it is visited
	}{
		{"one unit, one transfer each way", 1, [2]uint64{1, 1}, 691, 0},
		{"two units, one transfer each way", 2, [2]uint64{1, 1}, 2025, 0},
		{"one unit, two transfers one way", 1, [2]uint64{2, 0}, 1935, 0},
		{"two units, two transfers one way", 2, [2]uint64{2, 0}, 19125, 10000},
		{"one unit, two transfers there, one back", 1, [2]uint64{2, 1}, 92259, 1000000},
	} {
		if tc.faults > faults(t) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			x := &explorer{t: t, total: tc.units, seqs: tc.seqs, seen: map[[32]byte]bool{}, ends: map[string]bool{}}
			x.parties = [2]*party{newParty(t, tc.units), newParty(t, 0)}
			if x.parties[0].id == (ident.Device{}) || x.parties[0].id == x.parties[1].id {
				t.Fatal("parties")
			}
			x.run()
			t.Logf("%d states, %d steps", len(x.seen), x.steps)
			if len(x.seen) != tc.states {
				t.Errorf("%d states, want %d", len(x.seen), tc.states)
			}
		})
	}
}
