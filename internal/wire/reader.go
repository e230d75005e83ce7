package wire

import "encoding/binary"

// Reader reads fixed layouts from a byte slice. The first read past the end
// sets an error that stays: callers read on and ask Err once.
type Reader struct {
	in  []byte
	err error
}

// NewReader returns a Reader over data, which it does not copy.
func NewReader(data []byte) *Reader { return &Reader{in: data} }

// Bytes returns the next n bytes, or nil when there are fewer.
func (r *Reader) Bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.in) {
		r.err = ErrTruncated
		return nil
	}
	out := r.in[:n:n]
	r.in = r.in[n:]
	return out
}

// Peek returns the next byte without reading it, 0 when there is none.
func (r *Reader) Peek() uint8 {
	if r.err != nil || len(r.in) == 0 {
		return 0
	}
	return r.in[0]
}

// U8 returns the next byte.
func (r *Reader) U8() uint8 {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 returns the next big-endian 16-bit number.
func (r *Reader) U16() uint16 {
	if b := r.Bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 returns the next big-endian 32-bit number.
func (r *Reader) U32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 returns the next big-endian 64-bit number.
func (r *Reader) U64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Len is the number of bytes not yet read.
func (r *Reader) Len() int { return len(r.in) }

// Err is the first error met, or nil.
func (r *Reader) Err() error { return r.err }

// End is Err, or ErrTrailing when bytes are left.
func (r *Reader) End() error {
	if r.err == nil && len(r.in) > 0 {
		return ErrTrailing
	}
	return r.err
}
