package transfer

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// Types of the messages: the first element of each. 6, 7, 9 and 10 are
// RELEASE, CONFIRM, LEND and RETURNED. Source: local, docs/spec/transfer.md.
const (
	typeXFER    = 1
	typeReceipt = 2
	typeDone    = 3
	typeCancel  = 4
	typeQuery   = 5
	typeClosed  = 8
)

// Limits. Source: local, docs/spec/transfer.md.
const (
	// MaxBody is the longest body of an XFER, in bytes.
	MaxBody = 256 << 10
	// MaxHead is the longest HEAD, in bytes.
	MaxHead = 512
	// MaxOpen is how many transfers of one ordered pair may be open.
	MaxOpen = 64
	// Window is how many sequence numbers may lie above the watermark, and how
	// many outcomes below it are kept, for one pair and incarnation.
	Window = 4096
	// MaxSeq is the highest sequence number.
	MaxSeq = 1 << 53
)

// ErrMalformed is returned for bytes that are not the message they should be.
var ErrMalformed = errors.New("transfer: malformed message")

func limit() wire.Limit { return wire.Limit{Bytes: MaxBody + MaxHead + 256, Items: 8, Depth: 3} }

// Message is what one side may send to the other, unsigned: it is valid only
// inside an SLTP session with the transfer's other party.
type Message interface {
	Encode() ([]byte, error)
}

// XFER carries the rights from source to destination. Its body is signed by
// nobody: the session it comes in authenticates it.
type XFER struct {
	TID  ident.Transfer
	Low  uint64 // every sequence number up to it is closed at the source
	Body []byte // encoded Body, the same bytes in every repetition
	Head []byte // the source's signed vault HEAD; nil when it has none
}

type xferWire struct {
	_    struct{} `cbor:",toarray"`
	Type uint8
	TID  ident.Transfer
	Low  uint64
	Hash [sha256.Size]byte
	Body []byte
	Head []byte
}

// NewXFER makes the message for a body.
func NewXFER(tid ident.Transfer, low uint64, body, head []byte) *XFER {
	return &XFER{TID: tid, Low: low, Body: body, Head: head}
}

// Hash is xfer_hash: SHA-256 of the deterministic encoding of [tid, body].
func (x *XFER) Hash() [sha256.Size]byte { return hashOf(x.TID, x.Body) }

func hashOf(tid ident.Transfer, body []byte) [sha256.Size]byte {
	data := wire.AppendBytes(AppendID(wire.AppendArray(make([]byte, 0, 80+len(body)), 2), tid), body)
	defer clear(data) // the body holds keys
	return sha256.Sum256(data)
}

// Encode returns the message's bytes.
func (x *XFER) Encode() ([]byte, error) {
	data, _, err := x.EncodeHashed()
	return data, err
}

// EncodeHashed returns the message's bytes and xfer_hash.
func (x *XFER) EncodeHashed() (data []byte, hash [sha256.Size]byte, err error) {
	if err := checkID(x.TID, x.Low); err != nil {
		return nil, hash, err
	}
	if len(x.Body) == 0 || len(x.Body) > MaxBody || len(x.Head) > MaxHead {
		return nil, hash, fmt.Errorf("%w: XFER with a body of %d bytes", ErrMalformed, len(x.Body))
	}
	hash = x.Hash()
	data, err = wire.Marshal(xferWire{Type: typeXFER, TID: x.TID, Low: x.Low, Hash: hash, Body: x.Body, Head: orNil(x.Head)})
	return data, hash, err
}

// ParseXFER reads an XFER whose hash is that of its body.
func ParseXFER(data []byte) (*XFER, error) {
	var w xferWire
	if err := unmarshal(data, &w, &w.Type, typeXFER); err != nil {
		return nil, err
	}
	x := NewXFER(w.TID, w.Low, w.Body, w.Head)
	if err := checkID(x.TID, x.Low); err != nil {
		return nil, err
	}
	if len(x.Body) == 0 || len(x.Body) > MaxBody || x.Head != nil && (len(x.Head) == 0 || len(x.Head) > MaxHead) {
		return nil, fmt.Errorf("%w: XFER sizes", ErrMalformed)
	}
	if x.Hash() != w.Hash {
		return nil, fmt.Errorf("%w: xfer_hash is not that of the body", ErrMalformed)
	}
	return x, nil
}

type markWire struct {
	_    struct{} `cbor:",toarray"`
	Type uint8
	TID  ident.Transfer
	Low  uint64
}

// Done tells the destination that the source has closed every transfer of the
// pair and incarnation up to Low.
type Done struct {
	TID ident.Transfer
	Low uint64
}

// Encode returns the message's bytes. The zero Done, which says that nothing
// may be sent, is an error.
func (d Done) Encode() ([]byte, error) { return encodeMark(typeDone, d.TID, d.Low) }

// ParseDone reads a DONE.
func ParseDone(data []byte) (Done, error) {
	w, err := parseMark(data, typeDone)
	return Done{TID: w.TID, Low: w.Low}, err
}

// Cancel asks the destination to refuse a transfer that it has not installed.
type Cancel struct {
	TID ident.Transfer
	Low uint64
}

// Encode returns the message's bytes.
func (c Cancel) Encode() ([]byte, error) { return encodeMark(typeCancel, c.TID, c.Low) }

// ParseCancel reads a CANCEL.
func ParseCancel(data []byte) (Cancel, error) {
	w, err := parseMark(data, typeCancel)
	return Cancel{TID: w.TID, Low: w.Low}, err
}

type queryWire struct {
	_    struct{} `cbor:",toarray"`
	Type uint8
	TID  ident.Transfer
}

// Query asks either side for what it last said of a transfer.
type Query struct{ TID ident.Transfer }

// Encode returns the message's bytes.
func (q Query) Encode() ([]byte, error) {
	if err := checkID(q.TID, 0); err != nil {
		return nil, err
	}
	return wire.Marshal(queryWire{Type: typeQuery, TID: q.TID})
}

// ParseQuery reads a QUERY.
func ParseQuery(data []byte) (Query, error) {
	var w queryWire
	if err := unmarshal(data, &w, &w.Type, typeQuery); err != nil {
		return Query{}, err
	}
	return Query{TID: w.TID}, checkID(w.TID, 0)
}

func encodeMark(typ uint8, tid ident.Transfer, low uint64) ([]byte, error) {
	if err := checkID(tid, low); err != nil {
		return nil, err
	}
	return wire.Marshal(markWire{Type: typ, TID: tid, Low: low})
}

func parseMark(data []byte, typ uint8) (w markWire, err error) {
	if err := unmarshal(data, &w, &w.Type, typ); err != nil {
		return markWire{}, err
	}
	return w, checkID(w.TID, w.Low)
}

func unmarshal(data []byte, v any, got *uint8, want uint8) error {
	if err := wire.Unmarshal(data, v, limit()); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if *got != want {
		return fmt.Errorf("%w: type %d, want %d", ErrMalformed, *got, want)
	}
	return nil
}

// checkID refuses IDs that no source makes: from 1, and to another module.
func checkID(tid ident.Transfer, low uint64) error {
	if tid.Seq == 0 || tid.Seq > MaxSeq || low > MaxSeq || tid.Src == tid.Dst {
		return fmt.Errorf("%w: transfer ID %v, low %d", ErrMalformed, tid, low)
	}
	return nil
}

// orNil makes an empty string null on the wire: one encoding for "none".
func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
