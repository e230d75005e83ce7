package content

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// traf is a track fragment while it is read.
type traf struct {
	*parser
	track    *Track
	defaults sampleDefaults
	base     int // data offsets count from here
	samples  []extent
	runs     []int         // index of each run's first sample
	prot     []*protection // of each sample; nil is the sample description's
	entry    *protection   // of the sample description, unless a PIFF box overrides it
	desc     *Entry
	ticks    []uint32 // of each sample, its duration
	start    uint64   // decode time of the sample that is read next, ticks
	duration uint64   // of all samples, ticks
}

// Flags of tfhd and trun boxes. Source: ISO/IEC 14496-12.
const (
	tfhdBase      = 0x1
	tfhdEntry     = 0x2
	tfhdDuration  = 0x8
	tfhdSize      = 0x10
	tfhdFromMoof  = 0x20000
	trunOffset    = 0x1
	trunFirst     = 0x4
	trunDuration  = 0x100
	trunSize      = 0x200
	trunFlags     = 0x400
	trunCTO       = 0x800
	sencOverride  = 0x1 // PIFF 1.1
	sencSubsample = 0x2
)

func (p *parser) traf(moof, b box) error {
	kids, err := boxes(p.seg, b.body, b.end)
	if err != nil {
		return err
	}
	tfhd, ok := find(kids, "tfhd")
	if !ok {
		return fmt.Errorf("%w: no tfhd box", ErrMalformed)
	}
	t := traf{parser: p}
	if err := t.tfhd(tfhd, moof.start); err != nil {
		return err
	}
	for _, k := range kids {
		if k.typ == cc("trun") {
			if err := t.trun(k); err != nil {
				return err
			}
		}
	}
	tfdt, ok := find(kids, "tfdt")
	switch {
	case ok:
		if err := t.tfdt(tfdt); err != nil {
			return err
		}
	case t.timed:
		return fmt.Errorf("%w: fragment without tfdt box", ErrUnsupported)
	}
	if t.layout != nil {
		return t.layout(&t, b)
	}
	if err := t.group(kids); err != nil {
		return err
	}
	return t.protect(kids)
}

func (t *traf) tfhd(b box, moof int) error {
	r := wire.NewReader(t.seg[b.body:b.end])
	flags := r.U32() & 0xffffff
	var ok bool
	if t.track, ok = t.in.Track(r.U32()); !ok {
		return fmt.Errorf("%w: fragment of a track that the init segment does not have", ErrMalformed)
	}
	t.defaults, t.base = t.track.defaults, t.implicit
	if flags&tfhdFromMoof != 0 {
		t.base = moof
	}
	if flags&tfhdBase != 0 {
		abs := r.U64()
		if t.at < 0 {
			return fmt.Errorf("%w: absolute data offsets", ErrUnsupported)
		}
		if abs < uint64(t.at) || abs-uint64(t.at) > uint64(t.size) { //nolint:gosec // neither is negative
			return fmt.Errorf("%w: base data offset", ErrMalformed)
		}
		t.base = int(abs - uint64(t.at)) //nolint:gosec // <= size
	}
	if flags&tfhdEntry != 0 {
		t.defaults.entry = r.U32()
	}
	if flags&tfhdDuration != 0 {
		t.defaults.duration = r.U32()
	}
	if flags&tfhdSize != 0 {
		t.defaults.size = r.U32()
	}
	n := t.defaults.entry
	if r.Err() != nil || n == 0 || uint64(n) > uint64(len(t.track.Entries)) {
		return fmt.Errorf("%w: tfhd box", ErrMalformed)
	}
	t.desc = &t.track.Entries[n-1]
	t.entry = &t.desc.protection
	t.implicit = t.base
	return nil
}

func (t *traf) trun(b box) error {
	r := wire.NewReader(t.seg[b.body:b.end])
	flags, n := r.U32()&0xffffff, r.U32()
	pos := int64(t.implicit)
	if flags&trunOffset != 0 {
		pos = int64(t.base) + int64(int32(r.U32())) //nolint:gosec // signed on the wire
	}
	if flags&trunFirst != 0 {
		r.U32()
	}
	if r.Err() != nil || pos < 0 {
		return fmt.Errorf("%w: trun box", ErrMalformed)
	}
	if pos > int64(t.size) {
		return errOutside
	}
	if uint64(n) > uint64(t.size) { //nolint:gosec // not negative
		return fmt.Errorf("%w: more samples than bytes", ErrMalformed)
	}
	if n > maxSamples || t.parser.samples+int(n) > maxSamples {
		return fmt.Errorf("%w: over %d samples", ErrMalformed, maxSamples)
	}
	t.parser.samples += int(n)
	t.runs = append(t.runs, len(t.samples))
	t.samples, t.ticks = slices.Grow(t.samples, int(n)), slices.Grow(t.ticks, int(n))
	from := int(pos)
	for range n {
		duration, size := t.defaults.duration, t.defaults.size
		if flags&trunDuration != 0 {
			duration = r.U32()
		}
		if flags&trunSize != 0 {
			size = r.U32()
		}
		if flags&trunFlags != 0 {
			r.U32()
		}
		if flags&trunCTO != 0 {
			r.U32()
		}
		if pos += int64(size); pos > int64(t.size) {
			return errOutside
		}
		t.duration += uint64(duration)
		t.ticks = append(t.ticks, duration)
		t.samples = append(t.samples, extent{int(pos) - int(size), int(pos)})
	}
	if r.Err() != nil {
		return fmt.Errorf("%w: trun box", ErrMalformed)
	}
	t.implicit = int(pos)
	return t.take(extent{from, int(pos)})
}

func (t *traf) tfdt(b box) error {
	r := wire.NewReader(t.seg[b.body:b.end])
	var ticks uint64
	switch r.U32() >> 24 {
	case 0:
		ticks = uint64(r.U32())
	case 1:
		ticks = r.U64()
	default:
		return fmt.Errorf("%w: tfdt version", ErrUnsupported)
	}
	if r.Err() != nil {
		return fmt.Errorf("%w: tfdt box", ErrMalformed)
	}
	t.start = ticks
	return t.f.stamp(ticks, t.duration, t.track.Timescale)
}
