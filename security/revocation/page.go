package revocation

import (
	"math/bits"
	"slices"
)

// PageSize is how many indexes a page covers. Source: docs/spec/revocation.md.
const PageSize = 1 << 16

// MaxPage is the longest encoding of a page in bytes: header and bitmap.
const MaxPage = 1 + PageSize/8

// Headers of a page: how its set is written. The low four bits of list and
// runs are the Rice parameter k. Source: docs/spec/revocation.md.
const (
	pageEmpty  = 0x00
	pageList   = 0x10
	pageRuns   = 0x20
	pageBitmap = 0x30
)

// Page is a set of indexes within one page, immutable. The nil Page is empty.
type Page struct {
	runs  []run // sorted, with gaps between
	count int
}

type run struct{ first, last uint16 }

// NewPage makes the page that holds these indexes.
func NewPage(indexes ...uint16) *Page {
	sorted := slices.Clone(indexes)
	slices.Sort(sorted)
	p := &Page{}
	for _, i := range slices.Compact(sorted) {
		p.extend(run{i, i})
	}
	return p
}

// extend adds a run behind all others.
func (p *Page) extend(r run) {
	p.count += int(r.last-r.first) + 1
	if n := len(p.runs); n > 0 && int(p.runs[n-1].last)+1 == int(r.first) {
		p.runs[n-1].last = r.last
		return
	}
	p.runs = append(p.runs, r)
}

// Has reports whether the page holds index i.
func (p *Page) Has(i uint16) bool {
	if p == nil {
		return false
	}
	lo, hi := 0, len(p.runs)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); p.runs[mid].last < i {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(p.runs) && p.runs[lo].first <= i
}

// Len is how many indexes the page holds.
func (p *Page) Len() int {
	if p == nil {
		return 0
	}
	return p.count
}

// with returns the page with these indexes (ascending, of this page's range of
// the class) as well.
func (p *Page) with(indexes []uint32) *Page {
	out := &Page{runs: make([]run, 0, len(p.spans())+len(indexes))}
	old := p.spans()
	for _, i := range indexes {
		at := uint16(i % PageSize)
		for ; len(old) > 0 && old[0].first <= at; old = old[1:] {
			out.extend(old[0])
		}
		if n := len(out.runs); n == 0 || out.runs[n-1].last < at {
			out.extend(run{at, at})
		}
	}
	for _, r := range old {
		out.extend(r)
	}
	return out
}

// flip returns the page with these runs (sorted, apart) turned over; room is for how
// many runs there will be at most.
func (p *Page) flip(turned []run, room int) *Page {
	a, b := edges{runs: p.spans()}, edges{runs: turned}
	out := &Page{runs: make([]run, 0, room)}
	open := -1
	for at := min(a.next(), b.next()); at < noEdge; at = min(a.next(), b.next()) {
		turns := a.pass(at) + b.pass(at)
		switch {
		case turns%2 == 0:
		case open < 0:
			open = at
		default:
			out.extend(run{uint16(open), uint16(at - 1)}) //nolint:gosec // below PageSize
			open = -1
		}
	}
	if len(out.runs) == 0 {
		return nil
	}
	return out
}

// edges are where membership changes, ascending: the first index of each run, and
// the one behind its last.
type edges struct {
	runs   []run
	inside bool
}

// noEdge is behind every edge.
const noEdge = PageSize + 1

func (e *edges) next() int {
	switch {
	case len(e.runs) == 0:
		return noEdge
	case e.inside:
		return int(e.runs[0].last) + 1
	}
	return int(e.runs[0].first)
}

// pass goes on behind an edge, and counts how often it is there.
func (e *edges) pass(at int) (n int) {
	for ; e.next() == at; n++ {
		if e.inside {
			e.runs = e.runs[1:]
		}
		e.inside = !e.inside
	}
	return n
}

// escape is the quotient from which on a gap is not written as ones alone.
// Source: docs/spec/revocation.md.
const escape = 8

// header chooses the cheapest way to write the page. At a tie the list comes
// before runs, runs before the bitmap, a smaller k before a greater.
func (p *Page) header() byte {
	if p.Len() == 0 {
		return pageEmpty
	}
	best := choice{pageBitmap, PageSize}
	mean := min(max(bits.Len(uint((PageSize-1)/p.count))-1, 1), 15)
	for _, k := range nearest(mean, 1) {
		best.take(pageList|byte(k), p.listBits(k, best.bits+1)) //nolint:gosec // at most 15; k = 0 would be the bitmap turned over
	}
	mean = bits.Len(uint((PageSize-1)/len(p.runs))) - 1
	for _, k := range nearest(min(mean, 15), 0) {
		best.take(pageRuns|byte(k), p.runsBits(k, best.bits+1)) //nolint:gosec // at most 15
	}
	return best.header
}

// choice is the best way to write a page so far.
type choice struct {
	header byte
	bits   int
}

// take takes a shorter way, or at a tie the one with the smaller header.
func (c *choice) take(header byte, n int) {
	if n < c.bits || n == c.bits && header < c.header {
		*c = choice{header, n}
	}
}

// nearest lists the parameters from least to 15, those near k first: where a
// good one was tried before, the others are given up early.
func nearest(k, least int) []int {
	out := make([]int, 0, 16)
	for d := range 16 {
		if k+d <= 15 {
			out = append(out, k+d)
		}
		if d > 0 && k-d >= least {
			out = append(out, k-d)
		}
	}
	return out
}

// listBits is the length of the list's body, or some length from limit on.
func (p *Page) listBits(k, limit int) int {
	n, next := p.count*(k+1), 0
	for i := 0; i < len(p.runs) && n < limit; i++ {
		n += gapBits((int(p.runs[i].first) - next) >> k)
		next = int(p.runs[i].last) + 1
	}
	return n + endBits(next, k)
}

// runsBits is the same for runs, each with a gamma code of its length. Two
// runs are never adjacent, so the gap counts from one behind.
func (p *Page) runsBits(k, limit int) int {
	n, next := len(p.runs)*(k+1), 0
	for i := 0; i < len(p.runs) && n < limit; i++ {
		r := p.runs[i]
		n += gapBits((int(r.first)-next)>>k) + gammaBits(uint64(r.last)-uint64(r.first)+1)
		next = int(r.last) + 2
	}
	return n + endBits(next, k)
}

// gapBits is the length of a gap's quotient, without the zero that ends it.
func gapBits(q int) int {
	if q < escape {
		return q
	}
	return escape + gammaBits(uint64(q-escape)+1)
}

// endBits is the length of the end of a body.
func endBits(next, k int) int {
	if q := steps(next, k); q <= escape {
		return q
	}
	return escape + 1
}

// steps is how many steps of 2^k lead from next beyond the page.
func steps(next, k int) int {
	if next >= PageSize {
		return 0
	}
	return (PageSize - next + 1<<k - 1) >> k
}

// Encode returns the page's one encoding: its header, then the body, filled
// with zero bits.
func (p *Page) Encode() []byte { return p.encode().out }

func (p *Page) encode() *bitWriter {
	h := p.header()
	w := &bitWriter{out: append(make([]byte, 0, 64), h)}
	p.body(w, h)
	return w
}

func (p *Page) body(w *bitWriter, header byte) {
	k, next := int(header&15), 0
	switch header &^ 15 {
	case pageList:
		for _, r := range p.runs {
			for i := int(r.first); i <= int(r.last); i++ {
				writeGap(w, i-next, k)
				next = i + 1
			}
		}
		writeEnd(w, next, k)
	case pageRuns:
		for _, r := range p.runs {
			writeGap(w, int(r.first)-next, k)
			w.gamma(uint64(r.last) - uint64(r.first) + 1)
			next = int(r.last) + 2
		}
		writeEnd(w, next, k)
	case pageBitmap:
		p.bitmap(w)
	}
}

// writeGap writes the quotient as ones and a zero, from escape on as that many
// ones, a zero and a gamma code of the rest; then the k low bits.
func writeGap(w *bitWriter, gap, k int) {
	q := uint64(gap >> k) //nolint:gosec // gaps are not negative
	w.ones(min(q, escape))
	w.bits(0, 1)
	if q >= escape {
		w.gamma(q - escape + 1)
	}
	w.bits(uint64(gap)&(1<<k-1), k) //nolint:gosec // as above
}

// writeEnd writes as many ones as lead beyond the page, at most escape, and
// one more where these do not lead so far.
func writeEnd(w *bitWriter, next, k int) {
	q := steps(next, k)
	w.ones(uint64(min(q, escape))) //nolint:gosec // not negative
	if q > escape {
		w.bits(1, 1)
	}
}

func (p *Page) bitmap(w *bitWriter) {
	next := 0
	for _, r := range p.runs {
		for ; next < int(r.first); next++ {
			w.bits(0, 1)
		}
		for ; next <= int(r.last); next++ {
			w.bits(1, 1)
		}
	}
	for ; next < PageSize; next++ {
		w.bits(0, 1)
	}
}
