package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lares-drm/lares/security/trem/trembench"
)

// Bars of the trem bench. Source: local (docs/performance.md).
const (
	minBoundary  = 0.85 // of the rate of the same module in the same process
	maxRoundTrip = 60   // µs, the median
	maxStart     = 150  // ms
	maxResident  = 40   // MB, the most
	maxSlices    = 365  // fsyncs an hour: a slice is 10 s; begin, the charge and end wait, too
	maxAnchored  = 4    // writes to the anchor an hour
)

const unitMB = "MB" // of 1,000,000 bytes

func tremBench() Bench {
	return Bench{Name: "trem", Short: "Play through the trusted module: what its process costs, and what an hour writes down", Run: runTREM}
}

// runTREM works in the working directory, as runTransfer does.
func runTREM(ctx context.Context, cfg Config) (rows []Row, err error) {
	if cfg.Start == nil {
		return nil, errors.New("nobody said how to start the module")
	}
	dir, err := os.MkdirTemp(".", "lares-bench-*")
	if err != nil {
		return nil, fmt.Errorf("folder of the bench: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is small and named after the bench
	if rows, err = tremSlices(ctx, filepath.Join(dir, "hour")); err != nil {
		return nil, err
	}
	p, err := tremHouse(filepath.Join(dir, "house")).Player(ctx)
	if err != nil {
		return nil, fmt.Errorf("make a player: %w", err)
	}
	defer p.Close() //nolint:errcheck // its folder goes with it
	for _, part := range []tremPart{tremStart, tremRoundTrip, tremDecrypt} {
		more, err := part(ctx, cfg, dir, p)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// tremPart measures a player whose module is not running.
type tremPart func(ctx context.Context, cfg Config, dir string, p *trembench.Player) ([]Row, error)

func tremHouse(dir string) trembench.House {
	return trembench.House{Dir: dir, Now: time.Now, CPU: cpuTime} //nolint:forbidigo // a module's commands wait for a disk
}

// tremSlices counts what an hour of play makes durable.
func tremSlices(ctx context.Context, dir string) ([]Row, error) {
	const size = 40_000 // bytes of a segment: what is counted does not depend on it
	counted, err := tremHouse(filepath.Join(dir, "counted")).Hour(ctx, "PLAY; PLAY_COUNT=2; INTERVAL=48h", size)
	if err != nil {
		return nil, fmt.Errorf("an hour of a rental: %w", err)
	}
	free, err := tremHouse(filepath.Join(dir, "free")).Hour(ctx, "PLAY", size)
	if err != nil {
		return nil, fmt.Errorf("an hour of a purchase: %w", err)
	}
	return []Row{
		AtMost("an hour of a rental: fsyncs", float64(counted.Syncs), unitSyncs, maxSlices),
		AtMost("an hour of a rental: anchor writes", float64(counted.Anchors), "writes", maxAnchored),
		Plain("an hour of a purchase: fsyncs", float64(free.Syncs), unitSyncs),
		Plain("an hour of a purchase: anchor writes", float64(free.Anchors), "writes"),
	}, nil
}

// tremStart is the time from nothing to the first answer of a module that is
// enrolled and holds a license, by the wall clock.
func tremStart(ctx context.Context, cfg Config, _ string, p *trembench.Player) ([]Row, error) {
	rounds := 11
	if cfg.Quick {
		rounds = 1
	}
	var took []float64
	for range rounds {
		from := time.Now() //nolint:forbidigo // who starts a module waits by the clock on the wall
		m, err := cfg.Start(p.Dir)
		if err != nil {
			return nil, err
		}
		s, err := m.Status(ctx)
		took = append(took, float64(time.Since(from))) //nolint:forbidigo // as above
		if err == nil && s.Licenses != 1 {
			err = fmt.Errorf("the module has %d licenses", s.Licenses)
		}
		if err := errors.Join(err, m.Stop()); err != nil {
			return nil, err
		}
	}
	return []Row{AtMost("start, to the first answer", round1(median(took)/1e6), unitMillis, maxStart)}, nil
}

// tremRoundTrip is what a host waits for the answer to a command, by the wall clock.
func tremRoundTrip(ctx context.Context, cfg Config, _ string, p *trembench.Player) (rows []Row, err error) {
	rounds := 5000
	if cfg.Quick {
		rounds = 50
	}
	m, err := cfg.Start(p.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Stop()) }()
	commands := []func() error{
		func() error { _, err := m.Status(ctx); return err },
		func() error { _, err := m.Evaluate(ctx, trembench.Watch()); return err },
	}
	took := make([][]float64, len(commands))
	for range rounds {
		for i, do := range commands { // they take turns
			from := time.Now() //nolint:forbidigo // a host waits by the clock on the wall
			if err := do(); err != nil {
				return nil, err
			}
			took[i] = append(took[i], float64(time.Since(from))) //nolint:forbidigo // as above
		}
	}
	for i, name := range []string{"STATUS", "EVALUATE"} {
		slices.Sort(took[i])
		rows = append(rows, AtMost(name+": round trip, median", micros(median(took[i])), unitMicros, maxRoundTrip),
			Plain(name+": round trip, 99 of 100", micros(took[i][len(took[i])*99/100]), unitMicros))
	}
	return rows, nil
}

func round1(x float64) float64 { return math.Round(x*10) / 10 }
