package content

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// stsd reads the sample descriptions of a track and notes what Clear renames.
func (in *Init) stsd(seg []byte, b box, handler string) ([]Entry, error) {
	if b.end-b.body < 8 {
		return nil, fmt.Errorf("%w: stsd box", ErrMalformed)
	}
	kids, err := boxes(seg, b.body+8, b.end)
	if err != nil {
		return nil, err
	}
	if len(kids) == 0 || len(kids) > maxEntries {
		return nil, fmt.Errorf("%w: %d sample descriptions", ErrMalformed, len(kids))
	}
	var out []Entry
	for _, k := range kids {
		e, err := in.entry(seg, k, handler)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// entryHead is the length of a sample entry's fields before its boxes.
// Source: ISO/IEC 14496-12; QuickTime for sound versions 1 and 2.
func entryHead(body []byte, handler string) int {
	switch handler {
	case "vide":
		return 78
	case "soun":
		if len(body) >= 10 {
			switch int(body[8])<<8 | int(body[9]) {
			case 1:
				return 28 + 16
			case 2:
				return 28 + 36
			}
		}
		return 28
	}
	return 8
}

func (in *Init) entry(seg []byte, b box, handler string) (Entry, error) {
	e := Entry{Format: b.typ.String()}
	protected := b.typ == cc("encv") || b.typ == cc("enca") || b.typ == cc("enct") || b.typ == cc("encs") || b.typ == cc("encm")
	head := entryHead(seg[b.body:b.end], handler)
	if !protected && handler != "vide" && handler != "soun" {
		e.Codec = e.Format
		return e, nil
	}
	if b.end-b.body < head {
		return e, fmt.Errorf("%w: %v sample entry", ErrMalformed, b.typ)
	}
	kids, err := boxes(seg, b.body+head, b.end)
	if err != nil {
		return e, err
	}
	found := false
	for _, k := range kids {
		if k.typ != cc("sinf") {
			continue
		}
		if in.view && e.foreign(seg, k, protected) {
			found = true
			continue
		}
		if !protected || found {
			return e, fmt.Errorf("%w: sinf box in %v sample entry", ErrUnsupported, b.typ)
		}
		found = true
		format, err := e.sinf(seg, k)
		if err != nil {
			return e, err
		}
		in.edits = append(in.edits, edit{b.start, format}, edit{k.start, cc("free")})
	}
	if protected && !found {
		return e, fmt.Errorf("%w: no sinf box in %v sample entry", ErrMalformed, b.typ)
	}
	e.Codec, e.nal = codec(seg, kids, e.Format), lengthField(seg, kids)
	return e, nil
}

// foreign notes a scheme that is not of Common Encryption, such as that of iTunes,
// in an entry that a view tells of and cannot decrypt.
func (e *Entry) foreign(seg []byte, sinf box, protected bool) bool {
	kids, err := path(seg, sinf)
	if err != nil {
		return false
	}
	frma, _ := find(kids, "frma")
	schm, ok := find(kids, "schm")
	f, s := wire.NewReader(seg[frma.body:frma.end]), wire.NewReader(seg[schm.body:schm.end])
	format := fourCC(f.U32())
	s.U32()
	scheme := cenc.Scheme(s.U32())
	if !ok || f.Err() != nil || s.Err() != nil || protected && (scheme.Known() || scheme == schemePIFF) {
		return false
	}
	e.Format, e.Foreign = format.String(), scheme
	return true
}

func (e *Entry) sinf(seg []byte, b box) (fourCC, error) {
	kids, err := path(seg, b)
	if err != nil {
		return 0, err
	}
	frma, _ := find(kids, "frma")
	schm, _ := find(kids, "schm")
	f, s := wire.NewReader(seg[frma.body:frma.end]), wire.NewReader(seg[schm.body:schm.end])
	format := fourCC(f.U32())
	s.U32()
	e.Format, e.Scheme = format.String(), cenc.Scheme(s.U32())
	if f.End() != nil || s.Err() != nil {
		return 0, fmt.Errorf("%w: sinf box", ErrMalformed)
	}
	if e.PIFF = e.Scheme == schemePIFF; e.PIFF {
		e.Scheme = cenc.SchemeCENC
	}
	if !e.Scheme.Known() {
		return 0, fmt.Errorf("%w: protection scheme %v", ErrUnsupported, e.Scheme)
	}
	kids, err = path(seg, b, "schi")
	if err != nil {
		return 0, err
	}
	tenc, ok := find(kids, "tenc")
	if i := slices.IndexFunc(kids, func(k box) bool { return k.user == piffTrack }); i >= 0 && !ok {
		r := wire.NewReader(seg[kids[i].body:kids[i].end])
		r.U32()
		p, err := piffProtection(r)
		if err != nil {
			return 0, err
		}
		e.protection = *p
		return format, nil
	}
	if !ok {
		return 0, fmt.Errorf("%w: no tenc box", ErrMalformed)
	}
	r := wire.NewReader(seg[tenc.body:tenc.end])
	version := r.U32() >> 24
	if version > 1 {
		return 0, fmt.Errorf("%w: tenc version %d", ErrUnsupported, version)
	}
	return format, e.read(r, e.Scheme, version == 1)
}

// read takes the fields that tenc and seig share. A pattern counts from
// version 1 on.
func (p *protection) read(r *wire.Reader, scheme cenc.Scheme, pattern bool) error {
	r.U8()
	if b := r.U8(); pattern {
		p.Crypt, p.Skip = b>>4, b&15
	}
	protected, iv := r.U8(), r.U8()
	var kid ident.Key
	copy(kid[:], r.Bytes(16))
	p.Scheme, p.KID, p.IVSize = scheme, kid, iv
	if protected == 1 && iv == 0 {
		p.ConstantIV = append([]byte(nil), r.Bytes(int(r.U8()))...)
	}
	if r.Err() != nil || protected > 1 || iv != 0 && iv != 8 && iv != 16 {
		return fmt.Errorf("%w: protection of key %v", ErrMalformed, kid)
	}
	if protected == 0 {
		*p = protection{}
		return nil
	}
	if iv == 0 && scheme != cenc.SchemeCBCS {
		return fmt.Errorf("%w: constant IV with %v", ErrUnsupported, scheme)
	}
	// A constant IV of 8 bytes is padded with zeros; shaka-packager writes one into
	// the tenc box of a track whose keys rotate.
	if cbc := scheme == cenc.SchemeCBCS || scheme == cenc.SchemeCBC1; cbc && int(iv)+len(p.ConstantIV) != 16 && (iv != 0 || len(p.ConstantIV) != 8) {
		return fmt.Errorf("%w: %v needs IVs of 16 bytes, or a constant one of 8", ErrMalformed, scheme)
	}
	probe := cenc.Sample{Scheme: scheme, Crypt: p.Crypt, Skip: p.Skip}
	if err := probe.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// lengthField is the number of bytes before each NAL unit of a sample that say
// its length: 0 for codecs that have none. Source: ISO/IEC 14496-15, as in mp4ff.
func lengthField(seg []byte, kids []box) uint8 {
	for typ, at := range map[string]int{"avcC": 4, "hvcC": 21} {
		if b, ok := find(kids, typ); ok && b.end-b.body > at {
			return seg[b.body+at]&3 + 1
		}
	}
	return 0
}

// codec is the RFC 6381 name of a codec, for avc1, avc3 and mp4a in full.
func codec(seg []byte, kids []box, format string) string {
	if avcC, ok := find(kids, "avcC"); ok && avcC.end-avcC.body >= 4 {
		return fmt.Sprintf("%s.%x", format, seg[avcC.body+1:avcC.body+4])
	}
	if esds, ok := find(kids, "esds"); ok && format == "mp4a" {
		if kind, ok := audioObject(seg[esds.body:esds.end]); ok {
			return fmt.Sprintf("mp4a.40.%d", kind)
		}
	}
	return format
}

// audioObject finds the MPEG-4 audio object type in an esds box: the first
// five bits of its DecoderSpecificInfo. Source: ISO/IEC 14496-1, 14496-3.
func audioObject(b []byte) (int, bool) {
	r := wire.NewReader(b)
	r.U32()
	for r.Err() == nil && r.Len() > 0 {
		tag := r.U8()
		for r.U8()&0x80 != 0 && r.Err() == nil {
		}
		switch tag {
		case 3: // ES_Descriptor: ID and flags; the optional fields are not read
			r.U16()
			if r.U8()&0xe0 != 0 {
				return 0, false
			}
		case 4: // DecoderConfigDescriptor
			if r.U8() != 0x40 {
				return 0, false
			}
			r.Bytes(12)
		case 5:
			kind := int(r.U8() >> 3)
			return kind, r.Err() == nil && kind > 0 && kind < 31
		default:
			return 0, false
		}
	}
	return 0, false
}
