package bench

import (
	"context"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/lares-drm/lares/security/trem/trembench"
)

// Bars of a hand-over, in syncs of its critical path. Source: shared transfer
// design, sections 3 and 4.
const (
	maxMoveSource = 2 // PREPARE, COMMIT
	maxMoveDest   = 1 // INSTALL
	maxLoanSide   = 1 // LEND and INSTALL; RETURN and HELD
)

const (
	unitSyncs    = "syncs"
	unitBatches  = "batches"
	unitMessages = "messages"
)

// handOvers does a hand-over some times in a house of its own.
type handOvers func(h trembench.House, ctx context.Context, n int) ([]trembench.Handed, error)

func moveInSession(ctx context.Context, cfg Config, dir string) ([]Row, error) {
	return moves(ctx, cfg, dir, "move in a session", trembench.House.MovesInSession)
}

func moveByLetter(ctx context.Context, cfg Config, dir string) ([]Row, error) {
	return moves(ctx, cfg, dir, "move by letter", trembench.House.MovesByLetter)
}

func houseIn(dir string, off bool) trembench.House {
	return trembench.House{Dir: dir, Now: time.Now, CPU: cpuTime, Off: off} //nolint:forbidigo // who waits for a disk reads the clock on the wall
}

// moves measures one way of moving. What is counted is the most of all moves,
// the first between two modules too.
func moves(ctx context.Context, cfg Config, dir, name string, do handOvers) ([]Row, error) {
	n := 31
	switch {
	case cfg.Quick:
		n = 3
	case cfg.Full:
		n = 101
	}
	all, err := do(houseIn(filepath.Join(dir, "disk"), false), ctx, n)
	if err != nil {
		return nil, err
	}
	src, dst, err := moveCPU(ctx, cfg, filepath.Join(dir, "cpu"), do)
	if err != nil {
		return nil, err
	}
	of := func(f func(trembench.Handed) int) float64 { return most(all, f) }
	var took, bytes []float64
	for _, m := range all {
		took, bytes = append(took, float64(m.Took)), append(bytes, float64(m.Bytes))
	}
	return []Row{
		AtMost(name+": syncs at the source", of(func(m trembench.Handed) int { return m.Source.Syncs }), unitSyncs, maxMoveSource),
		AtMost(name+": syncs at the destination", of(func(m trembench.Handed) int { return m.Dest.Syncs }), unitSyncs, maxMoveDest),
		Plain(name+": syncs after it, for DONE", of(func(m trembench.Handed) int { return m.After.Syncs }), unitSyncs),
		Plain(name+": batches at the source", of(func(m trembench.Handed) int { return m.Source.Batches }), unitBatches),
		Plain(name+": batches at the destination", of(func(m trembench.Handed) int { return m.Dest.Batches }), unitBatches),
		Plain(name+": messages", of(func(m trembench.Handed) int { return m.Messages }), unitMessages),
		Plain(name+": bytes carried", median(bytes), unitBytes),
		Plain(name+": by the clock, with its disks", micros(median(took)), unitMicros),
		Plain(name+": CPU time of the source, without syncs", micros(src), unitMicros),
		Plain(name+": CPU time of the destination, without syncs", micros(dst), unitMicros),
	}, nil
}

// moveCPU gives the CPU time of each side in the critical path, in ns, with the
// collector off in a turn: into whose command a collection falls is chance. The
// first move of a turn warms up.
func moveCPU(ctx context.Context, cfg Config, dir string, do handOvers) (src, dst float64, err error) {
	rounds, n := 7, 17
	switch {
	case cfg.Quick:
		rounds, n = 1, 2
	case cfg.Full:
		rounds, n = 21, 33
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var srcs, dsts []float64
	for i := range rounds {
		runtime.GC()
		all, err := do(houseIn(filepath.Join(dir, string(rune('a'+i))), true), ctx, n)
		if err != nil {
			return 0, 0, err
		}
		var s, d time.Duration
		for _, m := range all[1:] {
			s, d = s+m.Source.CPU, d+m.Dest.CPU
		}
		srcs, dsts = append(srcs, float64(s)/float64(n-1)), append(dsts, float64(d)/float64(n-1))
	}
	return median(srcs), median(dsts), nil
}

// loans counts what a loan and its return wait for. The first is left out: with
// its receipt the lender meets the borrower, and notes where its log stands.
func loans(ctx context.Context, cfg Config, dir string) ([]Row, error) {
	n := 11
	if cfg.Quick {
		n = 2
	}
	all, err := houseIn(dir, false).Loans(ctx, n)
	if err != nil {
		return nil, err
	}
	all = all[1:]
	of := func(f func(trembench.Loan) int) float64 { return most(all, f) }
	return []Row{
		AtMost("lend: syncs at the lender", of(func(l trembench.Loan) int { return l.Lent.Source.Syncs }), unitSyncs, maxLoanSide),
		AtMost("lend: syncs at the borrower", of(func(l trembench.Loan) int { return l.Lent.Dest.Syncs }), unitSyncs, maxLoanSide),
		AtMost("return: syncs at the borrower", of(func(l trembench.Loan) int { return l.Returned.Source.Syncs }), unitSyncs, maxLoanSide),
		AtMost("return: syncs at the lender", of(func(l trembench.Loan) int { return l.Returned.Dest.Syncs }), unitSyncs, maxLoanSide),
	}, nil
}

func most[T any](all []T, f func(T) int) float64 {
	n := 0
	for _, x := range all {
		n = max(n, f(x))
	}
	return float64(n)
}
