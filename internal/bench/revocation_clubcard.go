package bench

import (
	"errors"
	"math"
	"math/bits"
	"slices"
)

// clubcard is a Clubcard (Schanck, "Clubcards for the WebPKI", IEEE S&P 2025) as
// the implementation of its authors builds one, with all devices in one block: a
// ribbon filter that holds the members and, of all others, as many again by
// chance; and a ribbon that tells these two apart, one bit each. Where the second
// one cannot say it, the other is listed.
type clubcard struct {
	approx     ribbonTable
	exact      ribbonTable
	exceptions []uint32 // others who would be taken for members, ascending
}

// A ribbon is 2 % longer than what it holds, as the authors have it, and by eight
// columns, which is what few members need. The authors let a ribbon grow behind
// its end; here equations start early enough to end with it, as in the paper on
// ribbons, which is shorter for a day's members.
const (
	ribbonOver = 0.02
	ribbonMore = 8
)

// Salts of the hashes of both ribbons.
const (
	saltApprox = 1000
	saltExact  = 2000
	saltFree   = 3000 // of what no equation decides
)

// newClubcard is nil when a ribbon of this width does not do.
func newClubcard(s set, width int) *clubcard {
	c := &clubcard{}
	rank := max(0, int(math.Floor(math.Log2(float64(s.all-s.n)/float64(s.n)))))
	approx := newRibbon(s.n, rank, width, saltApprox)
	members := make([]uint32, 0, s.n)
	s.each(func(at uint32) {
		members = append(members, at)
		approx.insert(at, 0)
	})
	c.approx = approx.solve(rank)
	// As many again as members, and up to as many more, since the rank is a whole
	// number; far more means that the ribbon is too narrow for so many members.
	others, ok := s.others(c.approx.zero, 4*s.n+1000)
	if !ok {
		return nil
	}
	exact := newRibbon(len(members)+len(others), 1, width, saltExact)
	for _, at := range members { // first: so only others can be refused
		exact.insert(at, 0)
	}
	for _, at := range others {
		if !exact.insert(at, 1) {
			c.exceptions = append(c.exceptions, at)
		}
	}
	c.exact = exact.solve(1)
	slices.Sort(c.exceptions)
	return c
}

func (c *clubcard) has(at uint32) bool {
	if !c.approx.zero(at) || !c.exact.zero(at) {
		return false
	}
	_, listed := slices.BinarySearch(c.exceptions, at)
	return !listed
}

// size is that of both tables, the numbers that describe them (16 bytes), and
// four bytes for each exception. Nothing is signed.
func (c *clubcard) size() int { return c.approx.size() + c.exact.size() + 16 + 4*len(c.exceptions) }

// clubcardSize builds one for each width that may be the shortest and takes that.
// A narrow ribbon fails more often, a wide one has a longer end.
func clubcardSize(s set) (int, error) {
	widths := []int{4}
	switch {
	case s.n < 500:
		widths = []int{1, 2}
	case s.n < 20_000:
		widths = []int{2, 4}
	}
	best := math.MaxInt
	for _, w := range widths {
		c := newClubcard(s, w)
		if c == nil {
			continue
		}
		best = min(best, c.size())
		if err := s.verify(clubcardName, c.has); err != nil {
			return 0, err
		}
	}
	if best == math.MaxInt {
		return 0, errors.New("no Clubcard can be built")
	}
	return best, nil
}

// maxWidth is the most words of coefficients of a row.
const maxWidth = 4

// equation says that the sum of some of 64 · width bits from start on is b. Its
// first coefficient is 1, unless there is none.
type equation struct {
	start int
	coef  [maxWidth]uint64
	b     uint64
}

// ribbonShape says where equations may stand.
type ribbonShape struct {
	columns int
	words   int    // of coefficients
	mask    uint64 // of the first word: all, unless there are fewer columns than bits
	starts  int    // columns that an equation may start at
	salt    uint64
}

// shapeOf has room for n equations and so many independent solutions.
func shapeOf(n, solutions, words int, salt uint64) ribbonShape {
	columns := max(int(math.Ceil(float64(n)*(1+ribbonOver))), n+solutions) + ribbonMore
	s := ribbonShape{columns: columns, mask: math.MaxUint64, salt: salt}
	s.words = max(1, min(words, s.columns/64))
	if s.columns < 64 {
		s.mask = 1<<s.columns - 1
	}
	s.starts = max(1, s.columns-64*s.words+1)
	return s
}

// ribbon is a system of equations in echelon form (Dillinger and Walzer,
// arXiv:2103.02515): at most one that starts at each column.
type ribbon struct {
	ribbonShape
	rows []equation // by start
}

func newRibbon(n, solutions, words int, salt uint64) *ribbon {
	s := shapeOf(n, solutions, words, salt)
	return &ribbon{s, make([]equation, s.columns)}
}

// equation is that of a device.
func (s ribbonShape) equation(at uint32) (e equation) {
	h := mix(at, s.salt)
	for i := range s.words { // each word from the one before, by a round of SplitMix64
		e.coef[i] = h
		h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
		h ^= h >> 32
	}
	e.coef[0] = e.coef[0]&s.mask | 1
	e.start = below(mix(at, s.salt+1), s.starts)
	return e
}

// insert adds a device's equation; false means that it says the opposite of
// others.
func (r *ribbon) insert(at uint32, b uint64) bool {
	e := r.equation(at)
	e.b = b
	for {
		row := &r.rows[e.start]
		if row.coef == [maxWidth]uint64{} {
			*row = e
			return true
		}
		for i := range e.coef {
			e.coef[i] ^= row.coef[i]
		}
		e.b ^= row.b
		if e.coef == [maxWidth]uint64{} {
			return e.b == 0
		}
		e.align()
	}
}

// align moves on to the first coefficient that is 1.
func (e *equation) align() {
	for e.coef[0] == 0 {
		copy(e.coef[:], e.coef[1:])
		e.coef[maxWidth-1] = 0
		e.start += 64
	}
	k := bits.TrailingZeros64(e.coef[0])
	for i := range maxWidth - 1 {
		e.coef[i] = e.coef[i]>>k | e.coef[i+1]<<(64-k)
	}
	e.coef[maxWidth-1] >>= k
	e.start += k
}

// ribbonTable are solutions of a system, one bit a column each.
type ribbonTable struct {
	ribbonShape
	z [][]uint64
}

// solve gives so many solutions, by back substitution; what nothing decides is
// chosen by a hash.
func (r *ribbon) solve(solutions int) ribbonTable {
	t := ribbonTable{ribbonShape: r.ribbonShape}
	for n := range solutions {
		z := make([]uint64, len(r.rows)/64+maxWidth+2)
		for i := len(r.rows) - 1; i >= 0; i-- {
			e := &r.rows[i]
			bit := mix(uint32(i), saltFree+uint64(n)) & 1 //nolint:gosec // small
			if e.coef != [maxWidth]uint64{} {
				bit = e.sum(z, r.words) ^ e.b
			}
			z[i/64] |= bit << (i % 64)
		}
		t.z = append(t.z, z)
	}
	return t
}

// sum is that of the bits of z that the equation names.
func (e *equation) sum(z []uint64, width int) uint64 {
	at, shift := e.start/64, e.start%64
	x := uint64(0)
	for i := range width {
		x ^= e.coef[i] & (z[at+i]>>shift | z[at+i+1]<<1<<(63-shift))
	}
	return uint64(bits.OnesCount64(x)) & 1 //nolint:gosec // small
}

// zero reports whether the device's sum is 0 in every solution.
func (t *ribbonTable) zero(at uint32) bool {
	e := t.equation(at)
	for _, z := range t.z {
		if e.sum(z, t.words) != 0 {
			return false
		}
	}
	return true
}

func (t *ribbonTable) size() int { return (t.columns*len(t.z) + 7) / 8 }
