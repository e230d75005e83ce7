package bench

import (
	"errors"
	"math"
	"math/bits"
)

// cascade is a Bloom filter cascade as in CRLite (Larisch et al., IEEE S&P 2017):
// a filter of the members, one of those others who seem to be members, one of the
// members who seem to be such, and so on, until nobody is taken for what he is
// not. The first has the false positive rate that makes the whole shortest,
// members/(√2 · others), all others a half.
type cascade []*bloom

// maxCascade is far more than a cascade needs: each level has half of those before.
const maxCascade = 64

func newCascade(s set) (cascade, error) {
	var in []uint32
	first := newBloom(s.n, float64(s.n)/(math.Sqrt2*float64(s.all-s.n)), 0)
	s.each(func(at uint32) {
		in = append(in, at)
		first.add(at)
	})
	out, ok := s.others(first.has, 4*s.n+1000) // 0.7 · members are expected
	if !ok {
		return nil, errors.New("a Bloom filter has far too many false positives")
	}
	c := cascade{first}
	for in, out = out, in; len(in) > 0; in, out = out, in {
		if len(c) == maxCascade {
			return nil, errors.New("a Bloom filter cascade does not end")
		}
		b := newBloom(len(in), 0.5, len(c))
		for _, at := range in {
			b.add(at)
		}
		out = b.mistaken(out)
		c = append(c, b)
	}
	return c, nil
}

// has is the level at which the device is not found: after an odd number of
// filters it is a member.
func (c cascade) has(at uint32) bool {
	for i, b := range c {
		if !b.has(at) {
			return i%2 == 1
		}
	}
	return len(c)%2 == 1
}

// size is that of the filters, each behind its length (a varint); the numbers of
// hashes follow from the layout, and nothing is signed.
func (c cascade) size() (n int) {
	for _, b := range c {
		n += (b.m+7)/8 + (bits.Len(uint(b.m))+6)/7
	}
	return n
}

func bloomSize(s set) (int, error) {
	c, err := newCascade(s)
	if err != nil {
		return 0, err
	}
	return c.size(), s.verify("Bloom filter cascade", c.has)
}

type bloom struct {
	words  []uint64
	m      int // bits
	hashes int
	salt   uint64
}

// newBloom has room for n with a rate of false positives.
func newBloom(n int, rate float64, level int) *bloom {
	m := max(1, int(math.Ceil(-float64(n)*math.Log(rate)/(math.Ln2*math.Ln2))))
	return &bloom{
		words: make([]uint64, (m+63)/64), m: m, hashes: max(1, int(math.Round(-math.Log2(rate)))), salt: uint64(10_000 + 100*level), //nolint:gosec // small
	}
}

// place is that of the ith hash. Each is one of its own: two that are combined, as
// is usual, have too few patterns for the small filter of a day.
func (b *bloom) place(at uint32, i int) int { return below(mix(at, b.salt+uint64(i)), b.m) } //nolint:gosec // not negative

func (b *bloom) add(at uint32) {
	for i := range b.hashes {
		p := b.place(at, i)
		b.words[p/64] |= 1 << (p % 64)
	}
}

func (b *bloom) has(at uint32) bool {
	for i := range b.hashes {
		if p := b.place(at, i); b.words[p/64]>>(p%64)&1 == 0 {
			return false
		}
	}
	return true
}

// mistaken are those that the filter takes for members.
func (b *bloom) mistaken(of []uint32) (out []uint32) {
	for _, at := range of {
		if b.has(at) {
			out = append(out, at)
		}
	}
	return out
}
