package revocation

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// ErrMalformed is returned for bytes that are not the one encoding of any value.
var ErrMalformed = errors.New("revocation: malformed")

// bitWriter packs bits, the first one highest in its byte.
type bitWriter struct {
	out  []byte
	free int // unused low bits of the last byte
}

// len is how many bits were written.
func (w *bitWriter) len() int { return 8*len(w.out) - w.free }

func (w *bitWriter) bits(v uint64, n int) {
	for n > 0 {
		if w.free == 0 {
			w.out, w.free = append(w.out, 0), 8
		}
		take := min(n, w.free)
		n -= take
		w.free -= take
		w.out[len(w.out)-1] |= byte(v>>n&(1<<take-1)) << w.free //nolint:gosec // at most 8 bits
	}
}

func (w *bitWriter) ones(n uint64) {
	for ; n > 32; n -= 32 {
		w.bits(1<<32-1, 32)
	}
	w.bits(1<<n-1, int(n))
}

func (w *bitWriter) flag(b bool) {
	if b {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
}

// gamma writes v >= 1 in Elias's gamma code: as many zeros as v has bits
// behind its first one, then v.
func (w *bitWriter) gamma(v uint64) {
	n := bits.Len64(v)
	w.bits(0, n-1)
	w.bits(v, n)
}

func gammaBits(v uint64) int { return 2*bits.Len64(v) - 1 }

// bitReader reads what bitWriter wrote. The first fault stays.
type bitReader struct {
	in  []byte
	pos int // in bits
	bad bool
}

func (r *bitReader) left() int { return 8*len(r.in) - r.pos }

// peek returns the next bits, 57 or more of them, the first one highest;
// behind the end there are zeros.
func (r *bitReader) peek() uint64 {
	at := r.pos >> 3
	if at+8 <= len(r.in) {
		return binary.BigEndian.Uint64(r.in[at:]) << (r.pos & 7)
	}
	v := uint64(0)
	for i := range 8 {
		if v <<= 8; at+i < len(r.in) {
			v |= uint64(r.in[at+i])
		}
	}
	return v << (r.pos & 7)
}

// skip goes on by n bits, which must be there.
func (r *bitReader) skip(n int) {
	if r.bad || n > r.left() {
		r.bad = true
		return
	}
	r.pos += n
}

func (r *bitReader) bit() bool { return r.bits(1) == 1 }

func (r *bitReader) bits(n int) uint64 {
	if n > 32 {
		high := r.bits(n - 32)
		return high<<32 | r.bits(32)
	}
	v := r.peek() >> (64 - n)
	if r.skip(n); r.bad {
		return 0
	}
	return v
}

// ones reads ones and the zero behind them.
func (r *bitReader) ones() (n uint64) {
	for !r.bad {
		k := min(bits.LeadingZeros64(^r.peek()), 56)
		if k < 56 {
			r.skip(k + 1)
			return n + uint64(k) //nolint:gosec // not negative
		}
		r.skip(k)
		n += 56
	}
	return 0
}

// gamma reads a gamma code of at most limit.
func (r *bitReader) gamma(limit uint64) uint64 {
	n := 0
	for n < 64 && !r.bad && !r.bit() {
		n++
	}
	if n > 63 || r.bad {
		r.bad = true
		return 1
	}
	v := uint64(1)<<n | r.bits(n)
	if r.bad || v > limit {
		r.bad = true
		return 1
	}
	return v
}

// rice reads what rice wrote, of at most limit.
func (r *bitReader) rice(k int, limit uint64) uint64 {
	q := r.ones()
	if q > limit>>k {
		r.bad = true
		return 0
	}
	v := q<<k | r.bits(k)
	if r.bad || v > limit {
		r.bad = true
		return 0
	}
	return v
}

// end reports whether all was read but for zero bits that fill the last byte.
func (r *bitReader) end() bool {
	if r.bad || r.left() > 7 {
		return false
	}
	return r.bits(r.left()) == 0 && !r.bad
}
