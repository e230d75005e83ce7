package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Kernel does the thing that a row measures n times, and nothing else that
// takes time. An error means that it did not do what the row says.
type Kernel func(n int) error

// effort is how much is measured.
type effort struct {
	rounds int           // turns of each kernel, odd, at least five
	turn   time.Duration // CPU time of one turn
	counts int           // operations over which allocations are averaged
}

// effort of a Config. Source: local; the default form of ten kernels takes some
// ten seconds, the long one some minutes.
func (c Config) effort() effort {
	switch {
	case c.Quick:
		return effort{rounds: 5, turn: 200 * time.Microsecond, counts: 10}
	case c.Full:
		return effort{rounds: 21, turn: time.Second, counts: 10_000}
	}
	return effort{rounds: 7, turn: 100 * time.Millisecond, counts: 1000}
}

// CPU measures kernels in turns and gives for each the median CPU time of one
// operation, in ns.
func CPU(ctx context.Context, cfg Config, kernels ...Kernel) ([]float64, error) {
	return meter{cpuTime}.run(ctx, cfg.effort(), kernels)
}

// meter measures with a clock of CPU time.
type meter struct {
	used func() (time.Duration, error) // so far
}

// run gives the median of each kernel's turns.
func (m meter) run(ctx context.Context, e effort, kernels []Kernel) ([]float64, error) {
	turns, err := m.turns(ctx, e, kernels)
	if err != nil {
		return nil, err
	}
	medians := make([]float64, len(kernels))
	for i := range turns {
		medians[i] = median(turns[i])
	}
	return medians, nil
}

// turns gives for each kernel the time of one operation in each of its turns, in ns.
func (m meter) turns(ctx context.Context, e effort, kernels []Kernel) ([][]float64, error) {
	n := make([]int, len(kernels))
	all := make([][]float64, len(kernels))
	for i, k := range kernels {
		var err error
		if n[i], err = m.calibrate(ctx, k, e.turn); err != nil {
			return nil, fmt.Errorf("kernel %d: %w", i, err)
		}
	}
	for range e.rounds {
		for i, k := range kernels {
			t, err := m.turn(ctx, k, n[i])
			if err != nil {
				return nil, fmt.Errorf("kernel %d: %w", i, err)
			}
			all[i] = append(all[i], float64(t)/float64(n[i]))
		}
	}
	return all, nil
}

// calibrate finds how many operations take about one turn: it grows until a
// tenth of a turn is measured, and scales from there. It also warms up.
func (m meter) calibrate(ctx context.Context, k Kernel, want time.Duration) (int, error) {
	for n := 1; ; n *= 4 {
		t, err := m.turn(ctx, k, n)
		if err != nil {
			return 0, err
		}
		if t >= want/10 {
			return max(1, int(float64(n)*float64(want)/float64(t))), nil
		}
	}
}

// turn is the CPU time of n operations. The garbage of the kernel before is
// collected first, its own inside the turn counts.
func (m meter) turn(ctx context.Context, k Kernel, n int) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	runtime.GC()
	before, err := m.used()
	if err != nil {
		return 0, err
	}
	if err := k(n); err != nil {
		return 0, err
	}
	after, err := m.used()
	return after - before, err
}

// cpuTime is the CPU time of this process so far.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// Allocs counts the allocations of one operation, once the kernel is warm. Like
// testing.AllocsPerRun it gives a whole number, so that a stray allocation of
// the runtime does not count.
func Allocs(cfg Config, k Kernel) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else runs and allocates
	if err := k(1); err != nil {
		return 0, err
	}
	n := cfg.effort().counts
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := k(n); err != nil {
		return 0, err
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / uint64(n)), nil //nolint:gosec // a small positive number
}
