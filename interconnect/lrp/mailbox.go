package lrp

import (
	"cmp"
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
	// MaxMail is how many frames wait in all, and MaxMailBytes their bytes.
	MaxMail      = 4096
	MaxMailBytes = 64 << 20
	// MaxMailFrom is how many frames of one source wait in all boxes, and
	// MaxFromBytes their bytes: a quarter, so that nobody fills it alone.
	MaxMailFrom  = MaxMail / 4
	MaxFromBytes = MaxMailBytes / 4
	// FullWait is when a frame that found no place may be left again: a box empties
	// when who it is for comes.
	FullWait = time.Minute
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
	last  uint64          // the newest number given, when its frame has gone: its record stays on the shelf, so that a restart gives no number again; 0: none
	boxes map[Addr][]Kept // ascending by number
	all   Share
	from  map[Addr]Share
}

// Share is how much of a mailbox is taken: frames, and the bytes of their bodies.
type Share struct{ Frames, Bytes int }

// with is the share after n more or fewer frames like f.
func (s Share) with(f Frame, n int) Share { return Share{s.Frames + n, s.Bytes + n*len(f.Body)} }

func (s Share) over(frames, bytes int) bool { return s.Frames > frames || s.Bytes > bytes }

// Held is how much waits in all.
func (m *Mailbox) Held() Share { return m.all }

// count notes that a frame came, 1, or went, -1.
func (m *Mailbox) count(f Frame, n int) {
	m.all = m.all.with(f, n)
	if m.from[f.Src] = m.from[f.Src].with(f, n); m.from[f.Src].Frames == 0 {
		delete(m.from, f.Src)
	}
}

// ErrFull is returned when a box, or a source's share of it, is full.
var ErrFull = errors.New("lrp: the mailbox is full")

// NewMailbox returns a mailbox with what its shelf held. Numbers go on above all of
// these and above the clock in ms, so that a shelf that was lost gives none again.
func NewMailbox(shelf Shelf, held []Kept, now time.Time) *Mailbox {
	m := &Mailbox{shelf: shelf, next: uint64(max(now.UnixMilli(), 1)), boxes: map[Addr][]Kept{}, from: map[Addr]Share{}}
	slices.SortFunc(held, func(a, b Kept) int { return cmp.Compare(a.Number, b.Number) })
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
			m.count(old.Frame, -1)
			continue
		}
		box = append(box, old)
	}
	m.boxes[k.Frame.Dst] = append(box, k)
	m.count(k.Frame, 1)
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
	err := m.room(f)
	if err != nil {
		m.Sweep(now) // what nobody came for, in other boxes
		err = m.room(f)
	}
	if err != nil {
		return Kept{}, err
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
	if m.last != 0 {
		_ = m.shelf.Drop(m.last)
		m.last = 0
	}
	for _, n := range m.add(k) {
		_ = m.shelf.Drop(n) // the newer one wins when both come back after a crash
	}
	return k, nil
}

// room reports which limit a frame would exceed, if it does.
func (m *Mailbox) room(f Frame) error {
	box, known := m.boxes[f.Dst]
	if !known && len(m.boxes) >= MaxBoxes {
		return fmt.Errorf("%w: %d have a box", ErrFull, MaxBoxes)
	}
	all, from := m.all.with(f, 1), m.from[f.Src].with(f, 1)
	in, own := Share{}.with(f, 1), Share{}.with(f, 1)
	for _, old := range box {
		if sameTopic(old.Frame, f) { // it makes room
			all, from = all.with(old.Frame, -1), from.with(old.Frame, -1)
			continue
		}
		in = in.with(old.Frame, 1)
		if old.Frame.Src == f.Src {
			own = own.with(old.Frame, 1)
		}
	}
	switch {
	case own.over(MaxMailSource, MaxSourceBytes):
		return fmt.Errorf("%w: of this source for this box", ErrFull)
	case in.over(MaxMailBox, MaxBoxBytes):
		return fmt.Errorf("%w: this box", ErrFull)
	case from.over(MaxMailFrom, MaxFromBytes):
		return fmt.Errorf("%w: of this source in all", ErrFull)
	case all.over(MaxMail, MaxMailBytes):
		return fmt.Errorf("%w: in all", ErrFull)
	}
	return nil
}

// Among are the frames that wait for any of some addresses, with numbers above after,
// oldest first.
func (m *Mailbox) Among(dst []Addr, after uint64, now time.Time) (out []Kept) {
	for _, d := range dst {
		out = append(out, m.For(d, after, now)...)
	}
	slices.SortFunc(out, func(a, b Kept) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// Taken drops what an address has taken: its frames with numbers up to one.
// A number that was never given here is of another mailbox, or of one that was lost:
// nothing was taken by it.
func (m *Mailbox) Taken(dst Addr, upTo uint64) {
	if upTo >= m.next {
		return
	}
	m.drop(dst, func(k Kept) bool { return k.Number <= upTo })
}

// unshelve drops the record of a frame that has gone; after a crash it is dropped
// again, or fetched again. The newest record stays until there is another.
func (m *Mailbox) unshelve(n uint64) {
	if n+1 == m.next {
		m.last = n
		return
	}
	_ = m.shelf.Drop(n)
}

// drop takes frames out of a box.
func (m *Mailbox) drop(dst Addr, over func(Kept) bool) {
	box := m.boxes[dst][:0:0]
	for _, k := range m.boxes[dst] {
		if over(k) {
			m.unshelve(k.Number)
			m.count(k.Frame, -1)
			continue
		}
		box = append(box, k)
	}
	if m.boxes[dst] = box; len(box) == 0 {
		delete(m.boxes, dst)
	}
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
	m.drop(dst, func(Kept) bool { return true })
}

// Sweep drops what has lapsed in all boxes.
func (m *Mailbox) Sweep(now time.Time) {
	for dst := range m.boxes {
		m.sweep(dst, now)
	}
}

func (m *Mailbox) sweep(dst Addr, now time.Time) {
	m.drop(dst, func(k Kept) bool { return k.over(now) })
}
