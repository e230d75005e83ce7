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
	next, last := uint64(0), byte(pageEmpty)
	for i := range s.rows {
		r := &s.rows[i]
		w.gamma(uint64(r.Class) - next + 1)
		next = uint64(r.Class) + 1
		r.write(w)
		w.flag(len(r.pages) > 0)
		if len(r.pages) > 0 {
			last = r.writePages(w, last)
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

// writePages writes every page of the class: its header, told by the page
// before in the snapshot (last; of the first: empty), then the body.
func (r *row) writePages(w *bitWriter, last byte) byte {
	pages := r.pages
	for no := range r.Leaf.pages() {
		var p *Page
		if len(pages) > 0 && pages[0].no == no {
			p, pages = pages[0].page, pages[1:]
		}
		h := p.header()
		writeHeader(w, last, h)
		p.body(w, h)
		last = h
	}
	return last
}

// writeHeader writes 0 for the same header, 10 and a bit for k one more (1) or
// less (0) of the same kind, 11 and six bits for any other.
func writeHeader(w *bitWriter, last, h byte) {
	up, okUp := neighbor(last, true)
	down, okDown := neighbor(last, false)
	switch {
	case h == last:
		w.bits(0, 1)
	case okUp && h == up:
		w.bits(0b101, 3)
	case okDown && h == down:
		w.bits(0b100, 3)
	default:
		w.bits(0b11<<6|uint64(h), 8)
	}
}

func readHeader(r *bitReader, last byte) byte {
	if !r.bit() {
		return last
	}
	if !r.bit() {
		h, ok := neighbor(last, r.bit())
		r.bad = r.bad || !ok
		return h
	}
	h := byte(r.bits(6)) //nolint:gosec // six bits
	up, okUp := neighbor(last, true)
	down, okDown := neighbor(last, false)
	r.bad = r.bad || h == last || okUp && h == up || okDown && h == down
	return h
}

// neighbor is the header of the same kind with k one more or less.
func neighbor(h byte, up bool) (byte, bool) {
	kind, k := h&^15, h&15
	least := byte(0)
	if kind == pageList {
		least = 1
	}
	if kind != pageList && kind != pageRuns || up && k == 15 || !up && k == least {
		return 0, false
	}
	if up {
		return h + 1, true
	}
	return h - 1, true
}

func readPages(r *bitReader, n int, last byte) ([]numbered, byte, error) {
	var out []numbered
	for no := range n {
		last = readHeader(r, last)
		p, err := readPage(r, last)
		if err != nil {
			return nil, 0, err
		}
		if p.Len() > 0 {
			out = append(out, numbered{no: no, page: p})
		}
	}
	if len(out) == 0 {
		return nil, 0, fmt.Errorf("%w: a class without revocations has no pages", ErrMalformed)
	}
	return out, last, nil
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
	s, next, last := &State{}, uint64(0), byte(pageEmpty)
	for range classes {
		id := next + r.gamma(1<<32) - 1
		l, ok := readRow(r)
		if !ok || id > uint64(pki.MaxClass) {
			return nil, fmt.Errorf("%w: class row", ErrMalformed)
		}
		l.Class, next = pki.Class(id), id+1
		row := row{Leaf: l}
		if r.bit() {
			var err error
			if row.pages, last, err = readPages(r, l.pages(), last); err != nil || l.Status == Revoked {
				return nil, fmt.Errorf("%w: pages of class %v", ErrMalformed, l.Class)
			}
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
