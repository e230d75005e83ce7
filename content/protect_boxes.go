package content

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
)

// rewrite gives the boxes of a fragment's track fragments their auxiliary
// information and moves the places of samples on by as much.
func rewrite(seg []byte, heads []box, runs []run) ([]byte, error) {
	var out []byte
	for _, b := range heads {
		if b.typ != cc("moof") {
			out = append(out, seg[b.start:b.end]...)
			continue
		}
		if len(out) > 0 && slices.ContainsFunc(heads, func(o box) bool { return o.typ == cc("moof") && o.start < b.start }) {
			return nil, fmt.Errorf("%w: protect several moof boxes before one mdat box", ErrUnsupported)
		}
		moof, err := rewriteMoof(seg, b, runs)
		if err != nil {
			return nil, err
		}
		out = append(out, moof...)
	}
	return out, nil
}

func rewriteMoof(seg []byte, b box, runs []run) ([]byte, error) {
	kids, err := boxes(seg, b.body, b.end)
	if err != nil {
		return nil, err
	}
	grow := 0
	for i := range runs {
		grow += len(runs[i].boxes(0))
	}
	trafs := 0
	for _, k := range kids {
		if k.typ == cc("traf") {
			trafs++
		}
	}
	out := append(make([]byte, 4, b.end-b.start+grow), "moof"...)
	for _, k := range kids {
		from := len(out)
		if k.typ != cc("traf") {
			out = append(out, seg[k.start:k.end]...)
			continue
		}
		out = append(append(out, make([]byte, 4)...), "traf"...)
		parts, err := boxes(seg, k.body, k.end)
		if err != nil {
			return nil, err
		}
		for _, part := range parts {
			at := len(out)
			out = append(out, seg[part.start:part.end]...)
			if err := move(out[at:], part, trafs, grow); err != nil {
				return nil, err
			}
		}
		if i := slices.IndexFunc(runs, func(r run) bool { return r.traf == k }); i >= 0 {
			out = append(out, runs[i].boxes(len(out))...)
		}
		binary.BigEndian.PutUint32(out[from:], uint32(len(out)-from)) //nolint:gosec // a fragment is small
	}
	binary.BigEndian.PutUint32(out, uint32(len(out))) //nolint:gosec // as above
	return out, nil
}

// move changes the data offset of a trun box, when that counts from the moof box.
// b is the copy of a box that was parsed before.
func move(b []byte, was box, trafs, grow int) error {
	body := b[was.body-was.start:]
	switch was.typ {
	case cc("tfhd"):
		flags := binary.BigEndian.Uint32(body)
		if flags&tfhdBase != 0 || flags&tfhdFromMoof == 0 && trafs > 1 {
			return fmt.Errorf("%w: protect a fragment whose places do not count from its moof box (ffmpeg -movflags +default_base_moof)", ErrUnsupported)
		}
	case cc("trun"):
		if flags := binary.BigEndian.Uint32(body); flags&trunOffset != 0 {
			binary.BigEndian.PutUint32(body[8:], binary.BigEndian.Uint32(body[8:])+uint32(grow)) //nolint:gosec // wraps as the signed sum does
		}
	}
	return nil
}

// protectMovie gives the tracks' sample descriptions their protection, and the
// movie the common pssh with all key IDs.
func (p *protector) protectMovie(seg []byte) ([]byte, error) {
	top, err := boxes(seg, 0, len(seg))
	if err != nil {
		return nil, err
	}
	kids, err := boxes(seg, top[0].body, top[0].end)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 4, len(seg)+1024), "moov"...)
	for _, k := range kids {
		i := slices.IndexFunc(p.in.Tracks, func(t Track) bool { return t.trak == k })
		if i < 0 || p.tracks[p.in.Tracks[i].ID] == nil {
			out = append(out, seg[k.start:k.end]...)
			continue
		}
		t := p.tracks[p.in.Tracks[i].ID]
		trak, err := rebuild(seg, k, []string{"mdia", "minf", "stbl", "stsd"}, t.describe)
		if err != nil {
			return nil, err
		}
		out = append(out, trak...)
	}
	pssh, err := (&cenc.PSSH{Version: 1, System: cenc.CommonSystem(), KIDs: p.kids}).Encode()
	if err != nil {
		return nil, err
	}
	out = append(out, pssh...)
	binary.BigEndian.PutUint32(out, uint32(len(out))) //nolint:gosec // <= MaxMovie and what was added
	return out, nil
}

// rebuild copies a box, with what lies at the end of a path through it changed.
func rebuild(seg []byte, b box, names []string, leaf func([]byte) ([]byte, error)) ([]byte, error) {
	if len(names) == 0 {
		return leaf(seg[b.body:b.end])
	}
	next, rest := names[0], names[1:]
	kids, err := boxes(seg, b.body, b.end)
	if err != nil {
		return nil, err
	}
	var parts [][]byte
	for _, k := range kids {
		part := seg[k.start:k.end]
		if k.typ == cc(next) {
			if part, err = rebuild(seg, k, rest, leaf); err != nil {
				return nil, err
			}
		}
		parts = append(parts, part)
	}
	return makeBox(b.typ.String(), parts...), nil
}

// describe makes a protected sample description of the body of an stsd box with
// one clear one.
func (t *protectedTrack) describe(stsd []byte) ([]byte, error) {
	e, err := boxAt(stsd, 8, len(stsd))
	if err != nil {
		return nil, err
	}
	typ := "encv"
	if t.audio {
		typ = "enca"
	}
	version, pattern := byte(0), byte(0)
	if t.Scheme == cenc.SchemeCBCS {
		version, pattern = 1, t.Crypt<<4|t.Skip
	}
	tenc := append([]byte{version, 0, 0, 0, 0, pattern, 1, t.IVSize}, t.KID[:]...)
	if t.IVSize == 0 {
		tenc = append(append(tenc, uint8(len(t.ConstantIV))), t.ConstantIV...) //nolint:gosec // 16
	}
	scheme := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(t.Scheme))
	sinf := makeBox("sinf",
		makeBox("frma", stsd[e.start+4:e.start+8]),
		makeBox("schm", scheme, []byte{0, 1, 0, 0}),
		makeBox("schi", makeBox("tenc", tenc)))
	return makeBox("stsd", stsd[:8], makeBox(typ, stsd[e.body:e.end], sinf)), nil
}
