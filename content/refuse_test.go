package content_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
)

func TestContent_11_InitRefusals(t *testing.T) {
	with := func(scheme string, body []byte) []byte { return initSeg(encv(tenc(scheme, body)), 1) }
	good := prot(0, 0, 1, 8, kid1, nil)
	tencV2 := bytes.Replace(with("cenc", good), append([]byte("tenc"), 0), append([]byte("tenc"), 2), 1)
	twice := cencInit()
	moov := twice[bytes.Index(twice, []byte("moov"))-4:]
	trak := bytes.Clone(moov[bytes.Index(moov, []byte("trak"))-4 : bytes.Index(moov, []byte("mvex"))-4])
	for name, tc := range map[string]struct {
		seg  []byte
		want error
	}{
		"nothing":               {nil, content.ErrMalformed},
		"no moov":               {bx("ftyp", zero(8)), content.ErrMalformed},
		"no known scheme":       {with("abcd", good), content.ErrUnsupported},
		"tenc version 2":        {tencV2, content.ErrUnsupported},
		"IV of 9 bytes":         {with("cenc", prot(0, 0, 1, 9, kid1, nil)), content.ErrMalformed},
		"cbcs with 8-byte IVs":  {with("cbcs", prot(1, 9, 1, 8, kid1, nil)), content.ErrMalformed},
		"constant IV of 12":     {with("cbcs", prot(1, 9, 1, 0, kid1, zero(12))), content.ErrMalformed},
		"constant IV in cenc":   {with("cenc", prot(0, 0, 1, 0, kid1, zero(16))), content.ErrUnsupported},
		"pattern 0:9":           {with("cbcs", prot(0, 9, 1, 16, kid1, nil)), content.ErrMalformed},
		"protected = 2":         {with("cenc", prot(0, 0, 2, 8, kid1, nil)), content.ErrMalformed},
		"encv without sinf":     {initSeg(encv(nil), 1), content.ErrMalformed},
		"sinf in a clear entry": {initSeg(bx("avc1", zero(78), tenc("cenc", good)), 1), content.ErrUnsupported},
		"entry too short":       {initSeg(bx("encv", zero(20)), 1), content.ErrMalformed},
		"no entries":            {initSeg(nil, 0), content.ErrMalformed},
		"track twice":           {bx("moov", trak, trak), content.ErrMalformed},
		"too large":             {zero(content.MaxInit + 1), content.ErrMalformed},
		"seig without a scheme": {initSeg(bx("avc1", zero(78)), 1, full("sgpd", 1, 0, []byte("seig"), u32(20), u32(1), good)), content.ErrUnsupported},
		"sgpd version 3":        {initSeg(encv(tenc("cenc", good)), 1, full("sgpd", 3, 0, []byte("seig"), u32(1), good)), content.ErrUnsupported},
	} {
		if in, err := content.ParseInit(tc.seg); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, %v, want %v", name, in != nil, err, tc.want)
		}
	}
}

func TestContent_12_FragmentRefusals(t *testing.T) {
	in := parseInit(t, cencInit())
	whole, _ := cencFragment(t)
	data := whole[len(whole)-300:]
	ivs, subs := [][]byte{u64(5), u64(6)}, []cenc.Subsample{{Clear: 20, Protected: 80}, {Clear: 10, Protected: 190}}
	aux := senc(ivs, subs)
	base := func(edit func(*part)) []byte {
		p := part{sizes: []int{100, 200}, traf: [][]byte{aux}}
		edit(&p)
		return p.build(data)
	}
	for name, tc := range map[string]struct {
		seg  []byte
		want error
	}{
		"nothing":              {nil, content.ErrMalformed},
		"only mdat":            {bx("mdat", data), content.ErrMalformed},
		"movie box":            {slices.Concat(cencInit(), whole), content.ErrMalformed},
		"no tfdt":              {base(func(p *part) { p.noTfdt = true }), content.ErrUnsupported},
		"time over 2^53 ms":    {base(func(p *part) { p.at = 1 << 60 }), content.ErrMalformed},
		"no senc":              {base(func(p *part) { p.traf = nil }), content.ErrMalformed},
		"two senc":             {base(func(p *part) { p.traf = [][]byte{aux, aux} }), content.ErrMalformed},
		"senc of one sample":   {base(func(p *part) { p.traf = [][]byte{senc(ivs[:1], subs[:1])} }), content.ErrMalformed},
		"senc goes on":         {base(func(p *part) { p.traf = [][]byte{append(u32(len(aux)+1), append(aux[4:len(aux):len(aux)], 0)...)} }), content.ErrMalformed},
		"subsamples too short": {base(func(p *part) { p.traf = [][]byte{senc(ivs, []cenc.Subsample{{Clear: 20, Protected: 79}, subs[1]})} }), content.ErrMalformed},
		"subsamples too long": {base(func(p *part) {
			p.traf = [][]byte{senc(ivs, []cenc.Subsample{{Clear: 20, Protected: 1 << 31}, subs[1]})}
		}), content.ErrMalformed},
		"data before mdat":      {base(func(p *part) { p.extra = -9 }), content.ErrMalformed},
		"data behind mdat":      {base(func(p *part) { p.extra = 1 }), content.ErrMalformed},
		"samples without data":  {base(func(p *part) { p.sizes = []int{100, 1 << 30} }), content.ErrMalformed},
		"unknown description":   {base(func(p *part) { p.tfhd, p.tfhdAdd = 2, [][]byte{u32(2)} }), content.ErrMalformed},
		"description 0":         {base(func(p *part) { p.tfhd, p.tfhdAdd = 2, [][]byte{u32(0)} }), content.ErrMalformed},
		"claimed by two tracks": {twoTrafs(whole), content.ErrMalformed},
		"unknown track":         {bytes.Replace(whole, append(u32(0x20000), u32(1)...), append(u32(0x20000), u32(2)...), 1), content.ErrMalformed},
	} {
		before := bytes.Clone(tc.seg)
		if f, err := in.Fragment(tc.seg); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, %v, want %v", name, f != nil, err, tc.want)
		}
		if !bytes.Equal(before, tc.seg) {
			t.Errorf("%s: the segment was changed", name)
		}
	}
}

// twoTrafs repeats the traf of a fragment, so that its data is claimed twice.
func twoTrafs(seg []byte) []byte {
	traf := seg[bytes.Index(seg, []byte("traf"))-4 : bytes.Index(seg, []byte("mdat"))-4]
	mdat := seg[bytes.Index(seg, []byte("mdat"))-4:]
	// The data lies len(traf) further then: change both data offsets.
	moved := bytes.Clone(traf)
	at := bytes.Index(moved, []byte("trun")) + 4 + 4 + 4
	copy(moved[at:], u32(int(seg[bytes.Index(seg, []byte("trun"))+15])+int(seg[bytes.Index(seg, []byte("trun"))+14])<<8+len(traf)))
	return append(bx("moof", full("mfhd", 0, 0, u32(1)), moved, moved), mdat...)
}
