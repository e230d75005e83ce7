package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/lares-drm/lares/security/trem/trembench"
)

// Bars of the transfer bench. Source: local (docs/performance.md).
const (
	minAppendsPerSync = 16        // of 64 writers
	minCrowdRate      = 6         // times the rate of one writer
	maxRecovery       = 1000      // ms, of 100,000 records
	maxLog            = 1_200_000 // bytes: the snapshot of 1,000 licenses, 1 MiB of growth and one batch, rounded up
)

// What the rows are named after.
const (
	crowd     = 64        // writers
	recovered = 100_000   // records
	plays     = 1_000_000 // of licenses:
	licenses  = 1000
)

const unitMillis = "ms"

func transferBench() Bench {
	return Bench{Name: "transfer", Short: "Keep what must not be lost: syncs of a move and of the vault, its size and recovery", Run: runTransfer}
}

// transferParts are what the bench measures, in the order of its rows. Each
// gets a folder of its own.
func transferParts() []transferPart {
	return []transferPart{
		vaultAppends,
		vaultRecovery,
		vaultSize,
		moveInSession,
		moveByLetter,
		loans,
	}
}

type transferPart func(ctx context.Context, cfg Config, dir string) ([]Row, error)

// runTransfer works in the working directory and not in that for temporary
// files, which may be memory, where a sync costs nothing.
func runTransfer(ctx context.Context, cfg Config) (rows []Row, err error) {
	dir, err := os.MkdirTemp(".", "lares-bench-*")
	if err != nil {
		return nil, fmt.Errorf("folder of the bench: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is small and named after the bench
	for i, part := range transferParts() {
		more, err := part(ctx, cfg, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func vaultIn(dir string) trembench.Vault {
	return trembench.Vault{Dir: dir, Now: time.Now} //nolint:forbidigo // who waits for a disk reads the clock on the wall
}

// vaultAppends lets one writer and 64 take turns, by the wall clock: what they
// wait for is the disk.
func vaultAppends(ctx context.Context, cfg Config, dir string) ([]Row, error) {
	rounds, turn := 7, 700*time.Millisecond
	switch {
	case cfg.Quick:
		rounds, turn = 1, 20*time.Millisecond
	case cfg.Full:
		rounds, turn = 15, 3*time.Second
	}
	var alone, many trembench.Appended // all turns
	var times, waits, crowded []float64
	for i := range rounds {
		one, err := vaultIn(filepath.Join(dir, fmt.Sprint("one", i))).Append(ctx, 1, turn)
		if err != nil {
			return nil, err
		}
		all, err := vaultIn(filepath.Join(dir, fmt.Sprint("all", i))).Append(ctx, crowd, turn)
		if err != nil {
			return nil, err
		}
		alone.Add(one)
		many.Add(all)
		times = append(times, all.Rate()/one.Rate())
		waits, crowded = append(waits, float64(one.Median)), append(crowded, float64(all.Median))
	}
	return []Row{
		Plain("vault: appends a sync, 1 writer", share(float64(alone.Appends)/float64(alone.Syncs)), "appends"),
		AtLeast("vault: appends a sync, 64 writers", share(float64(many.Appends)/float64(many.Syncs)), "appends", minAppendsPerSync),
		AtLeast("vault: rate of 64 writers against one", share(median(times)), unitTimes, minCrowdRate),
		Plain("vault: one append, 1 writer", micros(median(waits)), unitMicros),
		Plain("vault: one append, 64 writers", micros(median(crowded)), unitMicros),
	}, nil
}

func vaultRecovery(ctx context.Context, cfg Config, dir string) ([]Row, error) {
	rounds, n := 5, recovered
	if cfg.Quick {
		rounds, n = 1, recovered/100
	}
	least := time.Duration(math.MaxInt64) // whoever else uses the machine only makes it longer
	for i := range rounds {
		d, err := vaultIn(filepath.Join(dir, fmt.Sprint(i))).Recover(ctx, n)
		if err != nil {
			return nil, err
		}
		least = min(least, d)
	}
	return []Row{AtMost("vault: recovery of 100,000 records", share(least.Seconds()*1000), unitMillis, maxRecovery)}, nil
}

func vaultSize(ctx context.Context, cfg Config, dir string) ([]Row, error) {
	n := plays
	if cfg.Quick {
		n /= 100
	}
	p, err := vaultIn(dir).Play(ctx, n, licenses)
	if err != nil {
		return nil, err
	}
	return []Row{
		AtMost("vault: 1,000,000 plays, longest log", float64(p.Most), unitBytes, maxLog),
		Plain("vault: 1,000,000 plays, log at the end", float64(p.Bytes), unitBytes),
		Plain("vault: 1,000,000 plays, without syncs", float64(p.Took.Milliseconds()), unitMillis),
	}, nil
}
