package content_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// cutUp encrypts a fragment again, whole and in parts of at most so many bytes, and
// wants the same bytes, and the same measured. It gives the parts that have heads.
// What Fragment does not take is not compared.
func cutUp(t *testing.T, in *content.Init, seg []byte, most int64) (parts []content.Part, err error) {
	t.Helper()
	want := bytes.Clone(seg)
	whole, failed := in.Fragment(want)
	c, err := in.Cut(bytes.NewReader(seg), int64(len(seg)), most)
	if err != nil || failed != nil {
		return nil, err
	}
	var got []byte
	measured, start, end := 0, int64(1<<62), int64(0)
	for {
		p, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if p.From != int64(len(got)) || p.To < p.From {
			t.Fatalf("a part from %d to %d follows %d bytes", p.From, p.To, len(got))
		}
		data := slices.Concat(p.Head, seg[p.From:p.To])
		if p.Head == nil {
			got = append(got, data...)
			continue
		}
		f, err := in.Fragment(data)
		if err != nil {
			t.Fatalf("a part is no segment: %v", err)
		}
		if len(f.KIDs()) != 1 {
			t.Fatalf("a part has the keys %v", f.KIDs())
		}
		at, dur := f.Time()
		measured, start, end = measured+f.Bytes(), min(start, at), max(end, at+dur)
		if err := f.Reencrypt(anyKey(1), anyKey(2)); err != nil {
			t.Fatal(err)
		}
		got = append(got, data[len(p.Head):]...)
		p.Head = bytes.Clone(p.Head)
		parts = append(parts, p)
	}
	if at, dur := whole.Time(); len(parts) > 0 && (start < at || end > at+dur) {
		t.Fatalf("parts from %d to %d ms of a fragment from %d to %d", start, end, at, at+dur)
	}
	if measured != whole.Bytes() {
		t.Fatalf("parts of %d protected bytes, the fragment has %d", measured, whole.Bytes())
	}
	if err := whole.Reencrypt(anyKey(1), anyKey(2)); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the parts are not the fragment (%v)", err)
	}
	return parts, nil
}

func TestContent_3_PartsAreTheFragment(t *testing.T) {
	iv := picture(16)
	cencOnly, cbcsOnly := cencInit(), initSeg(encv(tenc("cbcs", prot(1, 9, 1, 0, kid2, iv))), 1)
	maps, _ := cencFragment(t)
	ivs := full("senc", 0, 0, u32(4), u64(1), u64(2), u64(3), u64(4))
	seig := func(typ string, version int, words ...[]byte) []byte {
		return full(typ, version, 0, append([][]byte{[]byte("seig")}, words...)...)
	}
	rotated := []([]byte){
		seig("sgpd", 1, u32(20), u32(1), prot(0, 0, 1, 8, kid2, nil)),
		seig("sbgp", 0, u32(2), u32(2), u32(0), u32(2), u32(0x10001)), ivs,
	}
	inClear := []([]byte){
		seig("sgpd", 1, u32(20), u32(1), prot(0, 0, 0, 0, ident.Key{}, nil)),
		seig("sbgp", 0, u32(3), u32(1), u32(0), u32(2), u32(0x10001), u32(1), u32(0)), full("senc", 0, 0, u32(4), u64(1), u64(2)),
	}
	pattern := []([]byte){
		seig("sgpd", 1, u32(0), u32(1), u32(37), prot(1, 9, 1, 0, kid1, picture(16))),
		seig("sbgp", 0, u32(1), u32(2), u32(0x10001)),
	}
	for _, tc := range []struct {
		name  string
		init  []byte
		seg   []byte
		most  int64
		parts []int // lengths
	}{
		{"each sample", cencOnly, maps, 1, []int{100, 200}},
		{"all samples", cencOnly, maps, 1 << 20, []int{300}},
		{"whole samples", cencOnly, part{sizes: []int{40, 40, 40, 40}, traf: [][]byte{ivs}}.build(picture(160)), 300 + 2*(40+18), []int{80, 80}},
		{"a constant vector", cbcsOnly, part{sizes: []int{64, 32}}.build(picture(96)), 1 << 20, []int{96}},
		{"two keys", cencOnly, part{sizes: []int{40, 40, 40, 40}, traf: rotated}.build(picture(160)), 1 << 20, []int{80, 80}},
		{"a gap in the clear", cencOnly, part{sizes: []int{40, 40, 40, 40}, traf: inClear}.build(picture(160)), 1 << 20, []int{40, 40}},
		{"a pattern of a group", cbcsOnly, part{sizes: []int{320, 320}, traf: pattern}.build(picture(640)), 1 << 20, []int{640}},
		{"two fragments and a box between", cencOnly, slices.Concat(maps, bx("emsg", zero(20)), maps), 1 << 20, []int{300, 300}},
		{"nothing protected", initSeg(bx("avc1", zero(78), bx("avcC", []byte{1, 0x64, 0, 0x1f})), 1), part{sizes: []int{400}}.build(picture(400)), 100, nil},
	} {
		parts, err := cutUp(t, parseInit(t, tc.init), tc.seg, tc.most)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		var lengths []int
		for _, p := range parts {
			lengths = append(lengths, int(p.To-p.From))
		}
		if !slices.Equal(lengths, tc.parts) {
			t.Errorf("%s: parts of %v bytes, want %v", tc.name, lengths, tc.parts)
		}
	}
}

// TestContent_3_PartsAreShort: no part is longer than was said, with its head, and
// they are as few as that allows. What is in memory is not the segment.
func TestContent_3_PartsAreShort(t *testing.T) {
	var sizes []int
	var ivs [][]byte
	var maps []cenc.Subsample
	sum := 0
	for i := range 500 {
		sizes, ivs = append(sizes, 16+i*7919%20_000), append(ivs, u64(i))
		maps = append(maps, cenc.Subsample{Clear: 16, Protected: uint32(sizes[i] - 16)}) //nolint:gosec // a few kilobytes
		sum += sizes[i]
	}
	in, seg := parseInit(t, cencInit()), part{sizes: sizes, traf: [][]byte{senc(ivs, maps)}}.build(picture(sum))
	const most = 64 << 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := in.Cut(bytes.NewReader(seg), int64(len(seg)), most)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		p, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if all := p.To - p.From + int64(len(p.Head)); all > most {
			t.Errorf("a part of %d bytes with its head", all)
		}
	}
	if low := len(seg)/most + 1; n > 3*low/2 {
		t.Errorf("%d parts of %d bytes", n, len(seg))
	}
	runtime.ReadMemStats(&after)
	if held := after.TotalAlloc - before.TotalAlloc; held > 256<<10 {
		t.Errorf("to cut a segment of %d bytes took %d bytes of memory", len(seg), held)
	}
}

func TestContent_3_WhatIsNotCut(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, _ := cencFragment(t)
	for name, bad := range map[string][]byte{
		"no fragment":         bx("free", zero(8)),
		"a movie":             slices.Concat(cencInit(), seg),
		"without a time":      part{sizes: []int{40}, traf: [][]byte{full("senc", 0, 0, u32(1), u64(1))}, noTfdt: true}.build(picture(40)),
		"samples outside":     part{sizes: []int{40}, traf: [][]byte{full("senc", 0, 0, u32(1), u64(1))}, extra: 9}.build(picture(40)),
		"shorter than it was": seg[:len(seg)-1],
	} {
		c, err := in.Cut(bytes.NewReader(bad), int64(len(bad)), 1<<20)
		for err == nil {
			_, err = c.Next()
		}
		if !errors.Is(err, content.ErrMalformed) && !errors.Is(err, content.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
