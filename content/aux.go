package content

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
)

// protect builds the jobs of a track fragment from its auxiliary information.
func (t *traf) protect(kids []box) error {
	senc, hasSenc := find(kids, "senc")
	var saiz, saio []box
	for _, k := range kids {
		switch {
		case k.typ == cc("senc"):
			if k.start != senc.start {
				return fmt.Errorf("%w: two senc boxes", ErrMalformed)
			}
			t.f.edits = append(t.f.edits, edit{k.start, cc("free")})
		case k.typ == cc("saiz") && t.ours(k):
			saiz = append(saiz, k)
			t.f.edits = append(t.f.edits, edit{k.start, cc("free")})
		case k.typ == cc("saio") && t.ours(k):
			saio = append(saio, k)
			t.f.edits = append(t.f.edits, edit{k.start, cc("free")})
		}
	}
	if len(saiz) > 1 || len(saio) > 1 {
		return fmt.Errorf("%w: auxiliary information twice", ErrMalformed)
	}
	switch {
	case hasSenc:
		return t.senc(senc)
	case len(saiz) == 1 && len(saio) == 1:
		return t.saiz(saiz[0], saio[0])
	}
	for i := range t.samples {
		p := t.protection(i)
		if p.Protected() && p.IVSize != 0 {
			return fmt.Errorf("%w: protected samples without senc, saiz and saio boxes", ErrMalformed)
		}
		if err := t.job(i, wire.NewReader(nil), false); err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether a saiz or saio box is about protection: it names no
// type, or the scheme of the track.
func (t *traf) ours(b box) bool {
	r := wire.NewReader(t.seg[b.body:b.end])
	if r.U32()&1 == 0 {
		return true
	}
	typ := cenc.Scheme(r.U32())
	return typ.Known()
}

// protection is that of one sample.
func (t *traf) protection(i int) *protection {
	if t.prot != nil && t.prot[i] != nil {
		return t.prot[i]
	}
	return t.entry
}

func (t *traf) senc(b box) error {
	r := wire.NewReader(t.seg[b.body:b.end])
	head, n := r.U32(), r.U32()
	if head>>24 != 0 || uint64(n) != uint64(len(t.samples)) {
		return fmt.Errorf("%w: senc box of %d samples for %d", ErrMalformed, n, len(t.samples))
	}
	t.f.jobs = slices.Grow(t.f.jobs, len(t.samples))
	for i := range t.samples {
		if err := t.job(i, r, head&sencSubsample != 0); err != nil {
			return err
		}
	}
	if r.End() != nil {
		return fmt.Errorf("%w: senc box", ErrMalformed)
	}
	return nil
}

// saiz reads auxiliary information where saio says it lies, once for the whole
// fragment or once for each run.
func (t *traf) saiz(saiz, saio box) error {
	z, o := wire.NewReader(t.seg[saiz.body:saiz.end]), wire.NewReader(t.seg[saio.body:saio.end])
	if z.U32()&1 != 0 {
		z.Bytes(8)
	}
	head := o.U32()
	if head&1 != 0 {
		o.Bytes(8)
	}
	same, n, chunks := z.U8(), z.U32(), o.U32()
	if z.Err() != nil || o.Err() != nil || uint64(n) != uint64(len(t.samples)) || chunks != 1 && uint64(chunks) != uint64(len(t.runs)) {
		return fmt.Errorf("%w: saiz or saio box", ErrMalformed)
	}
	var r *wire.Reader
	run := 0
	for i := range t.samples {
		for run < len(t.runs) && t.runs[run] <= i {
			if run < int(chunks) {
				off := uint64(o.U32())
				if head>>24 == 1 {
					off = off<<32 | uint64(o.U32())
				}
				if o.Err() != nil || off > uint64(len(t.seg)-t.base) { //nolint:gosec // base <= len(seg)
					return fmt.Errorf("%w: saio offset", ErrMalformed)
				}
				from := t.base + int(off) //nolint:gosec // just bounded
				end, err := t.upTo(from)
				if err != nil {
					return err
				}
				r = wire.NewReader(t.seg[from:end])
			}
			run++
		}
		size := int(same)
		if same == 0 {
			size = int(z.U8())
		}
		one := wire.NewReader(r.Bytes(size))
		if err := t.job(i, one, size > int(t.protection(i).IVSize)); err != nil {
			return err
		}
		if z.Err() != nil || r.Err() != nil || one.End() != nil {
			return fmt.Errorf("%w: auxiliary information of a sample", ErrMalformed)
		}
	}
	return nil
}

// job reads one sample's IV and subsamples and adds the work they describe.
func (t *traf) job(i int, r *wire.Reader, subsamples bool) error {
	p, at := t.protection(i), t.samples[i]
	j := job{off: at.from, size: at.to - at.from, prot: p}
	if p.IVSize > 0 {
		copy(j.iv[:], r.Bytes(int(p.IVSize)))
	} else {
		copy(j.iv[:], p.ConstantIV)
	}
	if subsamples {
		n := int(r.U16())
		if t.subs += n; t.subs > maxSubsamples || n*6 > r.Len() {
			return fmt.Errorf("%w: %d subsamples", ErrMalformed, n)
		}
		from := len(t.maps)
		for range n {
			t.maps = append(t.maps, cenc.Subsample{Clear: uint32(r.U16()), Protected: r.U32()})
		}
		j.subs = t.maps[from:len(t.maps):len(t.maps)]
	}
	if r.Err() != nil {
		return fmt.Errorf("%w: auxiliary information of a sample", ErrMalformed)
	}
	if !p.Protected() || j.size == 0 && len(j.subs) == 0 {
		return nil
	}
	return t.f.add(j)
}
