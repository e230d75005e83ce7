package permission

import (
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

// lengths is the one place that knows how a length is written; each profile
// names one. Source: local (the standard's length field is not public).
type lengths uint8

// shortLong writes lengths below 128 as one byte, below 256 as 0x81 n, others
// as 0x82 and two bytes; only the shortest form is accepted.
const shortLong lengths = 1

func (lengths) put(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n)) //nolint:gosec // bounded by the case
	case n < 0x100:
		return append(dst, 0x81, byte(n))
	default:
		return append(dst, 0x82, byte(n>>8), byte(n)) //nolint:gosec // longer ones are over MaxCode, which end and put check
	}
}

// get reads a length, or says why there is none.
func (lengths) get(r *wire.Reader) (n int, why string) {
	least := 0
	switch first := r.U8(); {
	case first < 0x80:
		n = int(first)
	case first == 0x81:
		n, least = int(r.U8()), 0x80
	case first == 0x82:
		n, least = int(r.U16()), 0x100
	default:
		return 0, "length of an unknown form"
	}
	switch {
	case r.Err() != nil:
		return 0, "cut off"
	case n < least:
		return 0, "length not in its shortest form"
	}
	return n, ""
}

// readItem reads one element without copying it, or says why there is none.
func readItem(r *wire.Reader, l lengths) (it Item, why string) {
	it.Tag = r.U8()
	n, why := l.get(r)
	if why != "" {
		return it, why
	}
	if it.Value = r.Bytes(n); r.Err() != nil {
		return it, "cut off"
	}
	return it, ""
}

// byTag is the items in the order of their tags, repeats in their own order.
// It does not touch its argument.
func byTag(items []Item) []Item {
	order := func(a, b Item) int { return int(a.Tag) - int(b.Tag) }
	if slices.IsSortedFunc(items, order) {
		return items
	}
	items = slices.Clone(items)
	slices.SortStableFunc(items, order)
	return items
}
