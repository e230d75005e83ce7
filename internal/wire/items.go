package wire

import (
	"encoding/binary"
	"fmt"
)

// Major types of CBOR (RFC 8949 section 3.1) that are read and written by hand.
const (
	majorUint  = 0
	majorBytes = 2
	majorText  = 3
	majorArray = 4
)

// null is the encoding of null.
const null = 0xf6

// Array checks data as Check does and returns the elements of an array item,
// whose number must be between least and most, undecoded. They are parts of
// data: who keeps them longer, or changes data, copies them.
func Array(data []byte, least, most int, lim Limit) ([]RawMessage, error) {
	lim = lim.orDefault()
	if len(data) == 0 || data[0]>>5 != majorArray {
		if err := Check(data, lim); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: no array", ErrShape)
	}
	c := newChecker(data, lim)
	_, n, err := c.head()
	if err != nil {
		return nil, err
	}
	if n > uint64(lim.Items) { //nolint:gosec // Items > 0 by orDefault
		return nil, ErrTooLarge
	}
	items := make([]RawMessage, 0, min(int(n), len(data))) //nolint:gosec // n <= Items
	for range n {
		from := c.off
		if err := c.item(1); err != nil {
			return nil, err
		}
		items = append(items, RawMessage(data[from:c.off:c.off]))
	}
	if c.off < len(data) {
		return nil, ErrTrailing
	}
	if len(items) < least || len(items) > most {
		return nil, fmt.Errorf("%w: array of %d items", ErrShape, len(items))
	}
	return items, nil
}

// LeadingUint returns the unsigned integer that an array of up to most items
// begins with. It does not look at what follows.
func LeadingUint(data []byte, most int) (n uint64, ok bool) {
	c := newChecker(data, Limit{}.orDefault())
	major, items, err := c.head()
	if err != nil || major != majorArray || items == 0 || items > uint64(most) { //nolint:gosec // a constant of the caller
		return 0, false
	}
	major, n, err = c.head()
	if err != nil || major != majorUint {
		return 0, false
	}
	return n, true
}

// Items reads checked items one after the other, without reflection. The first
// one of another type than was asked for, or that is missing, sets an error
// that stays: callers read on and ask Err once. It copies nothing.
type Items struct {
	list []RawMessage
	err  error
}

// ItemsOf is Array for reading element by element.
func ItemsOf(data []byte, least, most int, lim Limit) (*Items, error) {
	list, err := Array(data, least, most, lim)
	return &Items{list: list}, err
}

// Raw returns the next item, or nil when there is none.
func (r *Items) Raw() RawMessage {
	if r.err != nil || len(r.list) == 0 {
		r.err = ErrShape
		return nil
	}
	item := r.list[0]
	r.list = r.list[1:]
	return item
}

// of returns argument and content of the next item, which has the major type.
func (r *Items) of(major byte) (arg uint64, content []byte) {
	item := r.Raw()
	if len(item) == 0 || item[0]>>5 != major {
		r.err = ErrShape
		return 0, nil
	}
	c := checker{in: item}
	_, arg, err := c.head()
	if err != nil {
		r.err = err
	}
	return arg, item[c.off:]
}

// Uint returns the next item, an unsigned integer that is at most most.
func (r *Items) Uint(most uint64) uint64 {
	n, _ := r.of(majorUint)
	if n > most {
		r.err = ErrShape
		return 0
	}
	return n
}

// Bytes returns the content of the next item, a byte string.
func (r *Items) Bytes() []byte {
	_, b := r.of(majorBytes)
	return b
}

// OptionalBytes is Bytes, or nil for null.
func (r *Items) OptionalBytes() []byte {
	if r.Null() {
		r.Raw()
		return nil
	}
	return r.Bytes()
}

// Fixed reads the next item, a byte string as long as to, into to.
func (r *Items) Fixed(to []byte) {
	if b := r.Bytes(); copy(to, b) != len(to) || len(b) != len(to) {
		r.err = ErrShape
	}
}

// Null reports whether the next item is null, and leaves it there.
func (r *Items) Null() bool { return len(r.list) > 0 && len(r.list[0]) > 0 && r.list[0][0] == null }

// IsBytes reports whether the next item is a byte string, and leaves it there.
func (r *Items) IsBytes() bool {
	return len(r.list) > 0 && len(r.list[0]) > 0 && r.list[0][0]>>5 == majorBytes
}

// Len is the number of items not yet read.
func (r *Items) Len() int { return len(r.list) }

// Err is the first error met, or nil.
func (r *Items) Err() error { return r.err }

// AppendArray appends the head of an array of n elements.
func AppendArray(b []byte, n int) []byte { return appendHead(b, majorArray, uint64(n)) } //nolint:gosec // a count

// AppendUint appends an unsigned integer.
func AppendUint(b []byte, n uint64) []byte { return appendHead(b, majorUint, n) }

// AppendBytes appends a byte string; nil becomes null, as Marshal has it.
func AppendBytes(b, s []byte) []byte {
	if s == nil {
		return append(b, null)
	}
	return append(appendHead(b, majorBytes, uint64(len(s))), s...)
}

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, majorText, uint64(len(s))), s...)
}

// appendHead appends a head in its shortest form (RFC 8949 section 4.2.1).
func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// headLen bounds the length of a head in bytes.
const headLen = 9
