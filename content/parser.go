package content

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
)

// errOutside is returned where the boxes place samples beyond the data.
var errOutside = fmt.Errorf("%w: samples outside of the mdat box", ErrMalformed)

// parser reads the moof boxes of one segment. Places count from its begin.
type parser struct {
	in       *Init
	f        *Fragment
	seg      []byte                          // the segment, or as much of it as is at hand
	size     int                             // of the whole segment
	at       int64                           // of seg in its file; -1 when unknown
	hollow   bool                            // the bodies of mdat boxes are not here
	timed    bool                            // a fragment must have a time
	fetch    func(at, n int) ([]byte, error) // reads what is not here; nil: it cannot be read
	layout   func(*traf, box) error          // takes a track fragment whose protection is not looked at
	mdats    []box
	runs     []extent
	maps     []cenc.Subsample // of all samples: a slice for each would be most of what a fragment leaves to the collector
	samples  int
	subs     int
	implicit int // where data goes on that names no base of its own
}

// extent is a range of sample data.
type extent struct{ from, to int }

// parse reads the moof boxes among the boxes of a segment.
func (p *parser) parse(top []box) error {
	moofs := 0
	for _, b := range top {
		switch b.typ {
		case cc("moov"):
			return fmt.Errorf("%w: a moov box in a fragment", ErrMalformed)
		case cc("mdat"):
			p.mdats = append(p.mdats, b)
		}
	}
	for _, b := range top {
		if b.typ == cc("moof") {
			moofs++
			if err := p.moof(b); err != nil {
				return err
			}
		}
	}
	if moofs == 0 || p.timed && p.f.start > p.f.end {
		return fmt.Errorf("%w: no track fragment", ErrMalformed)
	}
	return p.disjoint()
}

func (p *parser) moof(b box) error {
	kids, err := boxes(p.seg, b.body, b.end)
	if err != nil {
		return err
	}
	p.implicit = b.start
	trafs := 0
	for _, k := range kids {
		switch {
		case k.typ == cc("pssh") || k.user == piffPSSH:
			p.f.edits = append(p.f.edits, edit{k.start, cc("free")})
			if h, err := cenc.ParsePSSH(p.seg[k.start:k.end]); err == nil {
				p.f.pssh = append(p.f.pssh, *h)
			}
		case k.typ == cc("traf"):
			if trafs++; trafs > maxTracks {
				return fmt.Errorf("%w: over %d track fragments", ErrMalformed, maxTracks)
			}
			if err := p.traf(b, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// take checks that a run's data lies within one mdat box.
func (p *parser) take(e extent) error {
	if e.from == e.to {
		return nil
	}
	in := func(m box) bool { return e.from >= m.body && e.to <= m.end }
	if !slices.ContainsFunc(p.mdats, in) {
		return errOutside
	}
	p.runs = append(p.runs, e)
	return nil
}

// bytes returns n bytes of the segment that describe samples, wherever they lie.
func (p *parser) bytes(at, n int) ([]byte, error) {
	if at < 0 || n > p.size || at > p.size-n {
		return nil, fmt.Errorf("%w: auxiliary information outside of the segment", ErrMalformed)
	}
	for _, m := range p.mdats {
		if p.hollow && at < m.end && at+n > m.body {
			if p.fetch == nil {
				return nil, fmt.Errorf("%w: sample descriptions among the samples", ErrUnsupported)
			}
			return p.fetch(at, n)
		}
	}
	if at+n > len(p.seg) {
		return nil, fmt.Errorf("%w: auxiliary information outside of the segment", ErrMalformed)
	}
	return p.seg[at : at+n], nil
}

// disjoint refuses data that two runs claim: it would be decrypted twice.
func (p *parser) disjoint() error {
	slices.SortFunc(p.runs, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(p.runs); i++ {
		if p.runs[i].from < p.runs[i-1].to {
			return fmt.Errorf("%w: samples overlap", ErrMalformed)
		}
	}
	return nil
}

// job reads one sample's IV and subsamples and adds the work they describe.
func (p *parser) job(j job, r *wire.Reader, subsamples bool) error {
	prot, entry := j.prot, j.entry
	if prot.IVSize > 0 {
		copy(j.iv[:], r.Bytes(int(prot.IVSize)))
	} else {
		copy(j.iv[:], prot.ConstantIV)
	}
	if subsamples {
		n := int(r.U16())
		if p.subs += n; p.subs > maxSubsamples || n*6 > r.Len() {
			return fmt.Errorf("%w: %d subsamples", ErrMalformed, n)
		}
		from := len(p.maps)
		for range n {
			p.maps = append(p.maps, cenc.Subsample{Clear: uint32(r.U16()), Protected: r.U32()})
		}
		j.subs = p.maps[from:len(p.maps):len(p.maps)]
	}
	if r.Err() != nil {
		return fmt.Errorf("%w: auxiliary information of a sample", ErrMalformed)
	}
	if p.f.samples++; entry.Foreign != 0 {
		p.f.foreign = entry.Foreign
	}
	if !prot.Protected() || j.size == 0 && len(j.subs) == 0 {
		return nil
	}
	return p.f.add(j)
}
