package lrp

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// Limits of a frame. Source: local, docs/spec/lrp.md.
const (
	// Version is the frame layout's version.
	Version = 1
	// MaxBody is the longest body in bytes.
	MaxBody = 64 << 10
	// MaxFrame is the longest encoded frame in bytes: MaxBody and the heads.
	MaxFrame = MaxBody + 96
	// MaxHops is how many relays a frame may cross.
	MaxHops = 8
	// maxTime is the first Unix millisecond that a frame cannot name.
	maxTime = 1 << 53
)

// ErrFrame is returned for bytes that are not a frame, or not of the kind that
// the caller asked for. It says which rule, never what the bytes were.
var ErrFrame = errors.New("lrp: not a valid frame")

// Addr addresses a TREM or an LRM: the first 16 bytes of SHA-256 of the SPKI
// of its signing key, so inside the home a TREM's address is its device ID.
type Addr [ident.Size]byte

func (a Addr) String() string { return hex.EncodeToString(a[:]) }

// MarshalText prints the address for JSON and logs.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Tx is a transaction ID, random, made by the transaction's starter.
type Tx [16]byte

// NewTx returns a random transaction ID.
func NewTx() (tx Tx) {
	rand.Read(tx[:]) // never returns an error
	return tx
}

func (tx Tx) String() string { return hex.EncodeToString(tx[:]) }

// Type says what a frame's body is. Source: local, docs/spec/lrp.md.
type Type uint8

// The frame types.
const (
	TypeHello   Type = 1
	TypeSLTP    Type = 2
	TypeAck     Type = 3
	TypeResume  Type = 4
	TypeError   Type = 5
	TypeAuth    Type = 6
	TypeGossip  Type = 7
	TypeContent Type = 8
	TypeRenew   Type = 9
)

var typeNames = [...]string{"", "HELLO", "SLTP", "ACK", "RESUME", "ERROR", "AUTH", "GOSSIP", "CONTENT", "RENEW"}

func (t Type) String() string {
	if t >= TypeHello && t <= TypeRenew {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Frame is the one unit that modules exchange.
type Frame struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Type    Type
	Dst     Addr
	Src     Addr
	Tx      Tx
	Seq     uint64 // of the sender within the transaction, from 0
	Hops    uint8  // relays crossed so far
	Expires int64  // Unix ms; no relay keeps or answers the frame after it
	Body    []byte // at most MaxBody bytes
}

// AppendCBOR appends the array of docs/spec/lrp.md. It never returns an error.
func (f Frame) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendUint(wire.AppendUint(wire.AppendArray(b, 9), uint64(f.Version)), uint64(f.Type))
	b = wire.AppendBytes(wire.AppendBytes(wire.AppendBytes(b, f.Dst[:]), f.Src[:]), f.Tx[:])
	b = wire.AppendUint(wire.AppendUint(b, f.Seq), uint64(f.Hops))
	return wire.AppendBytes(wire.AppendInt(b, f.Expires), f.Body), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (f *Frame) ReadCBOR(from *wire.Items) {
	r := from.Array(9, 9)
	f.Version, f.Type = uint8(r.Uint(math.MaxUint8)), Type(r.Uint(math.MaxUint8)) //nolint:gosec // bounded
	r.Fixed(f.Dst[:])
	r.Fixed(f.Src[:])
	r.Fixed(f.Tx[:])
	f.Seq, f.Hops, f.Expires = r.Uint(math.MaxUint64), uint8(r.Uint(math.MaxUint8)), r.Int() //nolint:gosec // bounded
	f.Body = bytes.Clone(r.OptionalBytes())
	from.Done(r)
}

// Encode returns the frame's one encoding.
func (f Frame) Encode() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return wire.Marshal(f)
}

// Parse reads exactly one frame.
func Parse(data []byte) (Frame, error) {
	var f Frame
	if err := wire.Unmarshal(data, &f, wire.Limit{Bytes: MaxFrame, Items: 9, Depth: 1}); err != nil {
		return Frame{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if err := f.check(); err != nil {
		return Frame{}, err
	}
	return f, nil
}

// ParseSequence reads a CBOR sequence (RFC 8742) of at most most frames.
func ParseSequence(data []byte, most int) ([]Frame, error) {
	var out []Frame
	for len(data) > 0 {
		if len(out) == most {
			return nil, fmt.Errorf("%w: more than %d frames", ErrFrame, most)
		}
		item, rest, err := wire.Next(data, wire.Limit{Bytes: MaxFrame, Items: 9, Depth: 1})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFrame, err)
		}
		f, err := Parse(item)
		if err != nil {
			return nil, err
		}
		out, data = append(out, f), rest
	}
	return out, nil
}

func (f Frame) check() error {
	switch {
	case f.Version != Version:
		return fmt.Errorf("%w: version %d", ErrFrame, f.Version)
	case f.Type < TypeHello || f.Type > TypeRenew:
		return fmt.Errorf("%w: %v", ErrFrame, f.Type)
	case f.Hops > MaxHops:
		return fmt.Errorf("%w: %d hops", ErrFrame, f.Hops)
	case f.Expires < 0 || f.Expires >= maxTime:
		return fmt.Errorf("%w: expiry is not a time", ErrFrame)
	case f.Body == nil:
		return fmt.Errorf("%w: no body", ErrFrame)
	case len(f.Body) > MaxBody:
		return fmt.Errorf("%w: body of %d bytes", ErrFrame, len(f.Body))
	}
	return nil
}
