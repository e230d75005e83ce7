package edhoc

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// The few forms of CBOR that EDHOC is made of are written and read by hand
// here, because the bytes of one exchange pass through them some sixty times:
// with the general encoder they cost a tenth of an exchange. What is read was
// checked by internal/wire before, so it is deterministic; a test compares what
// is written with internal/wire's own encoding.

// Major types (RFC 8949 section 3.1).
const (
	majorUint  = 0
	majorNint  = 1
	majorBytes = 2
	majorArray = 4
	majorMap   = 5
)

func majorOf(item []byte) byte { return item[0] >> 5 }

// appendHead writes an initial byte and its argument in the shortest form.
func appendHead(dst []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= math.MaxUint8:
		return append(dst, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

func appendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return appendHead(dst, majorNint, uint64(-1-v))
	}
	return appendHead(dst, majorUint, uint64(v))
}

func appendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

// bstr encodes a byte string; a nil one is empty.
func bstr(b []byte) []byte { return appendBytes(make([]byte, 0, len(b)+9), b) }

// encode encodes what is not on the way of every exchange: text, truth values
// and lists of suites.
func encode(v any) []byte {
	b, err := wire.Marshal(v)
	if err != nil {
		panic(err) //nolint:forbidigo // these kinds always encode
	}
	return b
}

// appendID writes a connection or key ID: one byte that is the encoding of a
// small integer stands for itself (RFC 9528 section 3.3.2).
func appendID(dst, id []byte) []byte {
	if len(id) == 1 && small(id[0]) {
		return append(dst, id[0])
	}
	return appendBytes(dst, id)
}

func encodeID(id []byte) []byte { return appendID(nil, id) }

func parseID(item []byte) ([]byte, error) {
	if len(item) == 1 && small(item[0]) {
		return []byte{item[0]}, nil
	}
	id, err := bytesOf(item)
	if err != nil {
		return nil, err
	}
	if len(id) == 1 && small(id[0]) {
		return nil, fmt.Errorf("%w: byte string where an integer belongs", ErrMalformed)
	}
	return id, nil
}

// small reports whether b alone encodes an integer between -24 and 23.
func small(b byte) bool { return b>>5 <= majorNint && b&31 < 24 }

// next cuts the first item off a CBOR sequence and checks it. Neither part is
// a copy.
func next(data []byte) (item, rest []byte, err error) {
	item, rest, err = wire.Next(data, wire.Limit{Bytes: MaxMessage})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return item, rest, nil
}

// take cuts n items off a CBOR sequence.
func take(data []byte, n int) (items [][]byte, rest []byte, err error) {
	if len(data) > MaxMessage {
		return nil, nil, fmt.Errorf("%w: message", ErrTooLong)
	}
	items = make([][]byte, 0, n)
	for range n {
		item, after, err := next(data)
		if err != nil {
			return nil, nil, err
		}
		items, data = append(items, item), after
	}
	return items, data, nil
}

// argOf reads the head of an item that was checked before and returns its
// argument and its length in bytes.
func argOf(item []byte) (arg uint64, n int) {
	low := item[0] & 31
	if low < 24 {
		return uint64(low), 1
	}
	n = 1 << (low - 24)
	for _, b := range item[1 : 1+n] {
		arg = arg<<8 | uint64(b)
	}
	return arg, 1 + n
}

// intOf reads an integer item that was checked before.
func intOf(item []byte) (int64, error) {
	arg, _ := argOf(item)
	if majorOf(item) > majorNint || arg > math.MaxInt64 {
		return 0, fmt.Errorf("%w: not an integer of 64 bits", ErrMalformed)
	}
	if majorOf(item) == majorNint {
		return -1 - int64(arg), nil
	}
	return int64(arg), nil
}

// cutInt cuts an integer off a sequence that was checked before; ok is false when
// something else stands there.
func cutInt(data []byte) (v int64, rest []byte, ok bool) {
	v, err := intOf(data)
	if err != nil {
		return 0, nil, false
	}
	_, n := argOf(data)
	return v, data[n:], true
}

// bytesOf reads a byte string item that was checked before, and copies it: a
// part of a message outlives the message.
func bytesOf(item []byte) ([]byte, error) {
	if majorOf(item) != majorBytes {
		return nil, fmt.Errorf("%w: not a byte string", ErrMalformed)
	}
	_, n := argOf(item)
	return append([]byte{}, item[n:]...), nil
}

// only reads a message that is a single byte string. It is not a copy.
func only(data []byte) ([]byte, error) {
	if len(data) > MaxMessage {
		return nil, fmt.Errorf("%w: message", ErrTooLong)
	}
	item, rest, err := next(data)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 || majorOf(item) != majorBytes {
		return nil, fmt.Errorf("%w: not one byte string", ErrMalformed)
	}
	_, n := argOf(item)
	return item[n:], nil
}

func encodeSuites(list []Suite) []byte {
	if len(list) == 1 {
		return appendInt(nil, int64(list[0]))
	}
	return encode(list)
}

// parseSuites reads one suite or an array of at least two, none twice. The
// item was checked before.
func parseSuites(item []byte) ([]Suite, error) {
	if majorOf(item) <= majorNint {
		s, err := suiteOf(item)
		return []Suite{s}, err
	}
	var list []Suite
	if err := wire.Unmarshal(item, &list, wire.Limit{Items: maxSuites, Depth: 1}); err != nil || len(list) < 2 {
		return nil, fmt.Errorf("%w: suites", ErrMalformed)
	}
	for i, s := range list {
		if slices.Contains(list[:i], s) {
			return nil, fmt.Errorf("%w: suites", ErrMalformed)
		}
	}
	return list, nil
}

func suiteOf(item []byte) (Suite, error) {
	v, err := intOf(item)
	if err != nil {
		return 0, err
	}
	return Suite(v), nil
}
