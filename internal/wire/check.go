package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Errors of the strict reader. They carry no byte of the input.
var (
	ErrTooLarge     = errors.New("wire: over the limit")
	ErrTruncated    = errors.New("wire: truncated")
	ErrTrailing     = errors.New("wire: trailing bytes")
	ErrNotCanonical = errors.New("wire: not the deterministic encoding")
	ErrShape        = errors.New("wire: wrong shape")
)

// Limit bounds one decoding. The zero value of a field means its default.
type Limit struct {
	Bytes int // whole item, in bytes; default 65536
	Items int // items in one array or pairs in one map; default 64
	Depth int // nested arrays and maps; default 12
}

func (l Limit) orDefault() Limit {
	if l.Bytes == 0 {
		l.Bytes = 1 << 16
	}
	if l.Items == 0 {
		l.Items = 64
	}
	if l.Depth == 0 {
		l.Depth = 12
	}
	return l
}

// Check reports whether data is exactly one deterministic CBOR item within lim.
func Check(data []byte, lim Limit) error {
	_, rest, err := Next(data, lim)
	if err == nil && len(rest) > 0 {
		return ErrTrailing
	}
	return err
}

// Next cuts the first deterministic item off a CBOR sequence (RFC 8742).
// Limit.Bytes bounds the item, not the sequence.
func Next(data []byte, lim Limit) (item RawMessage, rest []byte, err error) {
	c := newChecker(data, lim.orDefault())
	if err := c.item(0); err != nil {
		return nil, nil, err
	}
	return RawMessage(data[:c.off:c.off]), data[c.off:], nil
}

type checker struct {
	in  []byte
	off int
	lim Limit
	cut bool // the input goes on behind in
}

func newChecker(data []byte, lim Limit) checker {
	return checker{in: data[:min(len(data), lim.Bytes)], lim: lim, cut: len(data) > lim.Bytes}
}

func (c *checker) item(depth int) error {
	major, arg, err := c.head()
	if err != nil {
		return err
	}
	switch major {
	case 0, 1:
		return nil
	case 2, 3:
		return c.text(major, arg)
	case 4, 5:
		if depth >= c.lim.Depth || arg > uint64(c.lim.Items) { //nolint:gosec // Items > 0 by orDefault
			return ErrTooLarge
		}
		if major == 4 {
			return c.array(arg, depth)
		}
		return c.pairs(arg, depth)
	case 7:
		if arg >= 20 && arg <= 22 { // false, true, null
			return nil
		}
	}
	return fmt.Errorf("%w: tag, float or simple value", ErrNotCanonical)
}

func (c *checker) text(major byte, n uint64) error {
	if n > uint64(len(c.in)-c.off) { //nolint:gosec // off <= len(in)
		return c.short()
	}
	s := c.in[c.off : c.off+int(n)] //nolint:gosec // n <= len(in) was just checked
	c.off += len(s)
	if major == 3 && !utf8.Valid(s) {
		return fmt.Errorf("%w: text is not UTF-8", ErrNotCanonical)
	}
	return nil
}

func (c *checker) array(n uint64, depth int) error {
	for range n {
		if err := c.item(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) pairs(n uint64, depth int) error {
	var last []byte
	for i := range n {
		from := c.off
		if err := c.item(depth + 1); err != nil {
			return err
		}
		key := c.in[from:c.off]
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("%w: map keys", ErrNotCanonical)
		}
		last = key
		if err := c.item(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// head reads an initial byte and its argument, which must be the shortest.
func (c *checker) head() (major byte, arg uint64, err error) {
	if c.off >= len(c.in) {
		return 0, 0, c.short()
	}
	major, low := c.in[c.off]>>5, c.in[c.off]&31
	c.off++
	if low < 24 {
		return major, uint64(low), nil
	}
	if low > 27 {
		return 0, 0, fmt.Errorf("%w: indefinite or reserved length", ErrNotCanonical)
	}
	if major == 7 {
		return 0, 0, fmt.Errorf("%w: float or simple value", ErrNotCanonical)
	}
	n := 1 << (low - 24)
	if n > len(c.in)-c.off {
		return 0, 0, c.short()
	}
	var b [8]byte
	copy(b[8-n:], c.in[c.off:c.off+n])
	c.off += n
	arg = binary.BigEndian.Uint64(b[:])
	if least := [4]uint64{24, 1 << 8, 1 << 16, 1 << 32}[low-24]; arg < least {
		return 0, 0, fmt.Errorf("%w: longer head than needed", ErrNotCanonical)
	}
	return major, arg, nil
}

func (c *checker) short() error {
	if c.cut {
		return ErrTooLarge
	}
	return ErrTruncated
}
