package lrp

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
)

// Limits of a mailbox. Source: local, docs/spec/lrp.md section 7.
const (
	// MailLife is how long a frame waits, whatever its expiry says.
	MailLife = 7 * 24 * time.Hour
	// MaxMailSource is how many frames of one source wait for one member, and
	// MaxSourceBytes their bytes.
	MaxMailSource  = 32
	MaxSourceBytes = 512 << 10
	// MaxMailBox is how many frames wait for one member, and MaxBoxBytes their bytes.
	MaxMailBox  = 256
	MaxBoxBytes = 4 << 20
	// MaxBoxes is how many addresses have a box.
	MaxBoxes = 256
)

// Kept is a frame that waits in a mailbox. Its numbers ascend in the order in
// which frames came; a frame that takes another's place has a new one.
type Kept struct {
	Number uint64
	At     int64  // Unix ms: when it came
	Mark   uint64 // of the keeper's own frames: what they say; else 0
	Frame  Frame
}

// keptRecord is the durable form of a Kept.
type keptRecord struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Number  uint64
	At      int64
	Mark    uint64
	Frame   []byte // as it came
}

// maxKept is the longest record in bytes.
const maxKept = MaxFrame + 64

// Encode returns the record's one encoding.
func (k Kept) Encode() ([]byte, error) {
	f, err := k.Frame.Encode()
	if err != nil {
		return nil, err
	}
	return wire.Marshal(keptRecord{Version: 1, Number: k.Number, At: k.At, Mark: k.Mark, Frame: f})
}

// ParseKept reads a record.
func ParseKept(data []byte) (Kept, error) {
	var r keptRecord
	if err := wire.Unmarshal(data, &r, wire.Limit{Bytes: maxKept, Items: 5, Depth: 1}); err != nil {
		return Kept{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if r.Version != 1 || r.Number == 0 || r.At < 0 || r.At >= maxTime {
		return Kept{}, fmt.Errorf("%w: kept record", ErrFrame)
	}
	f, err := Parse(r.Frame)
	return Kept{Number: r.Number, At: r.At, Mark: r.Mark, Frame: f}, err
}

// ParseKeptSequence reads a CBOR sequence (RFC 8742) of at most most records.
func ParseKeptSequence(data []byte, most int) ([]Kept, error) {
	var out []Kept
	for len(data) > 0 {
		if len(out) == most {
			return nil, fmt.Errorf("%w: more than %d records", ErrFrame, most)
		}
		item, rest, err := wire.Next(data, wire.Limit{Bytes: maxKept, Items: 5, Depth: 1})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFrame, err)
		}
		k, err := ParseKept(item)
		if err != nil {
			return nil, err
		}
		out, data = append(out, k), rest
	}
	return out, nil
}

// Shelf is where a mailbox's frames outlive a crash. Keep returns when the record
// is durable; Drop may be forgotten in a crash.
type Shelf interface {
	Keep(number uint64, record []byte) error
	Drop(number uint64) error
}

// Mailbox keeps frames for addresses that are away. It opens none of them, and
// puts none out for a newcomer. It is not safe for concurrent use.
type Mailbox struct {
	shelf Shelf
	next  uint64
	boxes map[Addr][]Kept // ascending by number
}

// ErrFull is returned when a box, or a source's share of it, is full.
var ErrFull = errors.New("lrp: the mailbox is full")

// NewMailbox returns a mailbox with what its shelf held. Numbers go on above all of
// these and above the clock in ms, so that a shelf that was lost gives none again.
func NewMailbox(shelf Shelf, held []Kept, now time.Time) *Mailbox {
	m := &Mailbox{shelf: shelf, next: uint64(max(now.UnixMilli(), 1)), boxes: map[Addr][]Kept{}}
	slices.SortFunc(held, func(a, b Kept) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
	for _, k := range held {
		m.next = max(m.next, k.Number+1)
		for _, n := range m.add(k) { // a crash came before they were dropped
			_ = shelf.Drop(n)
		}
	}
	return m
}

// add puts a record into its box. What it takes the place of is returned.
func (m *Mailbox) add(k Kept) (out []uint64) {
	box := m.boxes[k.Frame.Dst][:0:0]
	for _, old := range m.boxes[k.Frame.Dst] {
		if sameTopic(old.Frame, k.Frame) {
			out = append(out, old.Number)
			continue
		}
		box = append(box, old)
	}
	m.boxes[k.Frame.Dst] = append(box, k)
	return out
}

// sameTopic reports whether a frame takes the other's place: both are of one
// source, transaction and type.
func sameTopic(a, b Frame) bool { return a.Src == b.Src && a.Tx == b.Tx && a.Type == b.Type }

func (k Kept) over(now time.Time) bool {
	ms := now.UnixMilli()
	return k.Frame.Expires <= ms || ms-k.At > MailLife.Milliseconds()
}

// Put keeps a frame for its destination. It is durable when Put returns nil.
func (m *Mailbox) Put(f Frame, mark uint64, now time.Time) (Kept, error) {
	m.sweep(f.Dst, now)
	box, known := m.boxes[f.Dst]
	if !known && len(m.boxes) >= MaxBoxes {
		return Kept{}, fmt.Errorf("%w: %d have a box", ErrFull, MaxBoxes)
	}
	count, size, own, ownSize := 1, len(f.Body), 1, len(f.Body)
	for _, old := range box {
		if sameTopic(old.Frame, f) {
			continue
		}
		count, size = count+1, size+len(old.Frame.Body)
		if old.Frame.Src == f.Src {
			own, ownSize = own+1, ownSize+len(old.Frame.Body)
		}
	}
	if count > MaxMailBox || size > MaxBoxBytes || own > MaxMailSource || ownSize > MaxSourceBytes {
		return Kept{}, ErrFull
	}
	k := Kept{Number: m.next, At: now.UnixMilli(), Mark: mark, Frame: f}
	record, err := k.Encode()
	if err != nil {
		return Kept{}, err
	}
	if err := m.shelf.Keep(k.Number, record); err != nil {
		return Kept{}, err
	}
	m.next++
	for _, n := range m.add(k) {
		_ = m.shelf.Drop(n) // the newer one wins when both come back after a crash
	}
	return k, nil
}

// For are the frames that wait for an address with a number above after, oldest
// first. They stay until they lapse, another takes their place, or Forget.
func (m *Mailbox) For(dst Addr, after uint64, now time.Time) (out []Kept) {
	m.sweep(dst, now)
	for _, k := range m.boxes[dst] {
		if k.Number > after {
			out = append(out, k)
		}
	}
	return out
}

// Forget empties a box, as of a member that was put out.
func (m *Mailbox) Forget(dst Addr) {
	for _, k := range m.boxes[dst] {
		_ = m.shelf.Drop(k.Number) // it lapses by itself
	}
	delete(m.boxes, dst)
}

// Sweep drops what has lapsed in all boxes.
func (m *Mailbox) Sweep(now time.Time) {
	for dst := range m.boxes {
		m.sweep(dst, now)
	}
}

func (m *Mailbox) sweep(dst Addr, now time.Time) {
	box := m.boxes[dst][:0:0]
	for _, k := range m.boxes[dst] {
		if k.over(now) {
			_ = m.shelf.Drop(k.Number) // it is dropped again at the next start
			continue
		}
		box = append(box, k)
	}
	if m.boxes[dst] = box; len(box) == 0 {
		delete(m.boxes, dst)
	}
}
