package revocation

import "math/bits"

// Ways to write the members of a class, by the bits that tell them.
const (
	formCommon = iota // Rice code with the parameter of the snapshot
	formOwn           // with one of its own
	formPaged         // page by page
)

// form is how the members of one class are written.
type form struct {
	kind int
	k    int // of formCommon and formOwn
}

// tuning is what the rows of a snapshot have in common.
type tuning struct {
	base int // Rice parameter of the count of a class of one page
	k    int // of members
}

// tune chooses the parameters with which all rows together are shortest, the
// smaller at a tie.
func (s *State) tune(sizes []flatSize) (t tuning) {
	var counts [maxBase + 1]uint64
	var members [maxRice + 1]uint64
	for i := range s.rows {
		r := &s.rows[i]
		if r.Status == Revoked {
			continue
		}
		for b := range counts {
			k := (tuning{base: b}).countK(&r.Leaf)
			counts[b] += uint64(r.Revoked)>>k + uint64(k) //nolint:gosec // not negative
		}
		for k := range members {
			members[k] += sizes[i][k]
		}
	}
	for b := range counts {
		if counts[b] < counts[t.base] {
			t.base = b
		}
	}
	for k := range members {
		if members[k] < members[t.k] {
			t.k = k
		}
	}
	return t
}

// form chooses how the class is written.
func (r *row) form(size *flatSize, t tuning) form {
	common := form{formCommon, t.k}
	if r.Revoked == 0 {
		return common
	}
	own := 0
	for k := range size {
		if size[k] < size[own] {
			own = k
		}
	}
	best, cost := common, size[t.k]
	if size[own]+formWorth < cost {
		best, cost = form{formOwn, own}, size[own]+formWorth
	}
	if r.pagedBits(t)+formWorth < cost {
		best = form{kind: formPaged}
	}
	return best
}

func (r *row) pagedBits(t tuning) uint64 {
	n, last, next := 0, t.firstHeader(), 0
	for i := range r.pages {
		g := &r.pages[i]
		if empty := g.no - next; empty > 0 {
			n, last = n+headerBits(last, pageEmpty)+empty-1, pageEmpty
		}
		n += headerBits(last, g.header) + g.bits
		last, next = g.header, g.no+1
	}
	if empty := r.Leaf.pages() - next; empty > 0 {
		n += headerBits(last, pageEmpty) + empty - 1
	}
	return uint64(n)
}

// flatSize is how many bits the members of a class take in a Rice code, by its
// parameter.
type flatSize [maxRice + 1]uint64

func (s *State) measure() []flatSize {
	sizes := make([]flatSize, len(s.rows))
	for i := range s.rows {
		s.rows[i].measure(&sizes[i])
	}
	return sizes
}

func (r *row) measure(size *flatSize) {
	next := uint64(0)
	for i := range r.pages {
		base := uint64(r.pages[i].no) * PageSize //nolint:gosec // not negative
		for _, x := range r.pages[i].page.runs {
			gap := base + uint64(x.first) - next
			for k := range size {
				size[k] += gap >> k
			}
			next = base + uint64(x.last) + 1
		}
	}
	for k := range size {
		size[k] += uint64(r.Revoked) * uint64(k+1)
	}
}

func headerBits(last, h byte) int {
	w := &bitWriter{}
	writeHeader(w, last, h)
	return w.len()
}

// countK is the Rice parameter of a class's count.
func (t tuning) countK(l *Leaf) int { return t.base + bits.Len(uint(l.pages())) - 1 }

// firstHeader is what the header of a class's first page is told by.
func (t tuning) firstHeader() byte { return pageList | byte(min(max(t.k, 1), 15)) }
