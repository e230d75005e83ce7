package content_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// must decrypts a fragment and returns its sample data.
func must(t *testing.T, in *content.Init, seg []byte, n int) []byte {
	t.Helper()
	f, err := in.Fragment(seg)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Decrypt(twoKeys); err != nil {
		t.Fatal(err)
	}
	return seg[len(seg)-n:]
}

func TestContent_2_InitSaysHowTracksAreProtected(t *testing.T) {
	in := parseInit(t, cencInit())
	if len(in.Tracks) != 1 || len(in.PSSH) != 1 {
		t.Fatalf("%d tracks, %d pssh", len(in.Tracks), len(in.PSSH))
	}
	tr := in.Tracks[0]
	if tr.ID != 1 || tr.Handler != "vide" || tr.Timescale != 1000 || tr.Width != 640 || tr.Height != 360 {
		t.Errorf("track %+v", tr)
	}
	e := tr.Entries[0]
	if e.Format != "avc1" || e.Codec != "avc1.64001f" || e.Scheme != cenc.SchemeCENC || e.KID != kid1 || e.IVSize != 8 {
		t.Errorf("entry %+v", e)
	}
	if d := cmp.Diff([]ident.Key{kid1}, in.KIDs()); d != "" {
		t.Error(d)
	}
}

func TestContent_3_ClearRenamesAndMovesNothing(t *testing.T) {
	raw := cencInit()
	in := parseInit(t, raw)
	got, err := in.Clear(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(raw)
	for from, to := range map[string]string{"encv": "avc1", "sinf": "free", "pssh": "free"} {
		if bytes.Count(want, []byte(from)) != 1 {
			t.Fatalf("%s is not there once", from)
		}
		want = bytes.Replace(want, []byte(from), []byte(to), 1)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("clear init segment:\n%q\nwant\n%q", got, want)
	}
	if out := parseInit(t, got); len(out.KIDs()) != 0 || out.Tracks[0].Entries[0].Codec != "avc1.64001f" {
		t.Errorf("clear init segment has keys %v", out.KIDs())
	}
	if _, err := in.Clear(raw[:len(raw)-1]); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("another init segment: %v", err)
	}

	seg, plain := cencFragment(t)
	before := bytes.Clone(seg)
	data := must(t, in, seg, len(plain))
	if !bytes.Equal(data, plain) {
		t.Error("samples are not decrypted")
	}
	head := bytes.Replace(before[:len(before)-len(plain)], []byte("senc"), []byte("free"), 1)
	if !bytes.Equal(seg[:len(head)], head) {
		t.Errorf("boxes of the clear fragment:\n%q\nwant\n%q", seg[:len(head)], head)
	}
}

func TestContent_4_FragmentSaysKeysBytesAndTime(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, _ := cencFragment(t)
	next, _ := cencFragment(t)
	f, err := in.Fragment(slices.Concat(bx("styp", []byte("msdh")), seg, next))
	if err != nil {
		t.Fatal(err)
	}
	start, dur := f.Time()
	if start != 4000 || dur != 80 || f.Bytes() != 540 || !slices.Equal(f.KIDs(), []ident.Key{kid1}) {
		t.Errorf("start %d, duration %d, %d bytes, keys %v", start, dur, f.Bytes(), f.KIDs())
	}
}

func TestContent_5_NothingChangesWithoutEveryKey(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, plain := cencFragment(t)
	before := bytes.Clone(seg)
	f, err := in.Fragment(seg)
	if err != nil {
		t.Fatal(err)
	}
	none := func(ident.Key) (cenc.ContentKey, error) { return cenc.ContentKey{}, errNoKey }
	empty := func(ident.Key) (cenc.ContentKey, error) { return cenc.ContentKey{}, nil }
	for name, err := range map[string]error{
		"decrypt": f.Decrypt(none), "from": f.Reencrypt(none, twoKeys), "to": f.Reencrypt(twoKeys, none),
	} {
		if !errors.Is(err, errNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.Decrypt(empty); !errors.Is(err, cenc.ErrKey) {
		t.Errorf("zero key: %v", err)
	}
	if !bytes.Equal(seg, before) {
		t.Fatal("the fragment was changed")
	}
	if err := f.Decrypt(twoKeys); err != nil || !bytes.Equal(seg[len(seg)-len(plain):], plain) {
		t.Errorf("decrypt afterwards: %v", err)
	}
	if err := f.Decrypt(twoKeys); !errors.Is(err, content.ErrUsed) {
		t.Errorf("second decrypt: %v", err)
	}
	if err := f.Reencrypt(twoKeys, twoKeys); !errors.Is(err, content.ErrUsed) {
		t.Errorf("re-encrypt after decrypt: %v", err)
	}
}

func TestContent_6_ReencryptKeepsBoxesAndIVs(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, plain := cencFragment(t)
	before := bytes.Clone(seg)
	f, err := in.Fragment(seg)
	if err != nil {
		t.Fatal(err)
	}
	session := func(ident.Key) (cenc.ContentKey, error) { return key(9), nil }
	if err := f.Reencrypt(twoKeys, session); err != nil {
		t.Fatal(err)
	}
	head := len(seg) - len(plain)
	if !bytes.Equal(seg[:head], before[:head]) || bytes.Equal(seg[head:], before[head:]) || bytes.Equal(seg[head:], plain) {
		t.Error("boxes changed, or samples did not")
	}
	f, err = in.Fragment(seg)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Decrypt(session); err != nil || !bytes.Equal(seg[head:], plain) {
		t.Errorf("with the session key: %v", err)
	}
}

func TestContent_7_AuxiliaryInformationBySaizAndSaio(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, plain := cencFragment(t)
	at := bytes.Index(seg, []byte("senc"))
	// The same information, found by saiz and saio in a box of another name:
	// each entry is 8 bytes of IV and 8 of subsamples.
	for name, tc := range map[string]struct{ saiz, saio []byte }{
		"one size":       {full("saiz", 0, 0, []byte{16}, u32(2)), full("saio", 0, 0, u32(1), u32(0))},
		"sizes":          {full("saiz", 0, 0, []byte{0}, u32(2), []byte{16, 16}), full("saio", 1, 0, u32(1), u64(0))},
		"with type cenc": {full("saiz", 0, 1, []byte("cenc"), u32(0), []byte{16}, u32(2)), full("saio", 0, 1, []byte("cenc"), u32(0), u32(1), u32(0))},
	} {
		aux := bytes.Clone(seg[at-4 : bytes.Index(seg, []byte("mdat"))-4])
		copy(aux[4:], "skip")
		p := part{sizes: []int{100, 200}, at: 4000, traf: [][]byte{tc.saiz, tc.saio, aux}}
		s := p.build(bytes.Clone(seg[len(seg)-300:]))
		off := bytes.Index(s, []byte("skip")) + 4 + 8 // behind the box's version, flags and count
		end := bytes.Index(s, []byte("skip")) - 4
		copy(s[end-4:], u32(off)) // the last field of saio
		if got := must(t, in, s, 300); !bytes.Equal(got, plain) {
			t.Errorf("%s: samples are not decrypted", name)
		}
		if bytes.Contains(s, []byte("saiz")) || bytes.Contains(s, []byte("saio")) {
			t.Errorf("%s: saiz or saio kept its name", name)
		}
	}
}

func TestContent_8_KeyRotationBySeigGroups(t *testing.T) {
	sgpd := func(descs ...[]byte) []byte {
		b := [][]byte{[]byte("seig"), u32(20), u32(len(descs))}
		return full("sgpd", 1, 0, append(b, descs...)...)
	}
	sbgp := func(pairs ...int) []byte {
		b := [][]byte{[]byte("seig"), u32(len(pairs) / 2)}
		for _, n := range pairs {
			b = append(b, u32(n))
		}
		return full("sbgp", 0, 0, b...)
	}
	// Movie group 1: key 2. Fragment group 1: in the clear.
	in := parseInit(t, initSeg(encv(tenc("cenc", prot(0, 0, 1, 8, kid1, nil))), 1, sgpd(prot(0, 0, 1, 8, kid2, nil))))
	plain := picture(160)
	data := bytes.Clone(plain)
	iv := func(n int) cenc.IV { return cenc.IV(append(u64(n), zero(8)...)) }
	encrypt(t, key(1), cenc.Sample{Scheme: cenc.SchemeCENC, IV: iv(1), Data: data[:40]})
	encrypt(t, key(2), cenc.Sample{Scheme: cenc.SchemeCENC, IV: iv(2), Data: data[40:80]})
	encrypt(t, key(1), cenc.Sample{Scheme: cenc.SchemeCENC, IV: iv(3), Data: data[120:]})
	aux := full("senc", 0, 0, u32(4), u64(1), u64(2), u64(3))
	p := part{sizes: []int{40, 40, 40, 40}, traf: [][]byte{sgpd(prot(0, 0, 0, 0, ident.Key{}, nil)), sbgp(1, 0, 1, 1, 1, 0x10001), aux}}
	seg := p.build(data)
	f, err := in.Fragment(bytes.Clone(seg))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.KIDs(), []ident.Key{kid1, kid2}) || f.Bytes() != 120 {
		t.Errorf("keys %v, %d bytes", f.KIDs(), f.Bytes())
	}
	if got := must(t, in, seg, 160); !bytes.Equal(got, plain) {
		t.Error("samples are not decrypted")
	}
	if bytes.Contains(seg, []byte("sgpd")) || bytes.Contains(seg, []byte("sbgp")) {
		t.Error("the groups kept their names")
	}
	p.traf[1] = sbgp(1, 2)
	if _, err := in.Fragment(p.build(data)); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("group that is not described: %v", err)
	}
}

func TestContent_9_ClearLeadAndConstantIV(t *testing.T) {
	iv := picture(16)
	entries := append(bx("avc1", zero(78), bx("avcC", []byte{1, 0x64, 0, 0x1f})), encv(tenc("cbcs", prot(1, 9, 1, 0, kid2, iv)))...)
	in := parseInit(t, initSeg(entries, 2))
	plain := picture(400)
	lead := part{sizes: []int{400}}.build(bytes.Clone(plain))
	f, err := in.Fragment(lead)
	if err != nil || len(f.KIDs()) != 0 || f.Bytes() != 0 {
		t.Fatalf("clear lead: %v", err)
	}
	data := bytes.Clone(plain)
	encrypt(t, key(2), cenc.Sample{Scheme: cenc.SchemeCBCS, IV: cenc.IV(iv), Crypt: 1, Skip: 9, Data: data})
	// No senc at all: whole samples under the constant IV.
	seg := part{sizes: []int{400}, tfhd: 2, tfhdAdd: [][]byte{u32(2)}}.build(data)
	if got := must(t, in, seg, 400); !bytes.Equal(got, plain) {
		t.Error("samples are not decrypted")
	}
}

func TestContent_10_AbsoluteOffsetsNeedTheirPlace(t *testing.T) {
	in := parseInit(t, cencInit())
	seg, plain := cencFragment(t)
	aux := bytes.Clone(seg[bytes.Index(seg, []byte("senc"))-4 : bytes.Index(seg, []byte("mdat"))-4])
	p := part{sizes: []int{100, 200}, tfhd: 1, tfhdAdd: [][]byte{u64(7000)}, traf: [][]byte{aux}}
	abs := p.build(seg[len(seg)-300:])
	if _, err := in.Fragment(bytes.Clone(abs)); !errors.Is(err, content.ErrUnsupported) {
		t.Errorf("without its place: %v", err)
	}
	if _, err := in.FragmentAt(bytes.Clone(abs), 7001); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("at another place: %v", err)
	}
	f, err := in.FragmentAt(abs, 7000)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Decrypt(twoKeys); err != nil || !bytes.Equal(abs[len(abs)-300:], plain) {
		t.Errorf("at its place: %v", err)
	}
}
