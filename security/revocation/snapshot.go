package revocation

// MaxSnapshot is the longest snapshot in bytes. Source: local, docs/spec/revocation.md.
const MaxSnapshot = 16 << 20

// layoutVersion is the first bit of snapshots and deltas. A one is for a later
// layout.
const layoutVersion = 0

// Limits and thresholds of the snapshot. Source: docs/spec/revocation.md.
const (
	maxBase   = 15 // of the Rice parameter of counts
	maxRice   = 31 // Rice parameter of members, here and in a delta
	formWorth = 16 // bits that a class must save to be written in a way of its own
)

// SnapshotSize says what a snapshot's bits are for.
type SnapshotSize struct {
	Registry int // which classes and issuers there are, how they stand, how many of each are revoked
	Members  int // who is revoked
}

// Snapshot returns the whole state but for its head. The same content gives
// the same bytes.
func (s *State) Snapshot() []byte {
	out, _ := s.snapshot()
	return out
}

// SnapshotSize measures the snapshot, in bits.
func (s *State) SnapshotSize() SnapshotSize {
	_, size := s.snapshot()
	return size
}

func (s *State) snapshot() ([]byte, SnapshotSize) {
	sizes := s.measure()
	t := s.tune(sizes)
	w := &bitWriter{out: make([]byte, 0, s.room(sizes, t))}
	w.bits(layoutVersion, 1)
	w.gamma(uint64(len(s.rows)) + 1)
	w.gamma(uint64(len(s.issuers)) + 1)
	w.bits(uint64(t.base), 4) //nolint:gosec // at most maxBase
	w.bits(uint64(t.k), 5)    //nolint:gosec // at most maxRice
	members := 0
	next := uint64(0)
	for i := 0; i < len(s.rows); {
		plain, forms := s.plainFrom(i, next, sizes[i:], t)
		w.gamma(uint64(plain) + 1) //nolint:gosec // not negative
		for n := range forms {
			r := &s.rows[i+n]
			if n == plain {
				r.writeOdd(w, next, forms[n])
			}
			w.gamma(uint64(r.Leaf.pages())) //nolint:gosec // at least one
			members += r.writeMembers(w, t, forms[n])
			next = uint64(r.Class) + 1
		}
		i += len(forms)
	}
	for i := range s.issuers {
		s.issuers[i].write(w)
	}
	return w.out, SnapshotSize{Registry: w.len() - members, Members: members}
}

// room is about how many bytes a snapshot will have, so that one of a megabyte is
// not made five times on the way.
func (s *State) room(sizes []flatSize, t tuning) int {
	bits := uint64(0)
	for i := range sizes {
		if s.rows[i].Status != Revoked {
			bits += sizes[i][t.k]
		}
	}
	return min(int(bits/8)+8*len(s.rows)+80*len(s.issuers)+64, MaxSnapshot)
}

// plainFrom counts the rows from i on that need no words: the next class ID,
// active, no minSVN, no CRL, members in the common way. forms are theirs, and that of
// the row behind them, if any.
func (s *State) plainFrom(i int, next uint64, sizes []flatSize, t tuning) (plain int, forms []form) {
	for n := range sizes {
		r := &s.rows[i+n]
		f := r.form(&sizes[n], t)
		forms = append(forms, f)
		if uint64(r.Class) != next || r.Status != Active || r.MinSVN != 0 || r.CRL != (hash{}) || f.kind != formCommon {
			return plain, forms
		}
		plain, next = plain+1, next+1
	}
	return plain, forms
}

// writeOdd writes what is odd about a row that is not plain.
func (r *row) writeOdd(w *bitWriter, next uint64, f form) {
	w.gamma(uint64(r.Class) - next + 1)
	r.writeStanding(w)
	switch f.kind {
	case formCommon:
		w.bits(0, 1)
	case formOwn:
		w.bits(0b10, 2)
		w.bits(uint64(f.k), 5) //nolint:gosec // at most maxRice
	default:
		w.bits(0b11, 2)
	}
}

// writeStanding writes status, reason, minSVN and the hash of a CRL.
func (l *Leaf) writeStanding(w *bitWriter) {
	w.flag(l.Status != Active)
	if l.Status != Active {
		w.bits(uint64(l.Status), 2)
		w.bits(uint64(l.Reason), 4)
	}
	w.gamma(uint64(l.MinSVN) + 1)
	w.flag(l.CRL != hash{})
	if l.CRL != (hash{}) {
		for _, b := range l.CRL {
			w.bits(uint64(b), 8)
		}
	}
}

func (l *Leaf) readStanding(r *bitReader) {
	if r.bit() {
		l.Status, l.Reason = ClassStatus(r.bits(2)), Reason(r.bits(4)) //nolint:gosec // bounded by the reader
		r.bad = r.bad || l.Status == Active
	}
	l.MinSVN = uint32(r.gamma(1<<32) - 1) //nolint:gosec // bounded by the reader
	if r.bit() {
		for i := range l.CRL {
			l.CRL[i] = byte(r.bits(8)) //nolint:gosec // eight bits
		}
		r.bad = r.bad || l.CRL == hash{}
	}
}

// writeMembers writes the count, which is part of the registry, and who; it
// returns the bits of the latter. A revoked class has neither.
func (r *row) writeMembers(w *bitWriter, t tuning, f form) int {
	if r.Status == Revoked {
		return 0
	}
	rice(w, uint64(r.Revoked), t.countK(&r.Leaf))
	before := w.len()
	if r.Revoked > 0 {
		if f.kind == formPaged {
			r.writePages(w, t)
		} else {
			r.writeFlat(w, f.k)
		}
	}
	return w.len() - before
}

// rice writes v as v >> k ones, a zero and the k low bits.
func rice(w *bitWriter, v uint64, k int) {
	w.ones(v >> k)
	w.bits(0, 1)
	w.bits(v&(1<<k-1), k)
}

// writeFlat writes the gaps between the class's members.
func (r *row) writeFlat(w *bitWriter, k int) {
	next := uint64(0)
	for i := range r.pages {
		base := uint64(r.pages[i].no) * PageSize //nolint:gosec // not negative
		for _, x := range r.pages[i].page.runs {
			rice(w, base+uint64(x.first)-next, k)
			for range x.last - x.first {
				w.bits(0, 1+k)
			}
			next = base + uint64(x.last) + 1
		}
	}
}

// writePages writes every page of the class: its header, told by the page
// before, then the body.
func (r *row) writePages(w *bitWriter, t tuning) {
	last, pages := t.firstHeader(), r.pages
	for no := range r.Leaf.pages() {
		h, p := byte(pageEmpty), (*Page)(nil)
		if len(pages) > 0 && pages[0].no == no {
			h, p, pages = pages[0].header, pages[0].page, pages[1:]
		}
		writeHeader(w, last, h)
		p.body(w, h)
		last = h
	}
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

func (l *IssuerLeaf) write(w *bitWriter) {
	w.bits(uint64(len(l.ID)), 8)
	for i := range len(l.ID) {
		w.bits(uint64(l.ID[i]), 8)
	}
	w.flag(l.Sunset)
	w.bits(uint64(l.LastSeen), 53) //nolint:gosec // at most maxTime
	w.gamma(uint64(len(l.Compromised)) + 1)
	for _, c := range l.Compromised {
		w.bits(uint64(c.Member.Class), 32)
		w.bits(uint64(c.Member.Index), 32)
		w.bits(c.Since, 63)
	}
}
