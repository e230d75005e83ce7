package content

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// Init is a parsed init segment: what is needed to read its fragments.
type Init struct {
	Tracks []Track
	PSSH   []cenc.PSSH // of the movie box; those of other versions are left out
	raw    []byte      // as received
	view   bool        // it is of a View, which tells of what it cannot decrypt
	edits  []edit
}

// Track is one track of an init segment.
type Track struct {
	ID            uint32
	Handler       string  // "vide", "soun", …
	Timescale     uint32  // ticks a second
	Width, Height uint16  // pixels, as shown
	Entries       []Entry // sample descriptions, index 1 first
	defaults      sampleDefaults
	groups        descriptions // seig descriptions of the movie box
	trak, stbl    box          // in the movie box, for the tables of a progressive file
}

// Entry is a sample description.
type Entry struct {
	Format string // original format: "avc1", "mp4a", …
	Codec  string // RFC 6381 for avc and mp4a, else Format
	PIFF   bool   // protected in the older form of PIFF
	// Foreign is a scheme that is not of Common Encryption, 0 for none: a View tells
	// of it and refuses to read such samples; ParseInit refuses it.
	Foreign cenc.Scheme
	nal     uint8 // bytes of a NAL unit's length; 0: the codec has none
	protection
}

// protection is what tenc or a seig group says of a sample.
type protection struct {
	Scheme      cenc.Scheme // 0: in the clear
	KID         ident.Key
	Crypt, Skip uint8 // pattern, in blocks
	IVSize      uint8 // bytes a sample: 0 (constant IV), 8 or 16
	ConstantIV  []byte
}

// sampleDefaults are a trex box's, which a tfhd box overrides.
type sampleDefaults struct{ entry, duration, size uint32 }

// Protected reports whether samples of this description are encrypted.
func (p *protection) Protected() bool { return p.Scheme != 0 }

// Track returns a track by its ID.
func (in *Init) Track(id uint32) (*Track, bool) {
	for i := range in.Tracks {
		if in.Tracks[i].ID == id {
			return &in.Tracks[i], true
		}
	}
	return nil, false
}

// KIDs lists the key IDs of all sample descriptions, each once.
func (in *Init) KIDs() []ident.Key {
	var out []ident.Key
	for _, t := range in.Tracks {
		for _, e := range t.Entries {
			if e.Protected() && !slices.Contains(out, e.KID) {
				out = append(out, e.KID)
			}
		}
	}
	return out
}

// ParseInit reads an init segment: its movie box, and no fragment.
func ParseInit(seg []byte) (*Init, error) {
	if len(seg) > MaxInit {
		return nil, fmt.Errorf("%w: init segment over %d bytes", ErrMalformed, MaxInit)
	}
	return parseInit(bytes.Clone(seg), false) // what is parsed keeps parts of it
}

func parseInit(seg []byte, view bool) (*Init, error) {
	top, err := boxes(seg, 0, len(seg))
	if err != nil {
		return nil, err
	}
	moov, ok := find(top, "moov")
	if !ok {
		return nil, fmt.Errorf("%w: no moov box", ErrMalformed)
	}
	in := &Init{raw: seg, view: view}
	kids, err := boxes(seg, moov.body, moov.end)
	if err != nil {
		return nil, err
	}
	for _, b := range kids {
		switch {
		case b.typ == cc("trak"):
			err = in.trak(seg, b)
		case b.user == piffPSSH:
			in.edits = append(in.edits, edit{b.start, cc("free")})
			in.PSSH = append(in.PSSH, piffHeader(seg[b.body:b.end])...)
		case b.typ == cc("pssh"):
			in.edits = append(in.edits, edit{b.start, cc("free")})
			if p, perr := cenc.ParsePSSH(seg[b.start:b.end]); perr == nil {
				in.PSSH = append(in.PSSH, *p)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if mvex, ok := find(kids, "mvex"); ok {
		return in, in.mvex(seg, mvex)
	}
	return in, nil
}

// Clear returns a copy of the init segment as clear content has it: original
// formats, no protection boxes, same length. seg must be what was parsed.
func (in *Init) Clear(seg []byte) ([]byte, error) {
	if !bytes.Equal(seg, in.raw) {
		return nil, fmt.Errorf("%w: not the init segment that was parsed", ErrMalformed)
	}
	out := bytes.Clone(seg)
	apply(out, in.edits)
	return out, nil
}

func (in *Init) trak(seg []byte, b box) error {
	if len(in.Tracks) == maxTracks {
		return fmt.Errorf("%w: over %d tracks", ErrMalformed, maxTracks)
	}
	t := Track{trak: b}
	top, err := path(seg, b)
	if err != nil {
		return err
	}
	tkhd, _ := find(top, "tkhd")
	if err := t.tkhd(seg[tkhd.body:tkhd.end]); err != nil {
		return err
	}
	kids, err := path(seg, b, "mdia")
	if err != nil {
		return err
	}
	mdhd, _ := find(kids, "mdhd")
	hdlr, _ := find(kids, "hdlr")
	if err := t.mdia(seg[mdhd.body:mdhd.end], seg[hdlr.body:hdlr.end]); err != nil {
		return err
	}
	minf, err := path(seg, b, "mdia", "minf")
	if err != nil {
		return err
	}
	var ok bool
	if t.stbl, ok = find(minf, "stbl"); !ok {
		return fmt.Errorf("%w: no stbl box", ErrMalformed)
	}
	stbl, err := path(seg, t.stbl)
	if err != nil {
		return err
	}
	stsd, ok := find(stbl, "stsd")
	if !ok {
		return fmt.Errorf("%w: no stsd box", ErrMalformed)
	}
	if t.Entries, err = in.stsd(seg, stsd, t.Handler); err != nil {
		return err
	}
	edits, groups, err := seigGroups(seg, stbl, t.scheme())
	if err != nil {
		return err
	}
	in.edits, t.groups = append(in.edits, edits...), groups
	for _, level := range [][]box{top, stbl} {
		a, err := findAux(seg, level)
		if err != nil {
			return err
		}
		in.edits = append(in.edits, a.edits...)
	}
	if _, dup := in.Track(t.ID); dup {
		return fmt.Errorf("%w: two tracks %d", ErrMalformed, t.ID)
	}
	in.Tracks = append(in.Tracks, t)
	return nil
}

// scheme is the scheme of the first protected description, for its groups.
func (t *Track) scheme() cenc.Scheme {
	for _, e := range t.Entries {
		if e.Protected() {
			return e.Scheme
		}
	}
	return 0
}

func (t *Track) tkhd(b []byte) error {
	r := wire.NewReader(b)
	version := r.U32() >> 24
	wide := 4
	if version == 1 {
		wide = 8
	}
	r.Bytes(2 * wide)
	t.ID = r.U32()
	r.Bytes(4 + wide + 8 + 8 + 36)
	t.Width, t.Height = uint16(r.U32()>>16), uint16(r.U32()>>16) // 16.16 fixed point: the whole part
	if r.Err() != nil || version > 1 || t.ID == 0 {
		return fmt.Errorf("%w: tkhd box", ErrMalformed)
	}
	return nil
}

func (t *Track) mdia(mdhd, hdlr []byte) error {
	r := wire.NewReader(mdhd)
	wide := 4
	if r.U32()>>24 == 1 {
		wide = 8
	}
	r.Bytes(2 * wide)
	t.Timescale = r.U32()
	h := wire.NewReader(hdlr)
	h.Bytes(8)
	t.Handler = fourCC(h.U32()).String()
	if r.Err() != nil || h.Err() != nil || t.Timescale == 0 {
		return fmt.Errorf("%w: media header of track %d", ErrMalformed, t.ID)
	}
	return nil
}

func (in *Init) mvex(seg []byte, b box) error {
	kids, err := boxes(seg, b.body, b.end)
	if err != nil {
		return err
	}
	for _, k := range kids {
		if k.typ != cc("trex") {
			continue
		}
		r := wire.NewReader(seg[k.body:k.end])
		r.U32()
		t, ok := in.Track(r.U32())
		d := sampleDefaults{entry: r.U32(), duration: r.U32(), size: r.U32()}
		if r.Err() != nil || !ok {
			return fmt.Errorf("%w: trex box", ErrMalformed)
		}
		t.defaults = d
	}
	return nil
}
