package lrp

import (
	"errors"
	"fmt"
	"time"
)

// MaxRoutes is how many addresses a relay knows the way to. Source: local,
// docs/spec/lrp.md section 9.
const MaxRoutes = 1024

// Next is where a relay passes a frame on to: a name that its host understands,
// such as a URL.
type Next string

// Relay decides what becomes of frames for others: it knows the way for some
// addresses, keeps a mailbox for others, and may have a way for the rest. It opens
// nothing and is not safe for concurrent use.
type Relay struct {
	Self    Addr     // frames for it are not the relay's
	Mailbox *Mailbox // nil: nothing is kept
	Default Next     // the way for addresses without one; empty: none
	ways    map[Addr]Next
	boxed   map[Addr]bool
}

// Step is what to do with a frame: pass Frame on to Next, or send Answer back. With
// neither the frame is the host's own.
type Step struct {
	Next   Next
	Frame  Frame // one hop further
	Answer []Frame
	Kept   *Kept // it waits in the mailbox, and Answer acknowledges it
}

// ErrRoutes is returned when a relay knows as many ways as it may.
var ErrRoutes = errors.New("lrp: too many routes")

// Route sets the way for an address; an empty one ends it.
func (r *Relay) Route(dst Addr, via Next) error {
	if via == "" {
		delete(r.ways, dst)
		return nil
	}
	if _, known := r.ways[dst]; !known && len(r.ways) >= MaxRoutes {
		return fmt.Errorf("%w: %d", ErrRoutes, MaxRoutes)
	}
	if r.ways == nil {
		r.ways = map[Addr]Next{}
	}
	r.ways[dst] = via
	return nil
}

// Box says whether frames for an address without a way are kept for it.
func (r *Relay) Box(dst Addr, keep bool) {
	if r.boxed == nil {
		r.boxed = map[Addr]bool{}
	}
	if delete(r.boxed, dst); keep {
		r.boxed[dst] = true
	}
}

// Handle decides what becomes of a frame that came at now.
func (r *Relay) Handle(f Frame, now time.Time) Step {
	if f.Dst == r.Self {
		return Step{}
	}
	via, known := r.ways[f.Dst]
	switch {
	case f.Src == f.Dst || f.Src == r.Self:
		return refuse(f, CodeUnknownDst)
	case !known && r.boxed[f.Dst] && r.Mailbox != nil:
		return r.keep(f, now)
	case !known:
		via = r.Default
	}
	if via == "" {
		return refuse(f, CodeUnknownDst)
	}
	g, code := Forward(f, now)
	if code != 0 {
		return refuse(f, code)
	}
	return Step{Next: via, Frame: g}
}

func (r *Relay) keep(f Frame, now time.Time) Step {
	switch {
	case expired(f, now) != 0:
		return refuse(f, CodeExpired)
	case f.Type == TypeAck || f.Type == TypeError || f.Type == TypeResume || f.Type == TypeHello:
		return refuse(f, CodeUnsupported) // they are between neighbors
	}
	k, err := r.Mailbox.Put(f, 0, now)
	switch {
	case errors.Is(err, ErrFull):
		return Step{Answer: []Frame{ErrorFrame(f, CodeFull, uint32(FullWait/time.Millisecond))}}
	case err != nil:
		return refuse(f, CodeInternal)
	}
	return Step{Answer: []Frame{Acknowledge(f)}, Kept: &k}
}

// Back is what a relay passes back of what a way answered to f: frames of that
// transaction, to its source, each one hop further. Anything else is dropped: a
// neighbor that lies cannot speak to others through the relay.
func Back(f Frame, answers []Frame, now time.Time) (out []Frame) {
	for _, a := range answers {
		if a.Dst != f.Src || a.Tx != f.Tx || len(out) == MaxFrames {
			continue
		}
		if g, code := Forward(a, now); code == 0 {
			out = append(out, g)
		}
	}
	return out
}

func refuse(f Frame, code Code) Step {
	if f.Type == TypeAck || f.Type == TypeError { // the end of something; an answer would loop
		return Step{Answer: []Frame{}}
	}
	return Step{Answer: []Frame{ErrorFrame(f, code, 0)}}
}
