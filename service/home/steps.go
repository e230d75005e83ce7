package home

import (
	"context"
	"fmt"
	"strconv"

	"github.com/lares-drm/lares/security/revocation"
)

// Limits of the steps between revocation states that a house keeps. Source:
// docs/spec/home-api.md.
const (
	maxSteps     = 64
	maxStepBytes = 8 << 20 // of all together
)

// step leads from one epoch to a later one. Nobody signs it: the module that takes
// it sees by the head whether it does.
type step struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	Copy Copy   `json:"copy"`
}

// steps are those that the house keeps, oldest first.
type steps []step

func (s steps) find(from, to uint64) (Copy, bool) {
	for _, k := range s {
		if k.From == from && k.To == to {
			return k.Copy, true
		}
	}
	return Copy{}, false
}

// with is s and one more step, in the place of the oldest where there is no room.
func (s steps) with(more step) steps {
	out, size := steps{more}, len(more.Copy.Body)
	for i := len(s) - 1; i >= 0 && len(out) < maxSteps; i-- {
		if size += len(s[i].Copy.Body); size > maxStepBytes {
			break
		}
		out = append(steps{s[i]}, out...)
	}
	return out
}

// Delta is the step between two epochs, in decimal digits. The authority is asked
// for one that is not kept; ErrAway while there is none to be had, and then the
// snapshot does.
func (r *Relay) Delta(ctx context.Context, from, to string) (Copy, error) {
	a, err1 := strconv.ParseUint(from, 10, 64)
	b, err2 := strconv.ParseUint(to, 10, 64)
	if err1 != nil || err2 != nil || a >= b {
		return Copy{}, fmt.Errorf("step of the revocation state: %w", ErrUnknown)
	}
	r.mu.Lock()
	c, ok := r.step.find(a, b)
	newest := r.newest()
	r.mu.Unlock()
	if ok {
		return c, nil
	}
	if b != newest { // a device that reads our head asks for no other
		return Copy{}, fmt.Errorf("%w: another epoch is kept", ErrAway)
	}
	return r.fetchStep(ctx, a, b)
}

// newest is the epoch that is kept, 0 before the first.
func (r *Relay) newest() uint64 {
	h, err := revocation.ParseHead(r.kept[PathHead].Body)
	if err != nil {
		return 0
	}
	return h.Epoch.Number
}

// keepStep fetches the step from the head that is kept to a newer one, for the
// devices that have that. Without it they take the snapshot.
func (r *Relay) keepStep(ctx context.Context, head Copy) {
	h, err := revocation.ParseHead(head.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	from := r.newest()
	r.mu.Unlock()
	if 0 < from && from < h.Epoch.Number {
		_, _ = r.fetchStep(ctx, from, h.Epoch.Number) // the state does without
	}
}

func (r *Relay) fetchStep(ctx context.Context, from, to uint64) (Copy, error) {
	c, err := r.fetch(ctx, fmt.Sprintf("%s/%d/%d", PathDelta, from, to))
	if err != nil {
		return Copy{}, err
	}
	if len(c.Body) > revocation.MaxDelta {
		return Copy{}, fmt.Errorf("%w: a step of %d bytes", ErrAway, len(c.Body))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.step.find(from, to); ok {
		return c, nil
	}
	r.step = r.step.with(step{From: from, To: to, Copy: c})
	if err := save(r.dir, stepsFile, r.step); err != nil {
		return Copy{}, err
	}
	return c, nil
}
