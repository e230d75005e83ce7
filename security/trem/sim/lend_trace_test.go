package sim

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// tick is the model's unit of time, in ms.
const tick = 3600 * 1000

// lender follows a trace of lend.pml: A lends to B, may renew once, B may give
// back, and A has proven time.
type lender struct {
	t     *testing.T
	a, b  *party
	src   *transfer.Source
	dst   *transfer.Destination
	tid   ident.Transfer
	lends [3][]byte // by number
	rets  [3][]byte
	model map[string]int
	awake bool
	at    string
}

func replayLend(t *testing.T, steps []action) {
	t.Helper()
	all := parties(t).all
	l := &lender{t: t, a: all[0], b: all[1], awake: true, model: map[string]int{"awake": 1}}
	l.src, l.dst = transfer.NewSource(l.a.id, ident.Incarnation{1}), transfer.NewDestination(l.b.id)
	for i, x := range steps {
		l.at = fmt.Sprintf("step %d, %v", i+1, x)
		old := maps.Clone(l.model)
		maps.Copy(l.model, x.set)
		l.step(x, old)
		l.compare()
	}
}

func (l *lender) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("%s: %v", l.at, err)
	}
}

func (l *lender) step(x action, old map[string]int) {
	has := func(name string) bool { _, ok := x.set[name]; return ok }
	switch {
	case has("m_x1"):
		m, _, err := l.src.Lend(transfer.Loan{Dst: l.b.id, Child: ident.License{1}, Until: int64(l.model["x1T"]) * tick, Chain: [][]byte{{1}, {2}}, Bundle: []byte{1}})
		l.must(err)
		l.tid, l.awake = m.TID, false
		l.lends[1], err = m.Encode()
		l.must(err)
	case has("m_x2"):
		m, _, err := l.src.Renew(l.tid, int64(l.model["x2T"])*tick, [][]byte{{1}, {2}}, []byte{1})
		l.must(err)
		l.lends[2], err = m.Encode()
		l.must(err)
	case has("aout") && l.model["aout"] == 0:
		l.over(old)
	case has("bhas") && l.model["bhas"] == 1, has("bseq") && l.model["bhas"] == 1:
		if res := l.borrow(l.model["bseq"]); !res.New || !res.Installed || res.Return != nil {
			l.t.Fatalf("%s: %+v", l.at, res)
		}
	case has("bhas"):
		r, recs, err := l.dst.GiveBack(l.tid, 0)
		l.must(err)
		if len(recs) != 1 || r.Number != uint64(l.model["btomb"]) { //nolint:gosec // 1 or 2
			l.t.Fatalf("%s: %+v", l.at, r)
		}
		l.say(r)
	case has("ret2"): // the answer to a renewal of what was given back
		res := l.borrow(2)
		if res.Installed || res.Return == nil || res.Return.Number != 2 {
			l.t.Fatalf("%s: %+v", l.at, res)
		}
		l.say(*res.Return)
	}
}

// over ends the loan at A as the model did: by what was said, or by time. The
// model takes either where both would do.
func (l *lender) over(old map[string]int) {
	number := old["aseq"]
	if data := l.rets[number]; data != nil {
		r, err := transfer.ParseReturned(data, l.b.peer)
		l.must(err)
		out, _, err := l.src.Returned(r)
		l.must(err)
		l.awake = out.Aborted
		return
	}
	early, err := l.src.Expire(l.tid, int64(old["aT"])*tick-1, 0)
	if !errors.Is(err, transfer.ErrLater) {
		l.t.Fatalf("%s: 1 ms early: %+v, %v", l.at, early, err)
	}
	out, err := l.src.Expire(l.tid, int64(old["alo"])*tick, 0)
	l.must(err)
	l.awake = out.Expired
}

func (l *lender) borrow(number int) transfer.Result {
	m, err := transfer.ParseLend(l.lends[number])
	l.must(err)
	res, err := l.dst.Borrow(m, func(*transfer.Lend) error { return nil })
	l.must(err)
	return res
}

func (l *lender) say(r transfer.Return) {
	data, err := transfer.SignReturn(l.b.key, l.b.peer.Leaf(), r)
	l.must(err)
	l.rets[r.Number] = data
}

// compare holds the machines against the model's state, and the model against
// its property: never are both able to play.
func (l *lender) compare() {
	l.t.Helper()
	type state struct{ out, awake, number, until, has, end, tomb int }
	is := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	m := l.model
	got, want := state{awake: is(l.awake)}, state{m["aout"], m["awake"], 0, 0, m["bhas"], 0, m["btomb"]}
	if out := l.src.Loans(); len(out) > 0 {
		got.out, got.number, got.until = 1, int(out[0].Number), int(out[0].Until/tick) //nolint:gosec // 1 or 2
		want.number, want.until = m["aseq"], m["aT"]
	}
	if in := l.dst.Borrowed(); len(in) > 0 {
		got.has = is(!in[0].Returned)
		if got.end = int(in[0].Until / tick); in[0].Returned {
			got.tomb = int(in[0].Return.Number) //nolint:gosec // 1 or 2
		}
		want.end = m["bT"]
	}
	if got != want {
		l.t.Fatalf("%s: %+v, the model has %+v", l.at, got, want)
	}
	if l.awake && got.has == 1 && m["t"] < m["bT"] {
		l.t.Fatalf("%s: both may play", l.at)
	}
}
