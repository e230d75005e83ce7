package content

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
)

// auxBoxes are the boxes of one track fragment, or of one track of a progressive
// file, that describe its samples' protection.
type auxBoxes struct {
	senc, piff, saiz, saio *box
	edits                  []edit
}

func findAux(seg []byte, kids []box) (a auxBoxes, err error) {
	for i := range kids {
		var to **box
		switch k := &kids[i]; {
		case k.typ == cc("senc"):
			to = &a.senc
		case k.user == piffSample:
			to = &a.piff
		case k.typ == cc("saiz") && aboutProtection(seg, *k):
			to = &a.saiz
		case k.typ == cc("saio") && aboutProtection(seg, *k):
			to = &a.saio
		default:
			continue
		}
		if *to != nil {
			return a, fmt.Errorf("%w: two %v boxes", ErrMalformed, kids[i].typ)
		}
		*to = &kids[i]
		a.edits = append(a.edits, edit{kids[i].start, cc("free")})
	}
	return a, nil
}

// aboutProtection reports whether a saiz or saio box is about protection: it
// names no type, or a scheme.
func aboutProtection(seg []byte, b box) bool {
	r := wire.NewReader(seg[b.body:b.end])
	if r.U32()&1 == 0 {
		return true
	}
	typ := cenc.Scheme(r.U32())
	return typ.Known() || typ == schemePIFF
}

// protect builds the jobs of a track fragment from its auxiliary information.
func (t *traf) protect(kids []box) error {
	a, err := findAux(t.seg, kids)
	if err != nil {
		return err
	}
	t.f.edits = append(t.f.edits, a.edits...)
	if a.senc == nil {
		a.senc = a.piff
	}
	if a.senc != nil {
		return t.senc(*a.senc)
	}
	if t.vectors() && a.saiz != nil && a.saio != nil {
		return t.saiz(*a.saiz, *a.saio)
	}
	if t.vectors() {
		return fmt.Errorf("%w: protected samples without senc, saiz and saio boxes", ErrMalformed)
	}
	if a.saiz != nil && a.saio != nil && t.protects() {
		return t.saiz(*a.saiz, *a.saio)
	}
	return t.each(wire.NewReader(nil), false)
}

// protects reports whether any sample is protected.
func (t *traf) protects() bool {
	for i := range t.samples {
		if t.protection(i).Protected() {
			return true
		}
	}
	return false
}

// vectors reports whether any sample has a vector of its own.
func (t *traf) vectors() bool {
	for i := range t.samples {
		if p := t.protection(i); p.Protected() && p.IVSize != 0 {
			return true
		}
	}
	return false
}

// protection is that of one sample.
func (t *traf) protection(i int) *protection {
	if t.prot != nil && t.prot[i] != nil {
		return t.prot[i]
	}
	return t.entry
}

// each reads the auxiliary information of every sample in turn.
func (t *traf) each(r *wire.Reader, subsamples bool) error {
	// A number of samples is a claim; a sample that is described has a byte or more.
	t.f.jobs = slices.Grow(t.f.jobs, min(len(t.samples), r.Len()))
	for i := range t.samples {
		if err := t.sample(i, r, subsamples); err != nil {
			return err
		}
	}
	return nil
}

// sample reads the auxiliary information of the next sample.
func (t *traf) sample(i int, r *wire.Reader, subsamples bool) error {
	at := t.samples[i]
	j := job{off: at.from, size: at.to - at.from, prot: t.protection(i), entry: t.desc, track: t.track, start: t.start, duration: t.ticks[i]}
	t.start += uint64(t.ticks[i])
	return t.job(j, r, subsamples)
}

func (t *traf) senc(b box) error {
	r := wire.NewReader(t.seg[b.body:b.end])
	head := r.U32()
	if head&sencOverride != 0 {
		p, err := piffProtection(r)
		if err != nil {
			return err
		}
		t.entry = p
	}
	n := r.U32()
	if !t.protects() { // a clear lead whose box describes nothing
		return t.each(wire.NewReader(nil), false)
	}
	if head>>24 != 0 || uint64(n) != uint64(len(t.samples)) {
		return fmt.Errorf("%w: senc box of %d samples for %d", ErrMalformed, n, len(t.samples))
	}
	if err := t.each(r, head&sencSubsample != 0); err != nil {
		return err
	}
	if r.End() != nil {
		return fmt.Errorf("%w: senc box", ErrMalformed)
	}
	return nil
}

// auxSizes are the contents of a saiz box: the length of each sample's
// auxiliary information.
type auxSizes struct {
	same uint8
	n    uint32
	each []byte // when they are not all the same
}

func readSaiz(b []byte) (z auxSizes, err error) {
	r := wire.NewReader(b)
	if r.U32()&1 != 0 {
		r.Bytes(8)
	}
	if z.same, z.n = r.U8(), r.U32(); z.same == 0 {
		z.each = r.Bytes(int(z.n))
	}
	if r.Err() != nil {
		return z, fmt.Errorf("%w: saiz box", ErrMalformed)
	}
	return z, nil
}

func (z auxSizes) of(i int) int {
	if z.same != 0 {
		return int(z.same)
	}
	return int(z.each[i])
}

// readSaio gives the places of a saio box.
func readSaio(b []byte) (offsets []uint64, err error) {
	r := wire.NewReader(b)
	head := r.U32()
	if head&1 != 0 {
		r.Bytes(8)
	}
	n, wide := r.U32(), 4
	if head>>24 == 1 {
		wide = 8
	}
	if r.Err() != nil || uint64(n)*uint64(wide) > uint64(r.Len()) { //nolint:gosec // neither is negative
		return nil, fmt.Errorf("%w: saio box", ErrMalformed)
	}
	offsets = make([]uint64, n)
	for i := range offsets {
		if wide == 8 {
			offsets[i] = r.U64()
		} else {
			offsets[i] = uint64(r.U32())
		}
	}
	return offsets, nil
}

// saiz reads auxiliary information where saio says it lies, once for the whole
// fragment or once for each run.
func (t *traf) saiz(saiz, saio box) error {
	z, err := readSaiz(t.seg[saiz.body:saiz.end])
	if err != nil {
		return err
	}
	offsets, err := readSaio(t.seg[saio.body:saio.end])
	if err != nil {
		return err
	}
	if uint64(z.n) != uint64(len(t.samples)) || len(offsets) != 1 && len(offsets) != len(t.runs) {
		return fmt.Errorf("%w: saiz or saio box", ErrMalformed)
	}
	for c, off := range offsets {
		from, to := 0, len(t.samples)
		if len(offsets) > 1 {
			if from = t.runs[c]; c+1 < len(t.runs) {
				to = t.runs[c+1]
			}
		}
		if off > uint64(t.size) || t.base > t.size { //nolint:gosec // not negative
			return fmt.Errorf("%w: saio offset", ErrMalformed)
		}
		if err := t.chunk(z, from, to, t.base+int(off)); err != nil { //nolint:gosec // just bounded
			return err
		}
	}
	return nil
}

// chunk reads the auxiliary information of some samples, which lies in one piece.
func (t *traf) chunk(z auxSizes, from, to, at int) error {
	n := 0
	for i := from; i < to; i++ {
		n += z.of(i)
	}
	data, err := t.bytes(at, n)
	if err != nil {
		return err
	}
	r := wire.NewReader(data)
	for i := from; i < to; i++ {
		size := z.of(i)
		one := wire.NewReader(r.Bytes(size))
		if err := t.sample(i, one, size > int(t.protection(i).IVSize)); err != nil {
			return err
		}
		if one.End() != nil {
			return fmt.Errorf("%w: auxiliary information of a sample", ErrMalformed)
		}
	}
	return nil
}
