package permission

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// maxTime bounds every time and duration, in ms: 2^53 - 1, exact in JSON.
const maxTime = 1<<53 - 1

// coder carries units between their structs and their bytes. A unit describes
// its items once, in the order of their tags, between begin and end; the same
// description writes and reads, so both have the same rules. Writing leaves the
// structs alone. The first error stays, and what comes after it is void.
type coder struct {
	lengths lengths
	reading bool
	unit    uint8 // the unit at hand
	items   int   // of that unit, so far
	err     error

	extra []Item // unknown items: when writing those to come, when reading those met

	out     []byte // writing: the code so far
	start   int    // writing: where the value of the unit at hand begins
	units   int    // writing: so far
	unknown []Item // writing: unknown units to come

	value []byte      // reading: the unit at hand
	rest  wire.Reader // reading: its bytes behind item
	item  Item        // reading: the next item
	more  bool        // reading: there is one
}

// fail keeps the first error, which names the unit and the item.
func (c *coder) fail(item uint8, format string, args ...any) {
	c.failUnit(itemName(c.unit, item)+": "+format, args...)
}

// failUnit keeps the first error, which names the unit.
func (c *coder) failUnit(format string, args ...any) {
	if c.err != nil {
		return
	}
	base := ErrInvalid
	if c.reading {
		base = ErrMalformed
	}
	c.more = false
	c.err = fmt.Errorf("%w: %s: %s", base, unitName(c.unit), fmt.Sprintf(format, args...))
}

// begin starts a unit; extra are its unknown items, when writing.
func (c *coder) begin(unit uint8, extra []Item) {
	if c.reading {
		c.unit, c.items, c.extra = unit, 0, nil
		c.rest = *wire.NewReader(c.value)
		c.advance()
		return
	}
	c.unknownBelow(int(unit))
	c.unit, c.items, c.extra = unit, 0, byTag(extra)
	c.out = append(c.out, unit)
	c.start = len(c.out)
}

// end finishes a unit; when reading it sets extra to what was unknown.
func (c *coder) end(extra *[]Item) {
	if c.reading {
		for c.more {
			c.keep()
		}
		*extra = c.extra
		return
	}
	for _, it := range c.extra {
		put(c, it.Tag, it.Value)
	}
	var length [4]byte
	c.out = slices.Insert(c.out, c.start, c.lengths.put(length[:0], len(c.out)-c.start)...)
	c.count()
}

// count checks the limits behind each written unit.
func (c *coder) count() {
	if c.units++; c.units > MaxUnits {
		c.failUnit("more than %d units", MaxUnits)
	}
	if len(c.out) > MaxCode {
		c.failUnit("the code is longer than %d bytes", MaxCode)
	}
}

// unknownBelow writes the unknown units whose tags are below the given one.
func (c *coder) unknownBelow(tag int) {
	for ; len(c.unknown) > 0 && int(c.unknown[0].Tag) < tag; c.unknown = c.unknown[1:] {
		it := c.unknown[0]
		if c.unit, c.items = it.Tag, 0; known(it.Tag) {
			c.failUnit("stands among the unknown units")
		}
		put(c, it.Tag, it.Value)
		c.count()
	}
}

// put writes one element.
func put[T ~string | ~[]byte](c *coder, tag uint8, v T) {
	if c.items++; c.items > MaxItems {
		c.fail(tag, "more than %d items", MaxItems)
	}
	c.out = append(c.out, tag)
	c.out = c.lengths.put(c.out, len(v))
	c.out = append(c.out, v...)
}

// before writes the unknown items whose tags are below that of a known one.
func (c *coder) before(item uint8) {
	for ; len(c.extra) > 0 && c.extra[0].Tag <= item; c.extra = c.extra[1:] {
		if c.extra[0].Tag == item {
			c.fail(item, "stands among the unknown items")
		}
		put(c, c.extra[0].Tag, c.extra[0].Value)
	}
}

// advance reads the next item of the unit at hand.
func (c *coder) advance() {
	last := c.item.Tag
	if c.more = c.err == nil && c.rest.Len() > 0; !c.more {
		return
	}
	var why string
	c.item, why = readItem(&c.rest, c.lengths)
	c.items++
	switch {
	case why != "":
		c.fail(c.item.Tag, "%s", why)
	case c.items > 1 && c.item.Tag < last:
		c.fail(c.item.Tag, "out of order")
	case c.items > MaxItems:
		c.fail(c.item.Tag, "more than %d items", MaxItems)
	}
}

// keep puts the next item among the unknown ones.
func (c *coder) keep() {
	c.extra = append(c.extra, Item{c.item.Tag, slices.Clone(c.item.Value)})
	c.advance()
}

// take reads the value of the next item if it is the given one, else nil.
func (c *coder) take(item uint8) []byte {
	for c.more && c.item.Tag < item {
		c.keep()
	}
	if !c.more || c.item.Tag != item {
		return nil
	}
	v := c.item.Value
	if len(v) == 0 {
		c.fail(item, "empty")
		return nil
	}
	c.advance()
	return v
}

// once is take for an item that does not repeat.
func (c *coder) once(item uint8) []byte {
	v := c.take(item)
	if c.more && c.item.Tag == item {
		c.fail(item, "repeated")
	}
	return v
}

// num carries a number above 0, big-endian in its shortest form; 0 is absent.
func (c *coder) num(item uint8, v *uint64, most uint64) {
	n := *v
	if c.reading {
		b := c.once(item)
		if b == nil {
			return
		}
		if len(b) > 8 || b[0] == 0 {
			c.fail(item, "not a shortest number above 0")
			return
		}
		n = 0
		for _, x := range b {
			n = n<<8 | uint64(x)
		}
		*v = n
	}
	if n > most {
		c.fail(item, "%d is more than %d", n, most)
	}
	if c.reading {
		return
	}
	c.before(item)
	if n != 0 {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		put(c, item, b[bits.LeadingZeros64(n)/8:])
	}
}

// code carries a number of one byte, such as a value of the registry.
func (c *coder) code(item uint8, v *uint8, most uint8) {
	n := uint64(*v)
	if c.num(item, &n, uint64(most)); c.reading {
		*v = uint8(n) //nolint:gosec // num failed if it is more
	}
}

// ms carries a time or duration in ms, neither of which is negative.
func (c *coder) ms(item uint8, v *int64) {
	n := *v
	if n < 0 {
		c.fail(item, "%d is negative", n)
		return
	}
	u := uint64(n)
	if c.num(item, &u, maxTime); c.reading {
		*v = int64(u) //nolint:gosec // num failed if it is more
	}
}

// text carries a string; "" is absent.
func text[T ~string](c *coder, item uint8, v *T) {
	if c.reading {
		if b := c.once(item); b != nil {
			*v = T(b)
		}
		return
	}
	if c.before(item); *v != "" {
		put(c, item, *v)
	}
}

// bytes carries bytes; none are absent.
func (c *coder) bytes(item uint8, v *[]byte) {
	if c.reading {
		*v = slices.Clone(c.once(item))
		return
	}
	if c.before(item); len(*v) > 0 {
		put(c, item, *v)
	}
}
