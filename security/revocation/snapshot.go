package revocation

import (
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// MaxSnapshot is the longest snapshot in bytes. Source: local, docs/spec/revocation.md.
const MaxSnapshot = 16 << 20

// snapshotVersion is the first byte of snapshots and deltas.
const snapshotVersion = 1

// Snapshot returns the whole state but for its head. The same content gives
// the same bytes.
func (s *State) Snapshot() []byte {
	w := &bitWriter{out: []byte{snapshotVersion}}
	w.gamma(uint64(len(s.rows)) + 1)
	w.gamma(uint64(len(s.issuers)) + 1)
	next := uint64(0)
	for i := range s.rows {
		r := &s.rows[i]
		w.gamma(uint64(r.Class) - next + 1)
		next = uint64(r.Class) + 1
		r.write(w)
		w.flag(len(r.pages) > 0)
		if len(r.pages) > 0 {
			r.writePages(w)
		}
	}
	for i := range s.issuers {
		s.issuers[i].write(w)
	}
	return w.out
}

// write writes what the authority decided about the class.
func (l *Leaf) write(w *bitWriter) {
	plain := l.Status == Active && l.MinSVN == 0
	w.flag(!plain)
	if !plain {
		w.bits(uint64(l.Status), 2)
		w.bits(uint64(l.Reason), 4)
		w.gamma(uint64(l.MinSVN) + 1)
	}
	w.gamma(uint64(l.Issued/PageSize) + 1)
}

func readRow(r *bitReader) (l Leaf, ok bool) {
	if r.bit() {
		l.Status, l.Reason, l.MinSVN = ClassStatus(r.bits(2)), Reason(r.bits(4)), uint32(r.gamma(1<<32)-1) //nolint:gosec // bounded by the reader
		if l.Status == Active && l.MinSVN == 0 {
			return l, false
		}
	}
	l.Issued = uint32(r.gamma(MaxIssued/PageSize+1)-1) * PageSize //nolint:gosec // bounded by the reader
	return l, !r.bad && l.sound()
}

// writePages writes every page of the class: a zero when its header is that of
// the page before (of the first: empty), else a one and the header in six
// bits; then the body.
func (r *row) writePages(w *bitWriter) {
	last := byte(pageEmpty)
	pages := r.pages
	for no := range r.Leaf.pages() {
		var p *Page
		if len(pages) > 0 && pages[0].no == no {
			p, pages = pages[0].page, pages[1:]
		}
		h := p.header()
		w.flag(h != last)
		if h != last {
			w.bits(uint64(h), 6)
		}
		p.body(w, h)
		last = h
	}
}

func readPages(r *bitReader, n int) ([]numbered, error) {
	var out []numbered
	last := byte(pageEmpty)
	for no := range n {
		h := last
		if r.bit() {
			if h = byte(r.bits(6)); h == last { //nolint:gosec // six bits
				r.bad = true
			}
		}
		p, err := readPage(r, h)
		if err != nil {
			return nil, err
		}
		if p.Len() > 0 {
			out = append(out, numbered{no: no, page: p})
		}
		last = h
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: a class without revocations has no pages", ErrMalformed)
	}
	return out, nil
}

func (l *IssuerLeaf) write(w *bitWriter) {
	w.bits(uint64(len(l.ID)), 8)
	for i := range len(l.ID) {
		w.bits(uint64(l.ID[i]), 8)
	}
	w.flag(l.Sunset)
	w.bits(uint64(l.LastSeen), 53) //nolint:gosec // at most maxTime
}

func readIssuer(r *bitReader) (l IssuerLeaf, ok bool) {
	id := make([]byte, r.bits(8))
	for i := range id {
		id[i] = byte(r.bits(8)) //nolint:gosec // eight bits
	}
	l.ID = ident.Issuer(id)
	l.Sunset = r.bit()
	l.LastSeen = int64(r.bits(53)) //nolint:gosec // 53 bits
	return l, !r.bad && validIssuer(l.ID)
}

// readSnapshot reads the content of a state; nothing is proven yet.
func readSnapshot(data []byte) (*State, error) {
	if len(data) < 2 || len(data) > MaxSnapshot || data[0] != snapshotVersion {
		return nil, fmt.Errorf("%w: snapshot of %d bytes", ErrMalformed, len(data))
	}
	r := &bitReader{in: data[1:]}
	classes, issuers := r.gamma(MaxLeaves+1)-1, r.gamma(MaxLeaves+1)-1
	s, next := &State{}, uint64(0)
	for range classes {
		id := next + r.gamma(1<<32) - 1
		l, ok := readRow(r)
		if !ok || id > uint64(pki.MaxClass) {
			return nil, fmt.Errorf("%w: class row", ErrMalformed)
		}
		l.Class, next = pki.Class(id), id+1 //nolint:gosec // at most MaxClass
		row := row{Leaf: l}
		if r.bit() {
			pages, err := readPages(r, l.pages())
			if err != nil || l.Status == Revoked {
				return nil, fmt.Errorf("%w: pages of class %v", ErrMalformed, l.Class)
			}
			row.pages = pages
		}
		s.rows = append(s.rows, row)
	}
	for range issuers {
		l, ok := readIssuer(r)
		if n := len(s.issuers); !ok || n > 0 && s.issuers[n-1].ID >= l.ID {
			return nil, fmt.Errorf("%w: issuer row", ErrMalformed)
		}
		s.issuers = append(s.issuers, l)
	}
	if !r.end() {
		return nil, fmt.Errorf("%w: snapshot goes on", ErrMalformed)
	}
	return s, nil
}
