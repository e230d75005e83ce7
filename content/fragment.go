package content

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// Fragment is a parsed media segment: what to decrypt, and what to rename then.
type Fragment struct {
	seg        []byte
	jobs       []job
	edits      []edit
	kids       []ident.Key
	protected  int
	start, end uint64 // media ms
	used       bool
}

// job is one protected sample.
type job struct {
	off, size int
	prot      *protection
	iv        cenc.IV
	subs      []cenc.Subsample
}

// Keys finds the content key of a key ID.
type Keys func(ident.Key) (cenc.ContentKey, error)

// Fragment reads a media segment: one or several moof and mdat boxes, with
// styp, sidx and the like around them. Decrypt and Reencrypt then work in seg
// itself. Segments whose offsets are absolute are refused: use FragmentAt.
func (in *Init) Fragment(seg []byte) (*Fragment, error) { return in.FragmentAt(seg, -1) }

// FragmentAt is Fragment for a segment that begins at a known byte of its file.
func (in *Init) FragmentAt(seg []byte, at int64) (*Fragment, error) {
	return in.fragment(seg, at, false)
}

func (in *Init) fragment(seg []byte, at int64, hollow bool) (*Fragment, error) {
	if len(seg) > MaxFragment {
		return nil, fmt.Errorf("%w: fragment over %d bytes", ErrMalformed, MaxFragment)
	}
	top, err := boxes(seg, 0, len(seg))
	if err != nil {
		return nil, err
	}
	p := parser{in: in, seg: seg, at: at, hollow: hollow, f: &Fragment{seg: seg, start: ^uint64(0)}}
	moofs := 0
	for _, b := range top {
		switch b.typ {
		case cc("moov"):
			return nil, fmt.Errorf("%w: a moov box in a fragment", ErrMalformed)
		case cc("mdat"):
			p.mdats = append(p.mdats, b)
		}
	}
	for _, b := range top {
		if b.typ == cc("moof") {
			moofs++
			if err := p.moof(b); err != nil {
				return nil, err
			}
		}
	}
	if moofs == 0 || p.f.start > p.f.end {
		return nil, fmt.Errorf("%w: no track fragment", ErrMalformed)
	}
	return p.f, p.disjoint()
}

// KIDs lists the keys that the fragment needs, each once, in order of use.
func (f *Fragment) KIDs() []ident.Key { return slices.Clone(f.kids) }

// Bytes is the number of protected bytes: all ranges that subsample maps or
// whole-sample encryption cover, the gaps of a pattern included.
func (f *Fragment) Bytes() int { return f.protected }

// Time gives the decode time of the fragment's first sample and the length of
// all of them, in milliseconds of media, rounded down and up.
func (f *Fragment) Time() (startMS, durMS int64) {
	return int64(f.start), int64(f.end - f.start) //nolint:gosec // both below 2^53: see stamp
}

// Decrypt turns the segment into clear content in place. It fails before the
// first byte changes or not at all, and works once.
func (f *Fragment) Decrypt(keys Keys) error {
	from, err := f.ciphers(keys)
	defer closed(from)
	if err != nil {
		return err
	}
	f.used = true
	for i := range f.jobs {
		s := f.sample(&f.jobs[i])
		if err := from[f.jobs[i].prot.KID].Decrypt(&s); err != nil {
			return err
		}
	}
	apply(f.seg, f.edits)
	return nil
}

// Reencrypt replaces the keys in place, sample by sample, and leaves every box
// and IV as it is: link encryption. The keys of to are fresh for each session,
// so no IV meets a key twice. It fails before the first byte changes or not at
// all, and works once.
func (f *Fragment) Reencrypt(from, to Keys) error {
	dec, err := f.ciphers(from)
	defer closed(dec)
	if err != nil {
		return err
	}
	enc, err := f.ciphers(to)
	defer closed(enc)
	if err != nil {
		return err
	}
	f.used = true
	for i := range f.jobs {
		s := f.sample(&f.jobs[i])
		if err := dec[f.jobs[i].prot.KID].Decrypt(&s); err != nil {
			return err
		}
		if err := enc[f.jobs[i].prot.KID].Encrypt(&s); err != nil {
			return err
		}
	}
	return nil
}

// ciphers fetches every key of the fragment. What it returns beside an error is
// to be closed, too.
func (f *Fragment) ciphers(keys Keys) (map[ident.Key]*cenc.Cipher, error) {
	if f.used {
		return nil, ErrUsed
	}
	out := make(map[ident.Key]*cenc.Cipher, len(f.kids))
	for _, kid := range f.kids {
		k, err := keys(kid)
		if err != nil {
			return out, fmt.Errorf("content key %v: %w", kid, err)
		}
		c, err := cenc.NewCipher(k)
		if err != nil {
			return out, fmt.Errorf("content key %v: %w", kid, err)
		}
		out[kid] = c
	}
	return out, nil
}

// closed overwrites what the ciphers hold, as soon as the fragment is done.
func closed(all map[ident.Key]*cenc.Cipher) {
	for _, c := range all {
		c.Close()
	}
}

func (f *Fragment) sample(j *job) cenc.Sample {
	return cenc.Sample{
		Scheme: j.prot.Scheme, IV: j.iv, Crypt: j.prot.Crypt, Skip: j.prot.Skip,
		Subsamples: j.subs, Data: f.seg[j.off : j.off+j.size : j.off+j.size],
	}
}

// add checks a job and takes it in: what Decrypt relies on is decided here.
func (f *Fragment) add(j job) error {
	s := f.sample(&j)
	if err := s.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !slices.Contains(f.kids, j.prot.KID) {
		if len(f.kids) == maxEntries {
			return fmt.Errorf("%w: over %d keys", ErrMalformed, maxEntries)
		}
		f.kids = append(f.kids, j.prot.KID)
	}
	f.protected += s.ProtectedBytes()
	f.jobs = append(f.jobs, j)
	return nil
}

// stamp widens the fragment's time by a track's.
func (f *Fragment) stamp(ticks, duration uint64, timescale uint32) error {
	end, carry := bits.Add64(ticks, duration, 0)
	hi, lo := bits.Mul64(end, 1000)
	lo, up := bits.Add64(lo, uint64(timescale)-1, 0)
	hi += up
	if carry != 0 || hi >= uint64(timescale) {
		return fmt.Errorf("%w: decode time", ErrMalformed)
	}
	endMS, _ := bits.Div64(hi, lo, uint64(timescale))
	hi, lo = bits.Mul64(ticks, 1000)
	startMS, _ := bits.Div64(hi, lo, uint64(timescale))
	if endMS >= 1<<53 {
		return fmt.Errorf("%w: decode time", ErrMalformed)
	}
	f.start, f.end = min(f.start, startMS), max(f.end, endMS)
	return nil
}

// parser reads the moof boxes of one segment.
type parser struct {
	in       *Init
	f        *Fragment
	seg      []byte
	at       int64 // of seg in its file; -1 when unknown
	hollow   bool  // the bodies of mdat boxes are not here
	mdats    []box
	runs     []extent
	maps     []cenc.Subsample // of all samples: a slice for each would be most of what a fragment leaves to the collector
	samples  int
	subs     int
	implicit int // where data goes on that names no base of its own
}

// extent is a range of sample data.
type extent struct{ from, to int }

func (p *parser) moof(b box) error {
	kids, err := boxes(p.seg, b.body, b.end)
	if err != nil {
		return err
	}
	p.implicit = b.start
	trafs := 0
	for _, k := range kids {
		switch k.typ {
		case cc("pssh"):
			p.f.edits = append(p.f.edits, edit{k.start, cc("free")})
		case cc("traf"):
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
		return fmt.Errorf("%w: samples outside of the mdat box", ErrMalformed)
	}
	p.runs = append(p.runs, e)
	return nil
}

// upTo says how far one can read from an offset: in a segment without the
// bodies of its mdat boxes, up to the next of them.
func (p *parser) upTo(at int) (int, error) {
	end := len(p.seg)
	for _, m := range p.mdats {
		switch {
		case !p.hollow || m.end <= at:
		case at >= m.body:
			return 0, fmt.Errorf("%w: sample descriptions among the samples", ErrUnsupported)
		default:
			end = min(end, m.body)
		}
	}
	return end, nil
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
