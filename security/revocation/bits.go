package revocation

import (
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

func (w *bitWriter) bits(v uint64, n int) {
	for n > 0 {
		if w.free == 0 {
			w.out, w.free = append(w.out, 0), 8
		}
		take := min(n, w.free)
		chunk := byte(v >> (n - take) & (1<<take - 1)) //nolint:gosec // at most 8 bits
		w.out[len(w.out)-1] |= chunk << (w.free - take)
		w.free -= take
		n -= take
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

func (r *bitReader) bit() bool {
	if r.bad || r.pos >= 8*len(r.in) {
		r.bad = true
		return false
	}
	b := r.in[r.pos>>3]>>(7-r.pos&7)&1 == 1
	r.pos++
	return b
}

func (r *bitReader) bits(n int) (v uint64) {
	if r.bad || n > r.left() {
		r.bad = true
		return 0
	}
	for n > 0 {
		have := 8 - r.pos&7
		take := min(n, have)
		v = v<<take | uint64(r.in[r.pos>>3]>>(have-take))&(1<<take-1)
		r.pos += take
		n -= take
	}
	return v
}

// gamma reads a gamma code of at most limit.
func (r *bitReader) gamma(limit uint64) uint64 {
	n := 0
	for !r.bit() {
		if n++; r.bad || n > 63 {
			r.bad = true
			return 1
		}
	}
	v := uint64(1)<<n | r.bits(n)
	if r.bad || v > limit {
		r.bad = true
		return 1
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
