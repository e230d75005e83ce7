package transfer

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// faults is the size of the run: LARES_FAULTS, which `make faults N=...` sets.
func faults(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("LARES_FAULTS"))
	if err != nil {
		return 1000
	}
	return n
}

// chaos is two parties, a network that keeps, loses, doubles and reorders, and
// a random number generator that decides what comes next.
type chaos struct {
	rnd     *rand.Rand
	parties [2]*party
	net     [2][]string // by receiver
	total   uint64
	faults  int
}

// do is one event at party i. The process may die before its records are
// durable, or after that and before it sends.
func (c *chaos) do(i int, act func(p, q *party) (effect, error)) error {
	p, q := c.parties[i], c.parties[1-i]
	e, err := act(p, q)
	if errors.Is(err, ErrFull) || errors.Is(err, ErrLater) {
		return nil
	}
	if err != nil {
		return err
	}
	crash := len(e.recs) > 0 && c.rnd.IntN(4) == 0
	if crash && c.rnd.IntN(2) == 0 {
		c.faults++
		return p.boot()
	}
	if err := p.commit(e.recs); err != nil {
		return err
	}
	if crash {
		c.faults++
		return p.boot()
	}
	for _, m := range e.send {
		for range c.rnd.IntN(3) { // lost, sent once, sent twice
			c.net[1-i] = append(c.net[1-i], m)
		}
	}
	if over := len(c.net[1-i]) - 300; over > 0 {
		c.net[1-i] = c.net[1-i][over:]
	}
	c.faults += len(e.send)
	return nil
}

func (c *chaos) step() error {
	i := c.rnd.IntN(2)
	p := c.parties[i]
	switch c.rnd.IntN(12) {
	case 0, 1:
		if p.usable == 0 {
			return nil
		}
		n := 1 + c.rnd.Uint64N(p.usable)
		if c.rnd.IntN(2) == 0 {
			n = 1
		}
		return c.do(i, func(p, q *party) (effect, error) { return p.prepare(q.id, n) })
	case 2:
		return c.do(i, func(p, q *party) (effect, error) { return p.resend(q.id) })
	case 3:
		return c.do(i, func(p, _ *party) (effect, error) { return p.queries() })
	case 4:
		return c.cancel(i)
	case 5:
		c.faults++
		return p.boot()
	case 6:
		return c.compact(p)
	}
	if len(c.net[i]) == 0 {
		return nil
	}
	at := c.rnd.IntN(len(c.net[i]))
	m := c.net[i][at]
	if c.rnd.IntN(2) == 0 {
		c.net[i] = append(c.net[i][:at:at], c.net[i][at+1:]...)
	}
	accept := c.rnd.IntN(5) > 0
	return c.do(i, func(p, q *party) (effect, error) { return p.receive(q, m, accept) })
}

func (c *chaos) cancel(i int) error {
	open := c.parties[i].src.Open()
	if len(open) == 0 {
		return nil
	}
	tid := open[c.rnd.IntN(len(open))]
	return c.do(i, func(p, _ *party) (e effect, err error) {
		m, recs, err := p.src.Cancel(tid)
		if err != nil {
			return e, err
		}
		e.recs = recs
		return e, e.add(m)
	})
}

// compact replaces a disk by its snapshot.
func (c *chaos) compact(p *party) error {
	before := p.state()
	s, err := p.src.Snapshot()
	if err != nil {
		return err
	}
	d, err := p.dst.Snapshot()
	if err != nil {
		return err
	}
	if len(s) > 255 || p.usable > 255 {
		return nil
	}
	p.disk = append([]Record{{Kind: kindBalance, Body: []byte{byte(p.usable), byte(len(s))}}}, append(s, d...)...)
	if err := p.boot(); err != nil {
		return err
	}
	if p.state() != before {
		return errors.New("compaction changed the state")
	}
	return nil
}

// TestTransfer_4_Faults: whatever is lost, doubled, reordered or cut off,
// nothing is lost or doubled, and when messages get through all ends well.
func TestTransfer_4_Faults(t *testing.T) {
	injected, moved := 0, uint64(0)
	for seed := uint64(1); injected < max(20000, faults(t)); seed++ {
		total := 1 + seed%200
		c := &chaos{rnd: rand.New(rand.NewPCG(seed, 62224)), total: total} //nolint:gosec // a test that must repeat
		c.parties = [2]*party{newParty(t, total), newParty(t, 0)}
		for range 400 {
			err := c.step()
			if err == nil {
				err = checkUnits(c.parties[0], c.parties[1], total)
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		for _, p := range c.parties {
			ram := p.state()
			if err := p.boot(); err != nil || p.state() != ram {
				t.Fatalf("seed %d: the replayed state differs: %v", seed, err)
			}
		}
		if err := finish(c.parties[0], c.parties[1], total); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		injected += c.faults
		for _, p := range c.parties {
			for _, s := range p.src.pairs {
				moved += s.last
			}
		}
	}
	t.Logf("%d faults, %d transfers, none lost, none doubled", injected, moved)
	if moved == 0 {
		t.Error("nothing was moved")
	}
}
