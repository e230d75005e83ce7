package transfer

import (
	"fmt"
	"math"

	"github.com/lares-drm/lares/internal/wire"
)

// Op says what kind of hand-over it is. Source: local, docs/spec/transfer.md.
type Op uint8

// The operations. Only OpIssue and OpAllowance are used so far.
const (
	OpMove      Op = 1
	OpCopy      Op = 2
	OpTransfer  Op = 3
	OpIssue     Op = 4 // an issuer's stateful license to a home server or device
	OpAllowance Op = 5 // plays that a home server sets aside for a device
)

func (o Op) String() string {
	if names := [...]string{"", "MOVE", "COPY", "TRANSFER", "ISSUE", "ALLOWANCE"}; o > 0 && int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("operation %d", uint8(o))
}

// All is the amount of a right that goes over whole, whatever is left of it.
const All uint64 = math.MaxUint64

// Body is what goes over. It holds keys: it is never logged, and travels only
// inside an SLTP session or sealed.
type Body struct {
	Op        Op
	Chain     [][]byte          // license chain, leaf first, 1 to 4 links
	State     []byte            // encoded license state; nil for a fresh one
	Amounts   map[uint64]uint64 // permission number to units; All = whatever is left
	HoldUntil *int64            // Unix ms, > 0; nil = no arbiter can release it
	Bundle    []byte            // encoded key bundle; nil when the destination has the keys
}

type bodyWire struct {
	_         struct{} `cbor:",toarray"`
	Op        Op
	Chain     [][]byte
	State     []byte
	Amounts   map[uint64]amount
	HoldUntil *int64
	Bundle    []byte
}

// MaxChain is the most links of a license chain. Source: local, docs/spec/chain.md.
const MaxChain = 4

const maxAmounts = 16

// Encode returns the body's bytes: what an XFER carries and PREPARE stores.
func (b Body) Encode() ([]byte, error) {
	w := bodyWire{Op: b.Op, Chain: b.Chain, State: orNil(b.State), HoldUntil: b.HoldUntil, Bundle: orNil(b.Bundle), Amounts: map[uint64]amount{}}
	for right, n := range b.Amounts {
		w.Amounts[right] = amount(n)
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	data, err := wire.Marshal(w)
	if err == nil && len(data) > MaxBody {
		return nil, fmt.Errorf("%w: body of %d bytes", ErrMalformed, len(data))
	}
	return data, err
}

// ParseBody reads a body. The licenses, the state and the bundle in it are not
// looked at.
func ParseBody(data []byte) (*Body, error) {
	var w bodyWire
	if err := wire.Unmarshal(data, &w, wire.Limit{Bytes: MaxBody, Items: maxAmounts, Depth: 3}); err != nil {
		return nil, fmt.Errorf("%w: body: %w", ErrMalformed, err)
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	b := &Body{Op: w.Op, Chain: w.Chain, State: w.State, HoldUntil: w.HoldUntil, Bundle: w.Bundle}
	for right, n := range w.Amounts {
		if b.Amounts == nil {
			b.Amounts = map[uint64]uint64{}
		}
		b.Amounts[right] = uint64(n)
	}
	return b, nil
}

func (w *bodyWire) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: body: %s", ErrMalformed, what) }
	if w.Op < OpMove || w.Op > OpAllowance {
		return bad(w.Op.String())
	}
	if len(w.Chain) == 0 || len(w.Chain) > MaxChain {
		return bad(fmt.Sprintf("chain of %d links", len(w.Chain)))
	}
	for _, link := range w.Chain {
		if len(link) == 0 {
			return bad("empty link")
		}
	}
	if w.Amounts == nil || len(w.Amounts) > maxAmounts {
		return bad("amounts")
	}
	for _, n := range w.Amounts {
		if n == 0 {
			return bad("an amount of 0")
		}
	}
	if w.HoldUntil != nil && *w.HoldUntil <= 0 {
		return bad("hold_until")
	}
	if w.State != nil && len(w.State) == 0 || w.Bundle != nil && len(w.Bundle) == 0 {
		return bad("empty byte string instead of null")
	}
	return nil
}

// amount is a number of units, or All as the text "all".
type amount uint64

const allText = "all"

// MarshalCBOR writes a number or "all".
func (a amount) MarshalCBOR() ([]byte, error) {
	return a.append(nil), nil
}

// UnmarshalCBOR reads what MarshalCBOR writes.
func (a *amount) UnmarshalCBOR(data []byte) error {
	var s string
	if len(data) > 0 && data[0]>>5 == 3 { // a text
		if err := wire.Unmarshal(data, &s, wire.Limit{Bytes: 8}); err != nil || s != allText {
			return fmt.Errorf("%w: amount", ErrMalformed)
		}
		*a = amount(All)
		return nil
	}
	var n uint64
	if err := wire.Unmarshal(data, &n, wire.Limit{Bytes: 9}); err != nil {
		return err
	}
	if n == All {
		return fmt.Errorf("%w: amount", ErrMalformed)
	}
	*a = amount(n)
	return nil
}
