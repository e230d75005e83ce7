package permission

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// Limits of a code. Source: local, docs/spec/permission.md.
const (
	MaxCode  = 1024 // bytes
	MaxUnits = 32   // units in a code
	MaxItems = 64   // items in a unit
)

// Item is a tag-length-value element: a unit of a code, or a condition inside
// a unit.
type Item struct {
	Tag   uint8
	Value []byte
}

// lengths is the one place that knows how a length is written. Each profile
// number names one. Source: local (the standard's length field is not public).
type lengths interface {
	put(dst []byte, n int) []byte
	get(r *wire.Reader) (int, error)
}

// profileLengths gives a profile's length format, or nil for an unknown profile.
func profileLengths(profile uint8) lengths {
	if profile == Profile1 {
		return shortLong{}
	}
	return nil
}

// shortLong writes lengths below 128 as one byte, below 256 as 0x81 n, others
// as 0x82 and two bytes; only the shortest form is accepted.
type shortLong struct{}

func (shortLong) put(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n)) //nolint:gosec // bounded by the case
	case n < 0x100:
		return append(dst, 0x81, byte(n))
	default:
		return append(dst, 0x82, byte(n>>8), byte(n)) //nolint:gosec // a unit is at most 65,535 bytes
	}
}

func (shortLong) get(r *wire.Reader) (int, error) {
	var n, least int
	first := r.U8()
	switch first {
	case 0x81:
		n, least = int(r.U8()), 0x80
	case 0x82:
		n, least = int(r.U16()), 0x100
	default:
		n = int(first)
		if n >= 0x80 {
			return 0, fmt.Errorf("%w: length form", ErrMalformed)
		}
	}
	if r.Err() != nil || n < least {
		return 0, fmt.Errorf("%w: length", ErrMalformed)
	}
	return n, nil
}

func readItems(data []byte, l lengths, most int) ([]Item, error) {
	r := wire.NewReader(data)
	var items []Item
	for r.Len() > 0 {
		tag := r.U8()
		n, err := l.get(r)
		if err != nil {
			return nil, err
		}
		value := r.Bytes(n)
		if r.Err() != nil || len(items) == most {
			return nil, fmt.Errorf("%w: item of tag 0x%02x", ErrMalformed, tag)
		}
		if len(items) > 0 && items[len(items)-1].Tag > tag {
			return nil, fmt.Errorf("%w: order of tags", ErrMalformed)
		}
		items = append(items, Item{tag, slices.Clone(value)})
	}
	return items, nil
}

func appendItems(dst []byte, l lengths, items []Item) []byte {
	for _, it := range items {
		dst = append(dst, it.Tag)
		dst = l.put(dst, len(it.Value))
		dst = append(dst, it.Value...)
	}
	return dst
}

// itemWriter collects a unit's conditions; absent ones (zero) are not written.
type itemWriter struct{ items []Item }

func (w *itemWriter) num(tag uint8, v uint64) {
	if v != 0 {
		w.items = append(w.items, Item{tag, minimal(v)})
	}
}

func (w *itemWriter) ms(tag uint8, v int64) { w.num(tag, uint64(max(v, 0))) } // not negative

func (w *itemWriter) bytes(tag uint8, v []byte) {
	if len(v) > 0 {
		w.items = append(w.items, Item{tag, v})
	}
}

// with adds the unknown items and sorts by tag, keeping the order of repeats.
func (w *itemWriter) with(extra []Item) []Item {
	out := append(w.items, extra...)
	slices.SortStableFunc(out, func(a, b Item) int { return int(a.Tag) - int(b.Tag) })
	return out
}

func minimal(v uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	i := 0
	for i < 7 && b[i] == 0 {
		i++
	}
	return slices.Clone(b[i:])
}

// itemReader hands each known item to the unit, once, and keeps the first error.
type itemReader struct {
	seen [256]bool
	err  error
}

func (r *itemReader) fail(it Item, why string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: item 0x%02x: %s", ErrMalformed, it.Tag, why)
	}
}

func (r *itemReader) once(it Item) {
	if r.seen[it.Tag] {
		r.fail(it, "repeated")
	}
	r.seen[it.Tag] = true
}

// num reads a number above 0 in its shortest big-endian form.
func (r *itemReader) num(it Item, most uint64) uint64 {
	r.once(it)
	if len(it.Value) == 0 || len(it.Value) > 8 || it.Value[0] == 0 {
		r.fail(it, "not a shortest number above 0")
		return 0
	}
	var v uint64
	for _, b := range it.Value {
		v = v<<8 | uint64(b)
	}
	if v > most {
		r.fail(it, "number too large")
		return 0
	}
	return v
}

// maxTime bounds every time and duration, in ms: 2^53 - 1, exact in JSON.
const maxTime = 1<<53 - 1

func (r *itemReader) ms(it Item) int64 { return int64(r.num(it, maxTime)) } //nolint:gosec // <= 2^53

func (r *itemReader) bytes(it Item) []byte {
	r.once(it)
	if len(it.Value) == 0 {
		r.fail(it, "empty")
	}
	return it.Value
}
