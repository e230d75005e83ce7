package content_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

func u16(n int) []byte  { return binary.BigEndian.AppendUint16(nil, uint16(n)) } //nolint:gosec // a test
func u32(n int) []byte  { return binary.BigEndian.AppendUint32(nil, uint32(n)) } //nolint:gosec // a test
func u64(n int) []byte  { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // a test
func zero(n int) []byte { return make([]byte, n) }

// bx is a box; full is one with version and flags.
func bx(typ string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return bytes.Join([][]byte{u32(8 + len(body)), []byte(typ), body}, nil)
}

func full(typ string, version, flags int, parts ...[]byte) []byte {
	return bx(typ, append([][]byte{u32(version<<24 | flags)}, parts...)...)
}

var (
	kid1 = ident.Key([]byte("key ID number 1."))
	kid2 = ident.Key([]byte("key ID number 2."))
)

func key(b byte) cenc.ContentKey {
	k, err := cenc.NewContentKey(bytes.Repeat([]byte{b}, 16))
	if err != nil {
		panic(err)
	}
	return k
}

// twoKeys knows the keys of kid1 and kid2.
func twoKeys(kid ident.Key) (cenc.ContentKey, error) {
	switch kid {
	case kid1:
		return key(1), nil
	case kid2:
		return key(2), nil
	}
	return cenc.ContentKey{}, errNoKey
}

var errNoKey = errors.New("no such key")

// prot is the body of tenc behind version and flags, and of a seig description.
func prot(crypt, skip, protected, ivSize int, kid ident.Key, constant []byte) []byte {
	b := append([]byte{0, byte(crypt<<4 | skip), byte(protected), byte(ivSize)}, kid[:]...)
	if protected == 1 && ivSize == 0 {
		b = append(append(b, byte(len(constant))), constant...)
	}
	return b
}

// tenc is version 0 without a pattern, else version 1.
func tenc(scheme string, body []byte) []byte {
	version := 0
	if body[1] != 0 || scheme == "cbcs" || scheme == "cens" {
		version = 1
	}
	return bx("sinf", bx("frma", []byte("avc1")), full("schm", 0, 0, []byte(scheme), u32(0x10000)), bx("schi", full("tenc", version, 0, body)))
}

func encv(sinf []byte) []byte {
	return bx("encv", zero(78), bx("avcC", []byte{1, 0x64, 0, 0x1f}), sinf)
}

// initSeg is an init segment of one video track, timescale 1000, with the
// given sample entries and further boxes in stbl.
func initSeg(entries []byte, count int, stbl ...[]byte) []byte {
	tkhd := full("tkhd", 0, 7, zero(8), u32(1), zero(4+4+8+8+36), u32(640<<16), u32(360<<16))
	mdhd := full("mdhd", 0, 0, zero(8), u32(1000), zero(8))
	hdlr := full("hdlr", 0, 0, zero(4), []byte("vide"), zero(13))
	stsd := full("stsd", 0, 0, u32(count), entries)
	pssh, err := (&cenc.PSSH{Version: 1, System: cenc.CommonSystem(), KIDs: []ident.Key{kid1, kid2}}).Encode()
	if err != nil {
		panic(err)
	}
	trex := full("trex", 0, 0, u32(1), u32(1), u32(40), zero(8))
	return append(bx("ftyp", []byte("cmfc\x00\x00\x00\x00iso6")), bx("moov",
		full("mvhd", 0, 0, zero(96)),
		bx("trak", tkhd, bx("mdia", mdhd, hdlr, bx("minf", bx("stbl", append([][]byte{stsd}, stbl...)...)))),
		bx("mvex", trex), pssh)...)
}

// part says how the samples of one fragment are made.
type part struct {
	sizes   []int
	tfhd    int // further flags of tfhd
	tfhdAdd [][]byte
	traf    [][]byte // further boxes of traf: senc, saiz, …
	at      int      // decode time
	moof    [][]byte
	extra   int // added to the data offset
	noTfdt  bool
}

// build makes a fragment around sample data.
func (p part) build(data []byte) []byte {
	boxes := func(off int) []byte {
		trun := [][]byte{u32(len(p.sizes)), u32(off)}
		for _, n := range p.sizes {
			trun = append(trun, u32(n))
		}
		tfhd := full("tfhd", 0, 0x20000|p.tfhd, append([][]byte{u32(1)}, p.tfhdAdd...)...)
		kids := [][]byte{tfhd}
		if !p.noTfdt {
			kids = append(kids, full("tfdt", 1, 0, u64(p.at)))
		}
		kids = append(append(kids, full("trun", 0, 0x201, trun...)), p.traf...)
		return bx("moof", append([][]byte{full("mfhd", 0, 0, u32(1)), bx("traf", kids...)}, p.moof...)...)
	}
	moof := boxes(0)
	moof = boxes(len(moof) + 8 + p.extra)
	return append(moof, bx("mdat", data)...)
}

// picture is clear sample data that differs in every block.
func picture(n int) []byte {
	b := zero(n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// encrypt protects one sample in place.
func encrypt(t testing.TB, k cenc.ContentKey, s cenc.Sample) {
	t.Helper()
	c, err := cenc.NewCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Encrypt(&s); err != nil {
		t.Fatal(err)
	}
}

func parseInit(t testing.TB, seg []byte) *content.Init {
	t.Helper()
	in, err := content.ParseInit(seg)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// senc is the box for samples with 8-byte IVs and one subsample each.
func senc(ivs [][]byte, subs []cenc.Subsample) []byte {
	b := [][]byte{u32(len(ivs))}
	for i, iv := range ivs {
		b = append(b, iv, u16(1), u16(int(subs[i].Clear)), u32(int(subs[i].Protected)))
	}
	return full("senc", 0, 2, b...)
}

// cencFragment is a fragment of two samples in cenc, and its clear data.
func cencFragment(t testing.TB) (seg, plain []byte) {
	plain = picture(300)
	data := bytes.Clone(plain)
	ivs, subs := [][]byte{u64(5), u64(6)}, []cenc.Subsample{{Clear: 20, Protected: 80}, {Clear: 10, Protected: 190}}
	encrypt(t, key(1), cenc.Sample{Scheme: cenc.SchemeCENC, IV: cenc.IV(append(u64(5), zero(8)...)), Subsamples: subs[:1], Data: data[:100]})
	encrypt(t, key(1), cenc.Sample{Scheme: cenc.SchemeCENC, IV: cenc.IV(append(u64(6), zero(8)...)), Subsamples: subs[1:], Data: data[100:]})
	return part{sizes: []int{100, 200}, at: 4000, traf: [][]byte{senc(ivs, subs)}}.build(data), plain
}

func cencInit() []byte { return initSeg(encv(tenc("cenc", prot(0, 0, 1, 8, kid1, nil))), 1) }
