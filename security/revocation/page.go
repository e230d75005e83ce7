package revocation

import (
	"fmt"
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
	_, ok := slices.BinarySearchFunc(p.runs, i, func(r run, i uint16) int {
		switch {
		case r.last < i:
			return -1
		case r.first > i:
			return 1
		}
		return 0
	})
	return ok
}

// Len is how many indexes the page holds.
func (p *Page) Len() int {
	if p == nil {
		return 0
	}
	return p.count
}

// flip returns the page with these runs (sorted, apart) turned over.
func (p *Page) flip(turned []run) *Page {
	var edges []int // where membership changes, ascending
	var old []run
	if p != nil {
		old = p.runs
	}
	for _, r := range slices.Concat(old, turned) {
		edges = append(edges, int(r.first), int(r.last)+1)
	}
	slices.Sort(edges)
	out := &Page{}
	open := -1
	for i := 0; i < len(edges); {
		j := i
		for j < len(edges) && edges[j] == edges[i] {
			j++
		}
		if (j-i)%2 == 1 {
			if open < 0 {
				open = edges[i]
			} else {
				out.extend(run{uint16(open), uint16(edges[i] - 1)}) //nolint:gosec // below PageSize
				open = -1
			}
		}
		i = j
	}
	if len(out.runs) == 0 {
		return nil
	}
	return out
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
	best, cost := byte(pageBitmap), PageSize+1 // runs win a tie against the bitmap
	for k := byte(15); k < 16; k-- {
		if c := p.runsBits(int(k), cost); c < cost {
			best, cost = pageRuns|k, c+1 // so does a smaller k against a greater
		}
	}
	for k := byte(15); k >= 1; k-- { // k = 0 would be the bitmap turned over
		if c := p.listBits(int(k), cost); c < cost {
			best, cost = pageList|k, c+1
		}
	}
	return best
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
func (p *Page) Encode() []byte {
	h := p.header()
	w := &bitWriter{out: []byte{h}}
	p.body(w, h)
	return w.out
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

// ParsePage reads the one encoding of a page.
func ParsePage(data []byte) (*Page, error) {
	if len(data) == 0 || len(data) > MaxPage {
		return nil, fmt.Errorf("%w: page of %d bytes", ErrMalformed, len(data))
	}
	r := &bitReader{in: data[1:]}
	p, err := readPage(r, data[0])
	if err != nil {
		return nil, err
	}
	if !r.end() {
		return nil, fmt.Errorf("%w: page goes on", ErrMalformed)
	}
	return p, nil
}

// readPage reads a body and checks that its header is the cheapest.
func readPage(r *bitReader, header byte) (*Page, error) {
	p := &Page{}
	switch header &^ 15 {
	case pageEmpty:
	case pageList, pageRuns:
		p.readRice(r, int(header&15), header&^15 == pageRuns)
	case pageBitmap:
		p.readBitmap(r)
	}
	if r.bad || p.header() != header {
		return nil, fmt.Errorf("%w: page", ErrMalformed)
	}
	return p, nil
}

func (p *Page) readRice(r *bitReader, k int, runs bool) {
	for next := 0; ; {
		q, end := readQuotient(r, next, k)
		if r.bad || end {
			return
		}
		first := next + q<<k + int(r.bits(k)) //nolint:gosec // below 2^15
		length := 1
		if runs {
			length = int(r.gamma(PageSize)) //nolint:gosec // at most PageSize
		}
		last := first + length - 1
		if r.bad || last >= PageSize {
			r.bad = true
			return
		}
		p.extend(run{uint16(first), uint16(last)}) //nolint:gosec // below PageSize
		next = last + 1
		if runs {
			next++
		}
	}
}

// readQuotient reads what writeGap or writeEnd wrote, up to the low bits.
func readQuotient(r *bitReader, next, k int) (q int, end bool) {
	for q < escape && next+q<<k < PageSize {
		if !r.bit() {
			return q, false
		}
		q++
	}
	if next+q<<k >= PageSize || r.bit() {
		return q, true
	}
	return q + int(r.gamma(PageSize)) - 1, false //nolint:gosec // at most PageSize
}

func (p *Page) readBitmap(r *bitReader) {
	if r.left() < PageSize {
		r.bad = true
		return
	}
	for i := range PageSize {
		if r.bit() {
			p.extend(run{uint16(i), uint16(i)})
		}
	}
}
