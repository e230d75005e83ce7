package lrptest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Mischief says how often the relay does what, of 100 frames.
type Mischief struct {
	Drop      int // a frame, before it is carried
	Lose      int // an answer, after it was carried
	Delay     int // a frame comes later, after others, and its sender hears nothing
	Duplicate int // a frame is carried twice
	Reorder   int // answers change places
	Corrupt   int // a bit of a frame, or of an answer, is another
	Lie       int // an answer of the relay's own making comes, instead of or beside the true one
}

// All is everything at once, a tenth each.
func All() Mischief { return Mischief{10, 10, 10, 10, 10, 10, 10} }

// Relay is a relay that lies. It is an Exchanger before another one.
type Relay struct {
	To       lrp.Exchanger
	Mischief Mischief

	mu    sync.Mutex
	dice  *rand.Rand
	late  []lrp.Frame // that were delayed
	heard []lrp.Frame // answers of the past, to be told again
	Count map[string]int
}

// NewRelay returns one that does the same for the same seed and the same frames.
func NewRelay(seed uint64, to lrp.Exchanger, m Mischief) *Relay {
	return &Relay{To: to, Mischief: m, dice: rand.New(rand.NewPCG(seed, 0x6c7270)), Count: map[string]int{}} //nolint:gosec // it is to be predictable
}

func (r *Relay) throw(what string, percent int) bool {
	hit := r.dice.IntN(100) < percent
	if hit {
		r.Count[what]++
	}
	return hit
}

// Exchange carries a frame, or does something else.
func (r *Relay) Exchange(ctx context.Context, f lrp.Frame) ([]lrp.Frame, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(ctx)
	switch {
	case r.throw("drop", r.Mischief.Drop):
		return nil, fmt.Errorf("%w: the relay dropped it", lrp.ErrLost)
	case r.throw("delay", r.Mischief.Delay):
		r.late = append(r.late, f)
		return nil, fmt.Errorf("%w: the relay is slow", lrp.ErrLost)
	}
	sent := f
	if r.throw("corrupt", r.Mischief.Corrupt) {
		sent = r.damage(f)
	}
	if r.throw("duplicate", r.Mischief.Duplicate) {
		_, _ = r.To.Exchange(ctx, sent)
	}
	answers, err := r.To.Exchange(ctx, sent)
	if err != nil {
		return nil, err
	}
	r.heard = append(r.heard, answers...)
	r.heard = r.heard[max(0, len(r.heard)-32):]
	return r.back(f, answers)
}

// back does to the answers what the relay does to them.
func (r *Relay) back(f lrp.Frame, answers []lrp.Frame) ([]lrp.Frame, error) {
	if r.throw("lose", r.Mischief.Lose) {
		return nil, fmt.Errorf("%w: the relay lost the answer", lrp.ErrLost)
	}
	out := append([]lrp.Frame{}, answers...)
	if r.throw("reorder", r.Mischief.Reorder) {
		r.dice.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	if len(out) > 0 && r.throw("corrupt", r.Mischief.Corrupt) {
		i := r.dice.IntN(len(out))
		out[i] = r.damage(out[i])
	}
	if r.throw("lie", r.Mischief.Lie) {
		out = r.lie(f, out)
	}
	return out, nil
}

// lie makes an answer up.
func (r *Relay) lie(f lrp.Frame, out []lrp.Frame) []lrp.Frame {
	switch r.dice.IntN(5) {
	case 0:
		return []lrp.Frame{lrp.Acknowledge(f)} // as if it were kept
	case 1:
		return []lrp.Frame{lrp.ErrorFrame(f, lrp.Code(1+r.dice.IntN(12)), r.dice.Uint32())} //nolint:gosec // small
	case 2:
		if len(r.heard) > 0 { // what was said to another question
			return append(out, r.heard[r.dice.IntN(len(r.heard))])
		}
		return out
	case 3:
		if len(r.heard) > 0 { // and as if it were the answer to this one
			old := r.heard[r.dice.IntN(len(r.heard))]
			old.Tx, old.Dst, old.Src, old.Seq = f.Tx, f.Src, f.Dst, f.Seq
			return []lrp.Frame{old}
		}
		return nil
	default:
		for range 40 { // more than an answer may have
			out = append(out, lrp.Acknowledge(f))
		}
		return out
	}
}

// damage changes one bit of a frame's body, or of its head.
func (r *Relay) damage(f lrp.Frame) lrp.Frame {
	f.Body = bytes.Clone(f.Body)
	switch n := r.dice.IntN(10); {
	case n < 7 && len(f.Body) > 0:
		f.Body[r.dice.IntN(len(f.Body))] ^= 1 << r.dice.IntN(8)
	case n == 7:
		f.Src[r.dice.IntN(len(f.Src))] ^= 1
	case n == 8:
		f.Tx[r.dice.IntN(len(f.Tx))] ^= 1
	default:
		f.Seq += uint64(r.dice.IntN(3)) //nolint:gosec // small
	}
	return f
}

// release carries what was delayed, in another order than it came.
func (r *Relay) release(ctx context.Context) {
	if len(r.late) == 0 || r.dice.IntN(2) == 0 {
		return
	}
	i := r.dice.IntN(len(r.late))
	f := r.late[i]
	r.late = append(r.late[:i], r.late[i+1:]...)
	if answers, err := r.To.Exchange(ctx, f); err == nil {
		r.heard = append(r.heard, answers...)
	}
}
