package sim

import (
	"fmt"
	"strings"
)

// Fault is a kind of what goes wrong.
type Fault uint8

// The faults.
const (
	Lost       Fault = iota // a message never arrives
	Again                   // a message arrives once more
	Reordered               // a message overtakes an older one
	Killed                  // a process is killed
	PowerCut                // the power fails
	Torn                    // a power cut leaves a write in part, or later ones without it
	DiskError               // the disk reports a failure
	SyncError               // a sync fails
	ClockMoved              // a clock jumps, is unset or set back
	Restored                // the owner puts an old image of the disk there
	Rejected                // a destination refuses
	faults
)

var faultNames = [faults]string{
	"messages lost", "messages repeated", "messages reordered", "kills", "power cuts", "torn or reordered writes", "disk errors", "failed syncs",
	"clock jumps", "old disks put back", "refusals",
}

func (f Fault) String() string {
	if f < faults {
		return faultNames[f]
	}
	return fmt.Sprintf("fault %d", uint8(f))
}

var plugNames = [...]string{"no reason", "killed", "power cut", "power cut in a write", "disk error", "failed sync"}

// Counts says how many faults of each kind there were.
type Counts [faults]int

func (c *Counts) stop(p Plug) {
	switch p {
	case PlugKill:
		c[Killed]++
	case PlugPower, PlugHalf:
		c[PowerCut]++
	case PlugIO:
		c[DiskError]++
	case PlugSync:
		c[SyncError]++
	case PlugNone:
	}
}

// Total is all of them.
func (c Counts) Total() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// Add adds another run's.
func (c *Counts) Add(o Counts) {
	for i, n := range o {
		c[i] += n
	}
}

func (c Counts) String() string {
	var parts []string
	for i, n := range c {
		parts = append(parts, fmt.Sprintf("%d %s", n, Fault(i)))
	}
	return strings.Join(parts, ", ")
}

// Verdict is how a promise was broken.
type Verdict uint8

// The verdicts.
const (
	Doubled Verdict = iota + 1 // more units than were issued, or one request answered twice
	Missing                    // fewer
	Early                      // a message was sent whose cause was not on the disk
	Stuck                      // messages pass, and a transfer does not end
	Bricked                    // a box does not start
)

var verdictNames = [...]string{"", "doubled", "lost", "sent before it was durable", "does not end", "does not start"}

func (v Verdict) String() string { return verdictNames[v] }

// BrokenError says that the promise does not hold.
type BrokenError struct {
	Seed    uint64
	Mutant  Mutant
	Step    int
	Verdict Verdict
	What    string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("seed %d, step %d: %s: %s (again: make faults SEED=%d%s)", e.Seed, e.Step, e.Verdict, e.What, e.Seed, e.option())
}

func (e *BrokenError) option() string {
	if e.Mutant == None {
		return ""
	}
	return " MUTANT=" + e.Mutant.String()
}
