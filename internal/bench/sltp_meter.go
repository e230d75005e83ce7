package bench

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// side is one of two parties. In every flow the destination is the Initiator;
// in TLS it is the client.
type side uint8

const (
	initiator side = iota
	responder
)

func (s side) String() string { return [...]string{"initiator", "responder"}[s] }

// flow is what two parties do with each other, in steps that one side takes at
// a time. Each step is done for many sessions before the next, so that a clock
// of microseconds is read seldom enough, and the time of each side stands alone.
type flow struct {
	name  string
	begin func(n int) error // makes n sessions ready; not counted
	steps []step
	bytes func() int // on the wire, of one session of the last turn
	each  int        // times that a session does it in one turn; 0 is once
	gc    bool       // with the garbage collector on
}

type step struct {
	side side
	do   func(i int) error // for one session
}

// maxFlow is how many sessions a flow has at a time: below the bounds of an
// endpoint, above what makes reading the clock count. Source: local.
const maxFlow = 128

// series is for each name its figures, in ns, one for each round.
type series map[string][]float64

// of is the name of one side's figures of a flow.
func (f *flow) of(s side) string { return f.name + ": " + s.String() }

// flowTurn runs n sessions and gives the time of each side.
func (m meter) flowTurn(ctx context.Context, f *flow, n int) (took [2]time.Duration, err error) {
	if err := ctx.Err(); err != nil {
		return took, err
	}
	if err := f.begin(n); err != nil {
		return took, fmt.Errorf("%s: %w", f.name, err)
	}
	runtime.GC()
	if f.gc {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	for at, s := range f.steps {
		before, err := m.used()
		if err != nil {
			return took, err
		}
		for i := range n {
			if err := s.do(i); err != nil {
				return took, fmt.Errorf("%s: step %d: %w", f.name, at, err)
			}
		}
		after, err := m.used()
		if err != nil {
			return took, err
		}
		took[s.side] += after - before
	}
	return took, nil
}

// named is a kernel with the name of its row.
type named struct {
	name   string
	kernel Kernel
}

// sltpEffort cuts the turns shorter and takes more of them: what is held
// against a bar is a ratio, and its parts should be near each other in time.
func sltpEffort(cfg Config) effort {
	e := cfg.effort()
	e.rounds, e.turn = 2*e.rounds+1, max(e.turn/8, 100*time.Microsecond)
	return e
}

// gcPercent is what Go programs run with when nobody says otherwise.
const gcPercent = 100

// rounds measures flows and primitives in turns. The garbage collector is off
// in a turn, and everything is collected before it: into which side's step a
// collection would fall is chance. What each side leaves to it is counted, and
// some flows are measured with it too.
func (m meter) rounds(ctx context.Context, e effort, flows []*flow, prims []named) (series, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	out := series{}
	times := make([]int, len(prims))
	for i, p := range prims {
		var err error
		if times[i], err = m.calibrate(ctx, p.kernel, e.turn); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	sessions := make([]int, len(flows))
	for i, f := range flows {
		var err error
		if sessions[i], err = m.sessions(ctx, f, 4*e.turn); err != nil {
			return nil, err
		}
	}
	for range e.rounds {
		for i, f := range flows {
			took, err := m.flowTurn(ctx, f, sessions[i])
			if err != nil {
				return nil, err
			}
			for _, s := range []side{initiator, responder} {
				out[f.of(s)] = append(out[f.of(s)], float64(took[s])/float64(sessions[i]*max(f.each, 1)))
			}
		}
		for i, p := range prims {
			t, err := m.turn(ctx, p.kernel, times[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			out[p.name] = append(out[p.name], float64(t)/float64(times[i]))
		}
	}
	return out, nil
}

// garbage counts the bytes that each side of a flow allocates.
func (f *flow) garbage() (sum [2]float64, err error) {
	const n = 16 // sessions
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	if err := f.begin(n); err != nil {
		return sum, fmt.Errorf("%s: %w", f.name, err)
	}
	var before, after runtime.MemStats
	for at, s := range f.steps {
		runtime.ReadMemStats(&before)
		for i := range n {
			if err := s.do(i); err != nil {
				return sum, fmt.Errorf("%s: step %d: %w", f.name, at, err)
			}
		}
		runtime.ReadMemStats(&after)
		sum[s.side] += float64(after.TotalAlloc-before.TotalAlloc) / float64(n*max(f.each, 1))
	}
	return sum, nil
}

// sessions finds how many sessions take about one turn. It also warms up.
func (m meter) sessions(ctx context.Context, f *flow, want time.Duration) (int, error) {
	const few = 4
	took, err := m.flowTurn(ctx, f, few)
	if err != nil {
		return 0, err
	}
	one := max((took[initiator]+took[responder])/few, time.Microsecond)
	return min(max(few, int(want/one)), maxFlow), nil
}

// median of a name's figures.
func (s series) median(name string) float64 { return median(s[name]) }

// sum adds figures round by round.
func (s series) sum(names ...string) []float64 {
	var total []float64
	for _, name := range names {
		for i, v := range s[name] {
			if i >= len(total) {
				total = append(total, 0)
			}
			total[i] += v
		}
	}
	return total
}

// ratio is the median of the ratios of each round: a machine that is slow for a
// while slows both parts.
func ratio(part, whole []float64) float64 {
	var all []float64
	for i := range min(len(part), len(whole)) {
		all = append(all, part[i]/whole[i])
	}
	if len(all) == 0 {
		return 0
	}
	return median(all)
}
