package revocation

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

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
	beyond := steps(next, k)
	q = min(bits.LeadingZeros64(^r.peek()), escape, beyond)
	switch {
	case q == beyond:
		r.skip(q)
		return q, true
	case q < escape:
		r.skip(q + 1)
		return q, false
	}
	r.skip(q)
	if r.bit() {
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

// find looks for an index in a page's encoding without making the page. It
// reads no further than it must, so it is for bytes that a hash has proven.
func find(data []byte, i uint16) (bool, error) {
	r, at, found := &bitReader{in: data[1:]}, int(i), false
	switch data[0] &^ 15 {
	case pageEmpty:
		r.bad = len(data) > 1 || data[0] != pageEmpty
	case pageList, pageRuns:
		found = findRice(r, at, int(data[0]&15), data[0]&^15 == pageRuns)
	case pageBitmap:
		r.skip(at)
		found = r.bit()
	default:
		r.bad = true
	}
	if r.bad {
		return false, fmt.Errorf("%w: page", ErrMalformed)
	}
	return found, nil
}

func findRice(r *bitReader, at, k int, runs bool) bool {
	for next := 0; next <= at && !r.bad; {
		if !runs {
			var found, done bool
			if next, found, done = findFar(r, next, at, k); done {
				return found
			}
		}
		q, end := readQuotient(r, next, k)
		if end {
			return false
		}
		first := next + q<<k + int(r.bits(k)) //nolint:gosec // below 2^15
		last := first
		if runs {
			last += int(r.gamma(PageSize)) - 1 //nolint:gosec // at most PageSize
		}
		if first <= at && at <= last {
			return true
		}
		if next = last + 1; runs {
			next++
		}
	}
	return false
}

// findFar goes on through a list as long as eight bytes are left to load and
// neither end nor escape comes: nearly all of a long page. A page of 1 % has
// 650 entries, and this is what a proof of it waits for.
func findFar(r *bitReader, from, at, k int) (next int, found, done bool) {
	next = from
	pos := r.pos
	for pos>>3+8 <= len(r.in) && next+escape<<k < PageSize {
		w, have := binary.BigEndian.Uint64(r.in[pos>>3:])<<(pos&7), 57 // bits
		for have >= escape+k && next+escape<<k < PageSize {
			q := bits.LeadingZeros64(^w)
			if q >= escape {
				r.pos = pos
				return next, false, false
			}
			first := next + q<<k + int(w<<((q+1)&63)>>((64-k)&63)) //nolint:gosec // below 2^15; the masks spare a test for shifts beyond 63
			if first >= at {
				return 0, first == at, true
			}
			n := q + 1 + k
			next, pos, w, have = first+1, pos+n, w<<(n&63), have-n
		}
	}
	r.pos = pos
	return next, false, false
}
