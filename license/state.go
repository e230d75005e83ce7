package license

import (
	"fmt"
	"math"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// MaxState bounds an encoded state, in bytes. Source: local, docs/spec/state.md.
const MaxState = 1024

// Phase says where the right is (docs/spec/state.md).
type Phase uint64

// The phases.
const (
	Held   Phase = 0
	Escrow Phase = 1 // in a move that is not closed
	Lent   Phase = 2 // LENT_OUT
	Closed Phase = 3 // moved away, or destroyed
)

// String is HELD, ESCROW, LENT_OUT or CLOSED.
func (p Phase) String() string {
	if p > Closed {
		return fmt.Sprintf("PHASE_%d", uint64(p))
	}
	return [...]string{"HELD", "ESCROW", "LENT_OUT", "CLOSED"}[p]
}

// State is the durable state of one license instance: what was used of it.
// States are values: the methods return new ones. The zero State is that of a
// license never used. Times are Unix ms, durations ms.
type State struct {
	Ver            uint64                           `cbor:"1,keyasint"`            // +1 with each durable change
	Phase          Phase                            `cbor:"2,keyasint,omitempty"`  //
	FirstUse       int64                            `cbor:"3,keyasint,omitempty"`  // write-once
	LastUse        int64                            `cbor:"4,keyasint,omitempty"`  //
	Consumed       map[permission.Permission]uint64 `cbor:"5,keyasint,omitempty"`  // never decreases
	Acc            int64                            `cbor:"6,keyasint,omitempty"`  // ms rendered, the running slice's reserve included
	Uncharged      int64                            `cbor:"7,keyasint,omitempty"`  // ms of closed plays that were not charged
	OpenPlay       *OpenPlay                        `cbor:"8,keyasint,omitempty"`  //
	Slice          *Reserve                         `cbor:"9,keyasint,omitempty"`  // of the running session
	Tx             *Tx                              `cbor:"10,keyasint,omitempty"` // move in progress, or installed and not closed
	Loan           *Loan                            `cbor:"11,keyasint,omitempty"` //
	Given          map[permission.Permission]uint64 `cbor:"12,keyasint,omitempty"` // handed out as allowances, and not back
	Pending        int64                            `cbor:"13,keyasint,omitempty"` // ms rendered before FirstUse is set
	NextIndex      uint64                           `cbor:"14,keyasint,omitempty"` // of the next derived license
	CopyGeneration uint64                           `cbor:"15,keyasint,omitempty"` //
	LoLic          int64                            `cbor:"16,keyasint,omitempty"` // lower bound of time that travels with the license
	Reserved       map[permission.Permission]uint64 `cbor:"17,keyasint,omitempty"` // taken by what is in progress: neither consumed nor free
	Region         *RegionState                     `cbor:"18,keyasint,omitempty"` //
	Denied         int64                            `cbor:"19,keyasint,omitempty"` // Unix ms of the issuer's signed refusal to renew
	LastTransfer   int64                            `cbor:"20,keyasint,omitempty"` // Unix ms of the last change of subject
	Consented      bool                             `cbor:"21,keyasint,omitempty"` // to the report that the license asks for
	GivenMS        int64                            `cbor:"22,keyasint,omitempty"` // ms of ACCUMULATED handed out as allowances, and not back
	Seen           int64                            `cbor:"23,keyasint,omitempty"` // media ms: the furthest point played, where TIMELINE does not let skip
}

// RegionState is what the license remembers of regions (evaluator E6).
type RegionState struct {
	Home   string   `cbor:"1,keyasint,omitempty"` // last permitted country of use, ISO 3166-1 alpha-2
	Sealed bool     `cbor:"2,keyasint,omitempty"` // FIRST_USE was judged: never judged again
	Away   []uint64 `cbor:"3,keyasint,omitempty"` // days since 1970 of use elsewhere, ascending, within roamWindow
}

// OpenPlay is the play that is not over: its unit is reserved, or charged.
type OpenPlay struct {
	ID       uint64 `cbor:"1,keyasint"`           // which play of this instance, from 1
	Rendered int64  `cbor:"2,keyasint"`           // ms, the running slice's reserve included
	Charged  bool   `cbor:"3,keyasint"`           //
	Touched  int64  `cbor:"4,keyasint"`           // Unix ms of the last use
	Seen     int64  `cbor:"5,keyasint,omitempty"` // media ms: the furthest point decrypted
}

// Reserve is the part of the state that the running slice has taken in advance.
type Reserve struct {
	Until int64 `cbor:"1,keyasint"` // Unix ms
	MS    int64 `cbor:"2,keyasint"` // reserved; a clean End gives back what was not used
}

// Tx is a transfer of the whole instance that is not closed.
type Tx struct {
	ID          ident.Transfer `cbor:"1,keyasint"`
	HoldUntil   int64          `cbor:"2,keyasint,omitempty"` // absolute; 0 = cannot be arbitrated
	Unconfirmed bool           `cbor:"3,keyasint,omitempty"` // at the destination, before DONE
}

// Loan is a loan that is out.
type Loan struct {
	Child ident.License `cbor:"1,keyasint"`
	Seq   uint64        `cbor:"2,keyasint"`
	Until int64         `cbor:"3,keyasint"`
}

// Encode writes the state as deterministic CBOR.
func (s State) Encode() ([]byte, error) { return wire.Marshal(s) }

// ParseState reads what Encode writes.
func ParseState(data []byte) (State, error) {
	var s State
	if err := wire.Unmarshal(data, &s, wire.Limit{Bytes: MaxState, Items: 96, Depth: 4}); err != nil {
		return State{}, fmt.Errorf("%w: state: %w", ErrMalformed, err)
	}
	times := []int64{s.FirstUse, s.LastUse, s.Acc, s.Uncharged, s.Pending, s.LoLic, s.Denied, s.LastTransfer, s.GivenMS, s.Seen}
	if p := s.OpenPlay; p != nil {
		times = append(times, p.Rendered, p.Touched, p.Seen)
	}
	if r := s.Slice; r != nil {
		times = append(times, r.Until, r.MS)
	}
	if s.Tx != nil {
		times = append(times, s.Tx.HoldUntil)
	}
	if s.Loan != nil {
		times = append(times, s.Loan.Until)
	}
	for _, t := range times {
		if t < 0 || t > maxTime {
			return State{}, fmt.Errorf("%w: state: time", ErrMalformed)
		}
	}
	if r := s.Region; r != nil && (len(r.Away) > roamWindow || !slices.IsSorted(r.Away) || r.Home != "" && len(r.Home) != 2) {
		return State{}, fmt.Errorf("%w: state: region", ErrMalformed)
	}
	for _, counts := range []map[permission.Permission]uint64{s.Consumed, s.Given, s.Reserved} {
		for p, n := range counts {
			if n == 0 || p == 0 || p > permission.Export {
				return State{}, fmt.Errorf("%w: state: counts", ErrMalformed)
			}
		}
	}
	if s.Phase > Closed {
		return State{}, fmt.Errorf("%w: state: phase", ErrMalformed)
	}
	return s, nil
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// left is what remains of a count of n for a permission.
func (s *State) left(p permission.Permission, n uint64) uint64 {
	used := add(add(s.Consumed[p], s.Given[p]), s.Reserved[p])
	if used >= n {
		return 0
	}
	return n - used
}

func (s *State) consume(p permission.Permission) { s.Consumed = add1(s.Consumed, p) }

// add is saturating.
func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
