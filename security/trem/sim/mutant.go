package sim

import "fmt"

// Mutant is a known mistake of an implementation, which a world can be told to
// make: the test of the test. Each is made around the machines and the vault,
// never in them.
type Mutant uint8

// The mutants.
const (
	None         Mutant = iota
	SendFirst           // messages leave before their records are written
	NoTombstone         // a cancel is answered REFUSED and not noted
	Timeout             // the source takes a right back because it has waited long
	NoDedup             // a repeated XFER installs again
	Forget              // the destination forgets its records with DONE
	EarlyDelete         // the source forgets the escrow when it has sent XFER
	DoneFirst           // DONE leaves before COMMIT or ABORT is written
	NoFsync             // the vault acknowledges what is only in the cache
	SplitBatch          // a torn batch counts: its records are written one by one
	NoSettle            // a restart acts on the cache without making it durable
	UseFirst            // the film is shown before the play is charged
	NoRequests          // the issuer does not remember which requests it has answered
	GoOn                // a box goes on after its disk has failed
	HighLow             // DONE names a watermark above transfers that are open
	LoseOpen            // a compaction leaves out what is in escrow
	NoResend            // the source sends once
	AnyGen              // a copy does not count its generation
	RollBack            // the owner puts an old copy of the disk back, and nothing anchors it
	AnyClock            // a borrower plays on a clock that its owner has set
	OwnTime             // a lender ends a loan by its own clock
	NoGuard             // a lender does not wait for the borrower's clock
	NoReturnNote        // a borrower says RETURNED and does not note it
	LendAndPlay         // a lender plays what it has lent
	EarlyRelease        // the arbiter releases before the hold is over
	DecideTwice         // the arbiter does not remember what it has decided
	TellBoth            // the arbiter tells both sides at once
	MergeHeld           // what is unconfirmed is used like the rest
	mutants             // how many there are
)

var mutantNames = [mutants]string{
	"none", "send-first", "no-tombstone", "timeout", "no-dedup", "forget", "early-delete", "done-first", "no-fsync", "split-batch", "no-settle",
	"use-first", "no-requests", "go-on", "high-low", "lose-open", "no-resend", "any-generation", "roll-back",
	"any-clock", "own-time", "no-guard", "no-return-note", "lend-and-play",
	"early-release", "decide-twice", "tell-both", "merge-held",
}

func (m Mutant) String() string {
	if m < mutants {
		return mutantNames[m]
	}
	return fmt.Sprintf("mutant %d", uint8(m))
}

// Mutants are all mistakes that can be made.
func Mutants() []Mutant {
	var out []Mutant
	for m := None + 1; m < mutants; m++ {
		out = append(out, m)
	}
	return out
}

// ParseMutant reads what String writes.
func ParseMutant(name string) (Mutant, error) {
	for m := range mutants {
		if m.String() == name {
			return m, nil
		}
	}
	return None, fmt.Errorf("sim: no mutant %q", name)
}
