// Command faults runs simulated transfers until so many faults were injected,
// and says what became of the rights. With -seed it shows one run, line by line.
//
//	go run ./internal/faults -n 100000
//	go run ./internal/faults -seed 17 -mutant no-tombstone
//
// Source: local, docs/spec/transfer.md, "The simulation". Exit status 1: a
// right was lost or doubled, or a transfer does not end.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/lares-drm/lares/security/trem/sim"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	n      int
	seed   uint64
	mutant sim.Mutant
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.IntVar(&o.n, "n", 5000, "faults to inject")
	f.Uint64Var(&o.seed, "seed", 0, "show this run; 0: run all from 1 on")
	name := f.String("mutant", sim.None.String(), "a mistake to make")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.mutant, err = sim.ParseMutant(*name)
	return o, err
}

func run(args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	parties, err := sim.NewParties()
	if err != nil {
		return err
	}
	if o.seed != 0 {
		return show(sim.Config{Parties: parties, Seed: o.seed, Mutant: o.mutant, Log: out}, out)
	}
	t := &total{next: 1, want: o.n, verdicts: map[sim.Verdict]int{}}
	began := time.Now()
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() { t.work(sim.Config{Parties: parties, Mutant: o.mutant}) })
	}
	wait.Wait()
	return t.report(out, time.Since(began))
}

func show(cfg sim.Config, out io.Writer) error {
	w, err := sim.New(cfg)
	if err != nil {
		return err
	}
	r, err := w.Run()
	if err == nil {
		_, err = fmt.Fprintf(out, "seed %d: %d faults, %d transfers, %d plays, run %s: 0 lost, 0 doubled\n", cfg.Seed, r.Faults.Total(), r.Transfers, r.Plays, r.Digest)
	}
	return err
}

// total is what all runs together were.
type total struct {
	mu       sync.Mutex
	next     uint64 // seed
	want     int
	runs     int
	result   sim.Result
	verdicts map[sim.Verdict]int
	errs     []error // the first few
}

// take gives the next seed, until there are enough faults.
func (t *total) take() (uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.result.Faults.Total() >= t.want || len(t.errs) >= maxErrors {
		return 0, false
	}
	t.next++
	return t.next - 1, true
}

// maxErrors is how many runs that break the promise are enough.
const maxErrors = 10

func (t *total) work(cfg sim.Config) {
	for seed, more := t.take(); more; seed, more = t.take() {
		cfg.Seed = seed
		w, err := sim.New(cfg)
		var r sim.Result
		if err == nil {
			r, err = w.Run()
		}
		t.add(r, err)
	}
}

func (t *total) add(r sim.Result, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs++
	t.result.Faults.Add(r.Faults)
	t.result.Transfers += r.Transfers
	t.result.Plays += r.Plays
	if err != nil {
		t.errs = append(t.errs, err)
	}
	if b, ok := errors.AsType[*sim.BrokenError](err); ok {
		t.verdicts[b.Verdict]++
	}
}

func (t *total) report(out io.Writer, took time.Duration) error {
	n := t.result.Faults.Total()
	_, err := fmt.Fprintf(out, "faults: %v\nfaults: %d in %d runs with %d transfers and loans and %d plays, in %.0f s (%.0f a second): %d lost, %d doubled",
		t.result.Faults, n, t.runs, t.result.Transfers, t.result.Plays, took.Seconds(), float64(n)/took.Seconds(), t.verdicts[sim.Missing], t.verdicts[sim.Doubled])
	for _, v := range []sim.Verdict{sim.Early, sim.Stuck, sim.Bricked} {
		if k := t.verdicts[v]; k > 0 {
			_, err = fmt.Fprintf(out, ", %d %s", k, v)
		}
	}
	_, _ = fmt.Fprintln(out)
	return errors.Join(append(t.errs, err)...)
}
