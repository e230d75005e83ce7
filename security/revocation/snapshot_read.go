package revocation

import (
	"bytes"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// readSnapshot reads the content of a state; nothing is proven yet. It reads
// loosely and writes again: what is not the one encoding comes out different.
func readSnapshot(data []byte) (*State, error) {
	if len(data) < 2 || len(data) > MaxSnapshot {
		return nil, fmt.Errorf("%w: snapshot of %d bytes", ErrMalformed, len(data))
	}
	r := &bitReader{in: data}
	if r.bits(1) != layoutVersion {
		return nil, fmt.Errorf("%w: version of the snapshot", ErrMalformed)
	}
	s := &State{}
	classes, issuers := r.gamma(MaxLeaves+1)-1, r.gamma(MaxLeaves+1)-1
	t := tuning{base: int(r.bits(4)), k: int(r.bits(5))}   //nolint:gosec // bounded by the reader
	if err := s.readRows(r, int(classes), t); err != nil { //nolint:gosec // bounded by the reader
		return nil, err
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
	if s.seal(); !bytes.Equal(s.Snapshot(), data) {
		return nil, fmt.Errorf("%w: snapshot", ErrMalformed)
	}
	return s, nil
}

func (s *State) readRows(r *bitReader, classes int, t tuning) error {
	next := uint64(0)
	for len(s.rows) < classes {
		plain := r.gamma(uint64(classes-len(s.rows))+1) - 1 //nolint:gosec // positive
		for n := uint64(0); n <= plain && len(s.rows) < classes; n++ {
			row, f := row{Leaf: Leaf{Class: pki.Class(next)}}, form{formCommon, t.k}
			if n == plain {
				next += r.gamma(1<<32) - 1
				row.Class = pki.Class(next) //nolint:gosec // checked below
				row.readStanding(r)
				f = readForm(r, t)
			}
			row.Issued = uint32(r.gamma(MaxIssued/PageSize)) * PageSize //nolint:gosec // bounded by the reader
			if r.bad || next > uint64(pki.MaxClass) || !row.sound() {
				return fmt.Errorf("%w: class row", ErrMalformed)
			}
			if err := row.readMembers(r, t, f); err != nil {
				return err
			}
			s.rows = append(s.rows, row)
			next++
		}
	}
	return nil
}

func readForm(r *bitReader, t tuning) form {
	switch {
	case !r.bit():
		return form{formCommon, t.k}
	case !r.bit():
		return form{formOwn, int(r.bits(5))} //nolint:gosec // five bits
	}
	return form{kind: formPaged}
}

// readMembers reads count and members. Every member takes a bit or more, so the
// count bounds nothing that the input does not have.
func (r *row) readMembers(in *bitReader, t tuning, f form) error {
	if r.Status == Revoked {
		return nil
	}
	count := in.rice(t.countK(&r.Leaf), uint64(r.Issued))
	if in.bad || f.kind != formPaged && count > uint64(in.left()) { //nolint:gosec // not negative
		return fmt.Errorf("%w: count of class %v", ErrMalformed, r.Class)
	}
	if count == 0 {
		return nil
	}
	if f.kind == formPaged {
		return r.readPages(in, t)
	}
	next, page := uint64(0), (*Page)(nil)
	for range count {
		at := next + in.rice(f.k, uint64(r.Issued))
		if in.bad || at >= uint64(r.Issued) {
			return fmt.Errorf("%w: members of class %v", ErrMalformed, r.Class)
		}
		no := int(at / PageSize) //nolint:gosec // below 2^16
		if n := len(r.pages); n == 0 || r.pages[n-1].no != no {
			page = &Page{}
			r.pages = append(r.pages, numbered{no: no, page: page})
		}
		page.extend(run{uint16(at % PageSize), uint16(at % PageSize)})
		next = at + 1
	}
	return nil
}

func (r *row) readPages(in *bitReader, t tuning) error {
	last := t.firstHeader()
	for no := range r.Leaf.pages() {
		last = readHeader(in, last)
		p, err := readPage(in, last)
		if err != nil {
			return err
		}
		if p.Len() > 0 {
			r.pages = append(r.pages, numbered{no: no, page: p})
		}
	}
	return nil
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
	return byte(r.bits(6)) //nolint:gosec // six bits
}

func readIssuer(r *bitReader) (l IssuerLeaf, ok bool) {
	id := make([]byte, r.bits(8))
	for i := range id {
		id[i] = byte(r.bits(8)) //nolint:gosec // eight bits
	}
	l.ID = ident.Issuer(id)
	l.Sunset = r.bit()
	l.LastSeen = int64(r.bits(53)) //nolint:gosec // 53 bits
	for range r.gamma(MaxCompromised+1) - 1 {
		if r.bad {
			break
		}
		c := Compromise{Member: pki.Member{Class: pki.Class(r.bits(32)), Index: uint32(r.bits(32))}, Since: r.bits(63)} //nolint:gosec // 32 bits
		l.Compromised = append(l.Compromised, c)
	}
	return l, !r.bad && validIssuer(l.ID) && soundCompromises(l.Compromised)
}
