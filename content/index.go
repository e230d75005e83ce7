package content

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// top is a box of the file itself.
type top struct {
	typ            fourCC
	from, body, to int64
}

// peek reads the header of the box at a place, io.EOF at the end of the file.
func (f *View) peek(at int64) (top, error) {
	b := top{from: at}
	if at >= f.size {
		return b, io.EOF
	}
	head := make([]byte, 16)
	n, err := f.src.ReadAt(head[:min(int64(len(head)), f.size-at)], at)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return b, fmt.Errorf("read content: %w", err)
	case n == 0 && f.size == math.MaxInt64 && f.endsAt(at):
		f.size = at
		return b, io.EOF
	case n < 8:
		return b, fmt.Errorf("%w: file ends within a box", ErrMalformed)
	}
	size := uint64(binary.BigEndian.Uint32(head))
	b.typ, b.body = fourCC(binary.BigEndian.Uint32(head[4:])), at+8
	switch size {
	case 0:
		size = uint64(f.size - at) //nolint:gosec // positive
	case 1:
		size = binary.BigEndian.Uint64(head[8:])
		b.body += 8
		if n < 16 {
			size = 0
		}
	}
	if size < uint64(b.body-at) || size > uint64(f.size-at) { //nolint:gosec // positive
		return b, fmt.Errorf("%w: %v box of %d bytes", ErrMalformed, b.typ, size)
	}
	b.to = at + int64(size)
	return b, nil
}

// endsAt reports whether a stream that was read to its end ends at a place, not
// before it.
func (f *View) endsAt(at int64) bool {
	s, ok := f.src.(*stream)
	return ok && s.at+int64(len(s.kept)) == at
}

// load reads boxes that are looked into, whole.
func (f *View) load(from, to int64, limit int64) ([]byte, error) {
	if to-from > limit {
		return nil, fmt.Errorf("%w: %d bytes of boxes, %d at most", ErrMalformed, to-from, limit)
	}
	b, err := f.take(nil, from, to)
	if int64(len(b)) < to-from {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: file ends within a box", ErrMalformed)
		}
		return nil, err
	}
	return b, nil
}

// take reads a range of the file into b, whose bytes it gives up. Of a stream, it
// allocates as it reads: a length is a claim until the bytes are there.
func (f *View) take(b []byte, from, to int64) ([]byte, error) {
	b = b[:0]
	step := to - from
	if f.Streamed() {
		step = window
	}
	for at := from; at < to; at += step {
		step = min(max(step, at-from), to-at)
		b = slices.Grow(b, int(step))
		n, err := f.src.ReadAt(b[len(b):len(b)+int(step)], at)
		if b = b[:len(b)+n]; int64(n) < step {
			return b, err
		}
	}
	return b, nil
}

// more indexes the next box of the file, or the next fragment, and reports
// whether there was one.
func (f *View) more() (bool, error) {
	b, err := f.peek(f.next)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	switch b.typ {
	case cc("moov"):
		if f.movie >= 0 {
			return false, fmt.Errorf("%w: two moov boxes", ErrMalformed)
		}
		err = f.readMovie(b)
	case cc("moof"):
		return true, f.readHead(b)
	case cc("mdat"):
		if n := len(f.units); n > 0 && f.units[n-1].table == nil && f.units[n-1].to == b.from {
			f.next = b.to
			return true, f.extend(n-1, b)
		}
		f.mdats = append(f.mdats, span{b.body, b.to})
		if len(f.mdats) > maxUnits {
			return false, fmt.Errorf("%w: over %d boxes", ErrMalformed, maxUnits)
		}
		err = f.within()
	}
	f.next = b.to
	return true, err
}

// readMovie reads the movie box and, in a progressive file, its tables.
func (f *View) readMovie(b top) error {
	if len(f.units) > 0 {
		return fmt.Errorf("%w: a moov box behind a fragment", ErrMalformed)
	}
	seg, err := f.load(b.from, b.to, MaxMovie)
	if err != nil {
		return err
	}
	if f.in, err = parseInit(seg, true); err != nil {
		return err
	}
	f.movie = b.from
	if f.units, err = f.in.tables(seg); err != nil {
		return err
	}
	for i := range f.units {
		if u := &f.units[i]; u.from < b.to && b.from < u.to {
			return fmt.Errorf("%w: samples in the movie box", ErrMalformed)
		}
	}
	f.next = b.to
	return f.within()
}

// within checks that the samples of a progressive file lie in its mdat boxes, as
// far as those are known: samples are looked for where data has been indexed only.
func (f *View) within() error {
	if f.movie < 0 {
		return nil
	}
	for _, m := range f.mdats[f.placed:] {
		f.placed++
		i, _ := slices.BinarySearchFunc(f.units, m.from, func(u unit, at int64) int { return cmp.Compare(u.to, at+1) })
		for ; i < len(f.units) && f.units[i].from < m.to; i++ {
			if u := &f.units[i]; u.from < m.from || u.to > m.to {
				return errOutside
			}
			f.units[i].placed = true
		}
	}
	return nil
}

// readHead reads the boxes of a fragment: from its first moof box to the mdat box
// behind.
func (f *View) readHead(b top) error {
	if f.in == nil {
		return fmt.Errorf("%w: fragments without an init segment", ErrMalformed)
	}
	if n := len(f.units); n > 0 && f.units[n-1].to > b.from || n >= maxUnits {
		return fmt.Errorf("%w: samples behind a fragment", ErrMalformed)
	}
	u := unit{from: b.from}
	for b.typ != cc("mdat") {
		if b.to-u.from > MaxHead {
			return fmt.Errorf("%w: over %d bytes of boxes before the samples of a fragment", ErrMalformed, MaxHead)
		}
		if err := u.add(b); err != nil {
			return err
		}
		f.next = b.to
		var err error
		if b, err = f.peek(f.next); errors.Is(err, io.EOF) {
			break // a fragment without samples
		} else if err != nil {
			return err
		}
	}
	if b.typ == cc("mdat") {
		if err := u.add(b); err != nil {
			return err
		}
		f.next = b.to
	}
	u.to = f.next
	f.units = append(f.units, u)
	return nil
}

// extend gives a fragment one more mdat box, which follows it immediately.
func (f *View) extend(i int, b top) error {
	u := &f.units[i]
	if err := u.add(b); err != nil {
		return err
	}
	if u.to = b.to; f.working == i {
		f.work, f.working = nil, -1
	}
	return nil
}

// add takes a box into a fragment.
func (u *unit) add(b top) error {
	if b.to-u.from > math.MaxInt/2 || len(u.heads) == maxBoxes {
		return fmt.Errorf("%w: fragment of %d bytes", ErrUnsupported, b.to-u.from)
	}
	u.heads = append(u.heads, box{typ: b.typ, start: int(b.from - u.from), body: int(b.body - u.from), end: int(b.to - u.from)})
	return nil
}

// maxTries is in how many further mdat boxes samples are looked for: each time, all
// boxes before them are parsed again. Source: local.
const maxTries = 16

// describe reads what the boxes say of a unit's samples, in the order of their
// places.
func (f *View) describe(i int) (*Fragment, error) {
	u := &f.units[i]
	var w *Fragment
	var err error
	if u.table != nil {
		if !u.placed {
			return nil, errOutside
		}
		w, err = u.jobs(f.in, f.src)
	} else {
		w, err = f.fragment(u)
	}
	for n := 0; n < maxTries && errors.Is(err, errOutside) && u.table == nil && i == len(f.units)-1; n++ { // in the next mdat box?
		before := len(u.heads)
		if _, err := f.more(); err != nil {
			return nil, err
		}
		if u = &f.units[i]; len(u.heads) == before {
			break
		}
		w, err = f.fragment(u)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(w.jobs, func(a, b job) int { return cmp.Compare(a.off, b.off) })
	return w, nil
}

// fragment reads a unit's moof boxes. Auxiliary information among the samples is
// read where it lies.
func (f *View) fragment(u *unit) (*Fragment, error) {
	head := u.to
	if mdat, ok := find(u.heads, "mdat"); ok {
		head = u.from + int64(mdat.body)
	}
	seg, err := f.load(u.from, head, MaxHead+16)
	if err != nil {
		return nil, err
	}
	p := parser{in: f.in, f: newFragment(nil), seg: seg, size: int(u.to - u.from), at: u.from, hollow: true, timed: f.timed}
	p.fetch = func(at, n int) ([]byte, error) { return f.load(u.from+int64(at), u.from+int64(at+n), MaxHead) }
	return p.f, p.parse(u.heads)
}
