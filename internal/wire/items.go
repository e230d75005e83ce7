package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Major types of CBOR (RFC 8949 section 3.1) that are read and written by hand.
const (
	majorUint     = 0
	majorNegative = 1
	majorBytes    = 2
	majorText     = 3
	majorArray    = 4
	majorMap      = 5
)

// The encodings of false, true and null.
const (
	falsehood = 0xf4
	truth     = 0xf5
	null      = 0xf6
)

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

// Items reads the checked items of an array, or the keys and values of a map, one
// after the other, without reflection. The first one of another type than was asked
// for, or that is missing, sets an error that stays: callers read on and ask Err
// once. It copies nothing.
type Items struct {
	in   []byte // from the next item on
	left int    // items not yet read
	err  error
}

// ItemsOf is Array for reading element by element.
func ItemsOf(data []byte, least, most int, lim Limit) (Items, error) {
	if err := Check(data, lim); err != nil {
		return Items{}, err
	}
	r := Items{in: data, left: 1}
	in := r.Array(least, most)
	return in, in.err
}

// PairsOf is ItemsOf for a map of up to most pairs.
func PairsOf(data []byte, most int, lim Limit) (Items, error) {
	if err := Check(data, lim); err != nil {
		return Items{}, err
	}
	r := Items{in: data, left: 1}
	in := r.Pairs(most)
	return in, in.err
}

// head passes over the head of the next item, which has the major type, and gives
// its argument.
func (r *Items) head(major byte) (arg uint64) {
	if r.err != nil || r.left == 0 || len(r.in) == 0 || r.in[0]>>5 != major {
		r.Fail(ErrShape)
		return 0
	}
	c := checker{in: r.in}
	_, arg, r.err = c.head()
	r.in, r.left = r.in[c.off:], r.left-1
	return arg
}

// Array begins to read the next item, an array of least to most elements. Who has
// read them gives them to Done and reads on.
func (r *Items) Array(least, most int) Items {
	n := r.head(majorArray)
	if n < uint64(least) || n > uint64(most) { //nolint:gosec // counts of the caller
		r.Fail(fmt.Errorf("%w: array of %d items", ErrShape, n))
	}
	if r.err != nil {
		return Items{err: r.err}
	}
	return Items{in: r.in, left: int(n)} //nolint:gosec // at most most
}

// Pairs is Array for a map of up to most pairs.
func (r *Items) Pairs(most int) Items {
	n := r.head(majorMap)
	if n > uint64(most) { //nolint:gosec // a count of the caller
		r.Fail(fmt.Errorf("%w: map of %d pairs", ErrShape, n))
	}
	if r.err != nil {
		return Items{err: r.err}
	}
	return Items{in: r.in, left: 2 * int(n)} //nolint:gosec // at most most
}

// Done reads on behind an array or a map, all of which must have been read.
func (r *Items) Done(in Items) {
	if r.err == nil {
		r.err = in.End()
	}
	r.in = in.in
}

// Join ends the reading of an item that was checked by itself, as Done does.
func (r *Items) Join(in Items, err error) {
	if err == nil {
		err = in.End()
	}
	r.Fail(err)
}

// Key reports whether the next key of a map is k, and passes over it.
func (r *Items) Key(k uint64) bool {
	if r.err != nil || r.left < 2 || len(r.in) == 0 || r.in[0]>>5 != majorUint {
		return false
	}
	c := checker{in: r.in}
	if _, n, err := c.head(); err != nil || n != k {
		return false
	}
	r.in, r.left = r.in[c.off:], r.left-1
	return true
}

// Need passes over the next key of a map, which must be k.
func (r *Items) Need(k uint64) {
	if !r.Key(k) {
		r.Fail(ErrShape)
	}
}

// Raw returns the next item, or nil when there is none.
func (r *Items) Raw() RawMessage {
	c := checker{in: r.in, lim: Limit{Items: math.MaxInt, Depth: math.MaxInt}} // it is within its limits
	if r.err != nil || r.left == 0 || c.item(0) != nil {
		r.Fail(ErrShape)
		return nil
	}
	item := RawMessage(r.in[:c.off:c.off])
	r.in, r.left = r.in[c.off:], r.left-1
	return item
}

// content returns the content of the next item, a string of the major type.
func (r *Items) content(major byte) []byte {
	n := r.head(major)
	if r.err != nil || n > uint64(len(r.in)) {
		r.Fail(ErrShape)
		return nil
	}
	s := r.in[:n:n]
	r.in = r.in[n:]
	return s
}

// Uint returns the next item, an unsigned integer that is at most most.
func (r *Items) Uint(most uint64) uint64 {
	n := r.head(majorUint)
	if r.err != nil || n > most {
		r.Fail(ErrShape)
		return 0
	}
	return n
}

// Int returns the next item, an integer.
func (r *Items) Int() int64 {
	if r.err == nil && len(r.in) > 0 && r.in[0]>>5 == majorNegative {
		n := r.head(majorNegative)
		if n > math.MaxInt64 {
			r.Fail(ErrShape)
			return 0
		}
		return -1 - int64(n)
	}
	return int64(r.Uint(math.MaxInt64)) //nolint:gosec // at most MaxInt64
}

// Bool returns the next item, true or false.
func (r *Items) Bool() bool {
	if item := r.Raw(); len(item) == 1 && (item[0] == truth || item[0] == falsehood) {
		return item[0] == truth
	}
	r.Fail(ErrShape)
	return false
}

// Bytes returns the content of the next item, a byte string.
func (r *Items) Bytes() []byte { return r.content(majorBytes) }

// Text returns the next item, a text.
func (r *Items) Text() string { return string(r.content(majorText)) }

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
		r.Fail(ErrShape)
	}
}

// Null reports whether the next item is null, and leaves it there.
func (r *Items) Null() bool { return r.left > 0 && len(r.in) > 0 && r.in[0] == null }

// IsBytes reports whether the next item is a byte string, and leaves it there.
func (r *Items) IsBytes() bool { return r.left > 0 && len(r.in) > 0 && r.in[0]>>5 == majorBytes }

// Len is the number of items not yet read; a pair of a map is two.
func (r *Items) Len() int { return r.left }

// Err is the first error met, or nil.
func (r *Items) Err() error { return r.err }

// Fail sets the error, if there is none yet: for who reads what an item says.
func (r *Items) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// End is Err, and an error where not all was read.
func (r *Items) End() error {
	if r.err == nil && r.left > 0 {
		return ErrShape
	}
	return r.err
}

// Room appends nothing to b and makes room for n bytes more. The array that it leaves
// is cleared, so that no secret stays in it: b is not to be used again.
func Room(b []byte, n int) []byte {
	if len(b) >= longBuffer {
		n += plainAppends
	}
	if cap(b)-len(b) >= n {
		return b
	}
	more := make([]byte, len(b), max(2*cap(b), len(b)+n))
	copy(more, b)
	clear(b)
	return more
}

// An encoding of longBuffer bytes or more keeps room for so many that are appended
// without Room, keys of maps, say: then only Room leaves an array. Shorter ones stand in
// memory of their size, and are at the start of the longer one of Marshal. Source: local.
const (
	longBuffer   = 32 << 10
	plainAppends = 64
)

// AppendArray appends the head of an array of n elements.
func AppendArray(b []byte, n int) []byte { return appendHead(b, majorArray, uint64(n)) } //nolint:gosec // a count

// AppendMap appends the head of a map of n pairs. The caller appends them in the
// order of their keys.
func AppendMap(b []byte, n int) []byte { return appendHead(b, majorMap, uint64(n)) } //nolint:gosec // a count

// AppendUint appends an unsigned integer.
func AppendUint(b []byte, n uint64) []byte { return appendHead(b, majorUint, n) }

// AppendInt appends an integer.
func AppendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, majorNegative, uint64(-1-n))
	}
	return appendHead(b, majorUint, uint64(n))
}

// AppendBool appends true or false.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, truth)
	}
	return append(b, falsehood)
}

// AppendBytes appends a byte string; nil becomes null, as Marshal has it.
func AppendBytes(b, s []byte) []byte {
	if s == nil {
		return append(b, null)
	}
	return append(appendHead(Room(b, headLen+len(s)), majorBytes, uint64(len(s))), s...)
}

// AppendList appends an array of byte strings; nil becomes null.
func AppendList(b []byte, list [][]byte) []byte {
	if list == nil {
		return append(b, null)
	}
	b = AppendArray(b, len(list))
	for _, s := range list {
		b = AppendBytes(b, s)
	}
	return b
}

// AppendText appends a text, which is UTF-8.
func AppendText(b []byte, s string) []byte {
	return append(appendHead(Room(b, headLen+len(s)), majorText, uint64(len(s))), s...)
}

// AppendRaw appends what is encoded.
func AppendRaw(b, items []byte) []byte { return append(Room(b, len(items)), items...) }

// appendHead appends a head in its shortest form (RFC 8949 section 4.2.1).
func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	if len(b) >= longBuffer {
		b = Room(b, headLen)
	}
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
