package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"strings"

	"github.com/lares-drm/lares/security/pki"
)

// MaxDelta is the longest delta in bytes, and maxDeltaPages the most pages that
// one may touch, so that a few bytes cannot fill the memory. Source: local,
// docs/spec/revocation.md.
const (
	MaxDelta      = 4 << 20
	maxDeltaPages = 1 << 18
)

// ErrNoDelta is returned when no delta leads from one state to the other: a
// class or an issuer is gone, or too much has changed. Fetch the snapshot.
var ErrNoDelta = errors.New("revocation: no delta leads there")

// delta is what changed: rows of classes and issuers, and the members whose
// revocation turned over, as places in the concatenation of all classes'
// allotted indexes in the newer state.
type delta struct {
	rows    []Leaf // class, status, reason, minSVN, issuedCount, CRL
	issuers []IssuerLeaf
	turned  []stretch // sorted, with gaps between
	places  uint64    // allotted in the newer state
}

type stretch struct{ first, last uint64 }

// Delta returns the unsigned step from an older state to this one.
func (s *State) Delta(from *State) ([]byte, error) {
	d := &delta{}
	for i := range s.issuers {
		if old, ok := from.Issuer(s.issuers[i].ID); !ok || !old.same(&s.issuers[i]) {
			d.issuers = append(d.issuers, s.issuers[i])
		}
	}
	seen, base, pages := 0, uint64(0), 0
	for i := range s.rows {
		r, old := &s.rows[i], from.row(s.rows[i].Class)
		if old == nil {
			old = &row{}
		} else {
			seen++
		}
		if old.Issued == 0 || !sameRow(&old.Leaf, &r.Leaf) {
			d.rows = append(d.rows, r.Leaf)
		}
		if r.Status != Revoked { // a revoked class drops its pages by itself
			pages += d.compare(base, old.pages, r.pages)
		}
		base += uint64(r.Issued)
	}
	d.places = base
	if seen != len(from.rows) || pages > maxDeltaPages || len(s.issuers)-newIssuers(from, d.issuers) != len(from.issuers) {
		return nil, ErrNoDelta
	}
	out := d.encode()
	if len(out) > MaxDelta {
		return nil, ErrNoDelta
	}
	return out, nil
}

func newIssuers(from *State, changed []IssuerLeaf) (n int) {
	for _, l := range changed {
		if _, ok := from.Issuer(l.ID); !ok {
			n++
		}
	}
	return n
}

func sameRow(a, b *Leaf) bool {
	return a.Class == b.Class && a.Status == b.Status && a.Reason == b.Reason && a.MinSVN == b.MinSVN && a.Issued == b.Issued && a.CRL == b.CRL
}

// compare adds the places that differ and returns how many pages do.
func (d *delta) compare(base uint64, old, now []numbered) (pages int) {
	for len(old) > 0 || len(now) > 0 {
		var a, b *Page
		var no int
		switch {
		case len(now) == 0 || len(old) > 0 && old[0].no < now[0].no:
			no, a, old = old[0].no, old[0].page, old[1:]
		case len(old) == 0 || now[0].no < old[0].no:
			no, b, now = now[0].no, now[0].page, now[1:]
		default:
			same := old[0].leaf == now[0].leaf && now[0].leaf != hash{}
			no, a, b, old, now = old[0].no, old[0].page, now[0].page, old[1:], now[1:]
			if same { // one set has one encoding, and one hash
				continue
			}
		}
		diff := a.flip(b.spans(), 0)
		if diff.Len() == 0 {
			continue
		}
		pages++
		for _, r := range diff.runs {
			at := base + uint64(no)*PageSize //nolint:gosec // not negative
			d.turn(stretch{at + uint64(r.first), at + uint64(r.last)})
		}
	}
	return pages
}

func (p *Page) spans() []run {
	if p == nil {
		return nil
	}
	return p.runs
}

// turn adds a stretch behind all others.
func (d *delta) turn(t stretch) {
	if n := len(d.turned); n > 0 && d.turned[n-1].last+1 == t.first {
		d.turned[n-1].last = t.last
		return
	}
	d.turned = append(d.turned, t)
}

// encode writes the delta. The stretches come as single places or as runs, in
// the cheapest Rice parameter; at a tie single places first, smaller k first.
func (d *delta) encode() []byte {
	w := &bitWriter{}
	w.bits(layoutVersion, 1)
	registry := len(d.rows)+len(d.issuers) > 0 || len(d.turned) == 0
	w.flag(registry)
	if registry {
		d.writeRows(w)
		w.flag(len(d.turned) > 0)
	}
	if len(d.turned) == 0 {
		return w.out
	}
	runs, k := d.cheapest()
	n := d.number(runs)
	w.flag(runs)
	w.gamma(n)
	w.gamma(zigzag(k - d.guess(n)))
	next := uint64(0)
	for _, t := range d.turned {
		if runs {
			rice(w, t.first-next, k)
			w.gamma(t.last - t.first + 1)
			next = t.last + 2
			continue
		}
		for i := t.first; i <= t.last; i++ {
			rice(w, i-next, k)
			next = i + 1
		}
	}
	return w.out
}

func (d *delta) writeRows(w *bitWriter) {
	w.gamma(uint64(len(d.rows)) + 1)
	w.gamma(uint64(len(d.issuers)) + 1)
	next := uint64(0)
	for i := range d.rows {
		w.gamma(uint64(d.rows[i].Class) - next + 1)
		next = uint64(d.rows[i].Class) + 1
		d.rows[i].writeStanding(w)
		w.gamma(uint64(d.rows[i].pages())) //nolint:gosec // at least one
	}
	for i := range d.issuers {
		d.issuers[i].write(w)
	}
}

// number is how many places turned over, or how many runs of them.
func (d *delta) number(runs bool) (n uint64) {
	if runs {
		return uint64(len(d.turned))
	}
	for _, t := range d.turned {
		n += t.last - t.first + 1
	}
	return n
}

// guess is the Rice parameter that so many places at random would have, or one
// near it; the delta says how far off it is.
func (d *delta) guess(n uint64) int { return min(max(bits.Len64(d.places/n)-1, 0), maxRice) }

// zigzag maps 0, 1, -1, 2, -2 … to 1, 2, 3, 4, 5 …
func zigzag(v int) uint64 {
	if v > 0 {
		return uint64(2 * v)
	}
	return uint64(1 - 2*v)
}

func unzigzag(u uint64) int {
	if u%2 == 0 {
		return int(u / 2) //nolint:gosec // bounded by the reader
	}
	return -int(u / 2) //nolint:gosec // bounded by the reader
}

// cheapest compares all ways to write the stretches, in bits.
func (d *delta) cheapest() (runs bool, k int) {
	best := ^uint64(0)
	for _, asRuns := range []bool{false, true} {
		n := d.number(asRuns)
		fixed := uint64(gammaBits(n)) //nolint:gosec // positive
		for _, t := range d.turned {
			if asRuns {
				fixed += uint64(gammaBits(t.last - t.first + 1)) //nolint:gosec // positive
			}
		}
		for try := range maxRice + 1 {
			cost, next := fixed+n*uint64(try+1)+uint64(gammaBits(zigzag(try-d.guess(n)))), uint64(0) //nolint:gosec // not negative
			for _, t := range d.turned {
				cost += (t.first - next) >> try
				if next = t.last + 1; asRuns {
					next++
				}
			}
			if cost < best {
				best, runs, k = cost, asRuns, try
			}
		}
	}
	return runs, k
}

// parseDelta reads the one encoding of a delta from the state s.
func (s *State) parseDelta(data []byte) (*delta, error) {
	if len(data) < 1 || len(data) > MaxDelta {
		return nil, fmt.Errorf("%w: delta of %d bytes", ErrMalformed, len(data))
	}
	r := &bitReader{in: data}
	if r.bits(1) != layoutVersion {
		return nil, fmt.Errorf("%w: version of the delta", ErrMalformed)
	}
	d, turned := &delta{}, true
	if r.bit() {
		if err := d.readRows(r); err != nil {
			return nil, err
		}
		turned = r.bit()
	}
	d.places = s.allotted(d.rows)
	if turned {
		d.readTurned(r)
	}
	if !r.end() || !bytes.Equal(d.encode(), data) {
		return nil, fmt.Errorf("%w: delta", ErrMalformed)
	}
	return d, nil
}

// allotted is how many indexes the classes have once these rows are changed.
func (s *State) allotted(rows []Leaf) (n uint64) {
	for i := range s.rows {
		n += uint64(s.rows[i].Issued)
	}
	for i := range rows {
		n += uint64(rows[i].Issued)
		if old := s.row(rows[i].Class); old != nil {
			n -= uint64(old.Issued)
		}
	}
	return n
}

func (d *delta) readRows(r *bitReader) error {
	rows, issuers, next := r.gamma(MaxLeaves+1)-1, r.gamma(MaxLeaves+1)-1, uint64(0)
	for range rows {
		id := next + r.gamma(1<<32) - 1
		l := Leaf{Class: pki.Class(id)} //nolint:gosec // checked below
		l.readStanding(r)
		l.Issued = uint32(r.gamma(MaxIssued/PageSize)) * PageSize //nolint:gosec // bounded by the reader
		if r.bad || id > uint64(pki.MaxClass) || !l.sound() {
			return fmt.Errorf("%w: class row", ErrMalformed)
		}
		next = id + 1
		d.rows = append(d.rows, l)
	}
	for range issuers {
		l, ok := readIssuer(r)
		if n := len(d.issuers); !ok || n > 0 && d.issuers[n-1].ID >= l.ID {
			return fmt.Errorf("%w: issuer row", ErrMalformed)
		}
		d.issuers = append(d.issuers, l)
	}
	return nil
}

// maxPlace is beyond every place of the greatest state.
const maxPlace = uint64(MaxLeaves) << 32

func (d *delta) readTurned(r *bitReader) {
	runs, count := r.bit(), r.gamma(maxPlace)
	k := d.guess(count) + unzigzag(r.gamma(2*maxRice+1))
	if r.bad || k < 0 || k > maxRice || count > uint64(r.left()) { //nolint:gosec // not negative; each takes a bit or more
		r.bad = true
		return
	}
	next := uint64(0)
	for range count {
		t := stretch{first: next + r.rice(k, maxPlace)}
		t.last, next = t.first, t.first+1
		if runs {
			t.last += r.gamma(maxPlace) - 1
			next = t.last + 2
		}
		if r.bad || t.last >= maxPlace {
			r.bad = true
			return
		}
		d.turn(t)
	}
}

// apply makes the content of the next state; whether it is the right one is
// for the head's root to say.
func (s *State) apply(d *delta) (*State, error) {
	next := &State{rows: slices.Clone(s.rows), issuers: slices.Clone(s.issuers)}
	for _, l := range d.rows {
		i, ok := next.find(l.Class)
		if !ok {
			next.rows = slices.Insert(next.rows, i, row{})
		}
		r := &next.rows[i]
		if l.Issued < r.Issued {
			return nil, fmt.Errorf("%w: issuedCount of class %v falls", ErrMalformed, l.Class)
		}
		r.Leaf = l // page root and count are made again by seal
		if l.Status == Revoked {
			r.pages = nil
		}
	}
	for _, l := range d.issuers {
		i, ok := slices.BinarySearchFunc(next.issuers, l, func(a, b IssuerLeaf) int { return strings.Compare(string(a.ID), string(b.ID)) })
		if !ok {
			next.issuers = slices.Insert(next.issuers, i, IssuerLeaf{})
		}
		next.issuers[i] = l
	}
	return next, next.turn(d.turned)
}

// turn turns places over, class by class and page by page.
func (s *State) turn(turned []stretch) error {
	base, budget := uint64(0), maxDeltaPages
	for i := range s.rows {
		r := &s.rows[i]
		end := base + uint64(r.Issued)
		byPage := map[int][]run{}
		var order []int
		for len(turned) > 0 && turned[0].first < end {
			t := turned[0]
			no := int((t.first - base) / PageSize) //nolint:gosec // below 2^16
			last := min(t.last, base+uint64(no+1)*PageSize-1)
			from, to := (t.first-base)%PageSize, (last-base)%PageSize
			if len(order) == 0 || order[len(order)-1] != no {
				order = append(order, no)
				if budget--; budget < 0 {
					return fmt.Errorf("%w: delta touches too many pages", ErrMalformed)
				}
			}
			byPage[no] = append(byPage[no], run{uint16(from), uint16(to)})
			if turned[0].first = last + 1; last == t.last {
				turned = turned[1:]
			}
		}
		if len(order) > 0 {
			r.turn(order, byPage)
		}
		base = end
	}
	if len(turned) > 0 {
		return fmt.Errorf("%w: delta goes beyond the last class", ErrMalformed)
	}
	return nil
}

func (r *row) turn(order []int, byPage map[int][]run) {
	var out []numbered
	rest := r.pages
	for _, no := range order {
		for len(rest) > 0 && rest[0].no < no {
			out, rest = append(out, rest[0]), rest[1:]
		}
		var old *Page
		if len(rest) > 0 && rest[0].no == no {
			old, rest = rest[0].page, rest[1:]
		}
		if p := old.flip(byPage[no], len(old.spans())+len(byPage[no])); p != nil {
			out = append(out, numbered{no: no, page: p})
		}
	}
	r.pages, r.PageRoot = append(out, rest...), hash{}
}

// add puts indexes (ascending) into their pages. Where nothing changes, the page
// and the class's root stay as they are.
func (r *row) add(indexes []uint32) {
	out := make([]numbered, 0, len(r.pages)+1)
	rest, changed := r.pages, false
	for len(indexes) > 0 {
		no := int(indexes[0] / PageSize)
		n := sort.Search(len(indexes), func(i int) bool { return int(indexes[i]/PageSize) > no })
		for len(rest) > 0 && rest[0].no < no {
			out, rest = append(out, rest[0]), rest[1:]
		}
		g := numbered{no: no}
		if len(rest) > 0 && rest[0].no == no {
			g, rest = rest[0], rest[1:]
		}
		if p := g.page.with(indexes[:n]); p.Len() != g.page.Len() {
			g, changed = numbered{no: no, page: p}, true
		}
		out, indexes = append(out, g), indexes[n:]
	}
	if changed {
		r.pages, r.PageRoot = append(out, rest...), hash{}
	}
}
