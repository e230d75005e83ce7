package content_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// progressiveFile is a file without fragments: six samples in three chunks, with
// auxiliary information in a senc box, or in the mdat box and found by saiz and
// saio. Samples 3 and 4 are of a seig group with the second key. The movie box
// comes before the samples, or behind.
func progressiveFile(t testing.TB, behind bool) []byte {
	f, _ := progressive(t, behind, behind)
	return f
}

func progressive(t testing.TB, inMdat, behind bool) (file, plain []byte) {
	sizes := []int{40, 50, 60, 70, 80, 90}
	plain = picture(390)
	data := bytes.Clone(plain)
	var aux []byte
	at := 0
	for i, n := range sizes {
		subs := []cenc.Subsample{{Clear: 8, Protected: uint32(n - 8)}} //nolint:gosec // small
		k := key(1)
		if i == 2 || i == 3 {
			k = key(2)
		}
		iv := u64(i + 1)
		encrypt(t, k, cenc.Sample{Scheme: cenc.SchemeCENC, IV: cenc.IV(append(bytes.Clone(iv), zero(8)...)), Subsamples: subs, Data: data[at : at+n]})
		aux = slices.Concat(aux, iv, u16(1), u16(8), u32(n-8))
		at += n
	}
	sgpd := full("sgpd", 0, 0, []byte("seig"), u32(1), prot(0, 0, 1, 8, kid2, nil))
	sbgp := full("sbgp", 0, 0, []byte("seig"), u32(2), u32(2), u32(0), u32(2), u32(1))
	stsz := [][]byte{u32(0), u32(6)}
	for _, n := range sizes {
		stsz = append(stsz, u32(n))
	}
	movie := func(first int) []byte {
		// Two chunks of two samples, with a gap of 5 bytes between them, and one of
		// each of the last two.
		offs := []int{first, first + 90 + 5, first + 90 + 5 + 130, first + 90 + 5 + 130 + 80}
		stbl := [][]byte{
			full("stsz", 0, 0, stsz...),
			full("stsc", 0, 0, u32(2), u32(1), u32(2), u32(1), u32(3), u32(1), u32(1)),
			full("co64", 0, 0, u32(4), u64(offs[0]), u64(offs[1]), u64(offs[2]), u64(offs[3])),
			sgpd, sbgp,
		}
		if inMdat {
			stbl = append(stbl, full("saiz", 0, 0, []byte{16}, u32(6)), full("saio", 0, 0, u32(1), u32(first+395)))
		} else {
			stbl = append(stbl, full("senc", 0, 2, u32(6), aux))
		}
		return initSeg(encv(tenc("cenc", prot(0, 0, 1, 8, kid1, nil))), 1, stbl...)
	}
	body := slices.Concat(data[:90], zero(5), data[90:])
	if inMdat {
		body = append(body, aux...)
	}
	mdat := bx("mdat", body)
	if behind {
		return slices.Concat(bx("free", zero(3)), mdat, movie(11+8)), plain
	}
	head := len(movie(0))
	return slices.Concat(movie(head+8), mdat, bx("free", nil)), plain
}

// clearView reads the whole clear view of a file.
func clearView(t *testing.T, file []byte, cfg content.ViewConfig) []byte {
	t.Helper()
	cfg.Keys, cfg.Unchecked = twoKeys, true
	v, err := content.Open(bytes.NewReader(file), int64(len(file)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var out bytes.Buffer
	if _, err := v.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if out.Len() != len(file) {
		t.Fatalf("%d bytes of %d", out.Len(), len(file))
	}
	return out.Bytes()
}

func TestContent_15_ProgressiveFiles(t *testing.T) {
	for name, tc := range map[string]struct{ inMdat, behind bool }{
		"senc, movie first":        {false, false},
		"senc, movie last":         {false, true},
		"saiz in mdat":             {true, false},
		"saiz in mdat, movie last": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			file, plain := progressive(t, tc.inMdat, tc.behind)
			got := clearView(t, file, content.ViewConfig{})
			at := bytes.Index(got, plain[:90])
			if at < 0 || !bytes.Equal(got[at+95:at+395], plain[90:]) {
				t.Fatal("samples are not decrypted")
			}
			for _, s := range []string{"senc", "saiz", "saio", "sgpd", "sbgp", "encv", "sinf"} {
				if bytes.Contains(got, []byte(s)) {
					t.Errorf("%s kept its name", s)
				}
			}
			var streamed bytes.Buffer
			err := content.Clear(&streamed, bytes.NewReader(file), nil, twoKeys)
			if err != nil || !bytes.Equal(streamed.Bytes(), got) {
				t.Errorf("as a stream: %v", err)
			}
		})
	}
}

// TestContent_15_EveryPlaceOfTheView reads each range of a small file, in an order
// that has nothing to do with it.
func TestContent_15_EveryPlaceOfTheView(t *testing.T) {
	seg, _ := cencFragment(t)
	fragmented := slices.Concat(cencInit(), bx("styp", []byte("msdh")), bx("sidx", zero(24)), seg, seg, bx("mfra", zero(8)))
	whole, _ := progressive(t, true, true)
	rnd := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a test
	for _, file := range [][]byte{fragmented, whole} {
		want := clearView(t, file, content.ViewConfig{})
		v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{Keys: twoKeys, Unchecked: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			from, n := rnd.IntN(len(file)), rnd.IntN(200)+1
			p := make([]byte, n)
			k, err := v.ReadAt(p, int64(from))
			if end := min(len(file), from+n); k != end-from || !bytes.Equal(p[:k], want[from:end]) || (k < n) != errors.Is(err, io.EOF) {
				t.Fatalf("%d bytes at %d: %d, %v", n, from, k, err)
			}
		}
		v.Close()
	}
}

// TestContent_15_OnlyWhatIsTouchedIsRead counts what the view reads of its file.
func TestContent_15_OnlyWhatIsTouchedIsRead(t *testing.T) {
	seg, plain := cencFragment(t)
	file := cencInit()
	for range 100 {
		file = append(file, seg...)
	}
	src := &counted{r: bytes.NewReader(file)}
	v, err := content.Open(src, int64(len(file)), content.ViewConfig{Keys: twoKeys, Unchecked: true})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	opened := src.n
	p := make([]byte, 10)
	if _, err := v.ReadAt(p, int64(len(file)-10)); err != nil || !bytes.Equal(p, plain[len(plain)-10:]) {
		t.Fatalf("the last bytes: %x, %v", p, err)
	}
	if headers := 100 * 2 * 16; src.n-opened > headers+2*len(seg) {
		t.Errorf("%d bytes were read for the last ten, of %d", src.n-opened, len(file))
	}
}

type counted struct {
	r io.ReaderAt
	n int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += n
	return n, err
}

// TestContent_16_PIFF reads the older boxes: the track's and the samples' are
// uuid boxes, the fragment has no time, and the samples' box may name another key.
func TestContent_16_PIFF(t *testing.T) {
	track := "\x89\x74\xdb\xce\x7b\xe7\x4c\x51\x84\xf9\x71\x48\xf9\x88\x25\x54"
	sample := "\xa2\x39\x4f\x52\x5a\x9b\x4f\x14\xa2\x44\x6c\x42\x7c\x64\x8d\xf4"
	sinf := bx("sinf", bx("frma", []byte("avc1")), full("schm", 0, 0, []byte("piff"), u32(0x10000)),
		bx("schi", bx("uuid", []byte(track), u32(0), u32(1<<8|8), kid1[:])))
	init := initSeg(encv(sinf), 1)
	plain := picture(100)
	for name, tc := range map[string]struct {
		scheme   cenc.Scheme
		key      byte
		iv       []byte
		override []byte
	}{
		"of the track":     {cenc.SchemeCENC, 1, u64(7), nil},
		"of another key":   {cenc.SchemeCENC, 2, picture(16), slices.Concat(u32(1<<8|16), kid2[:])},
		"in the other way": {cenc.SchemeCBC1, 2, picture(16), slices.Concat(u32(2<<8|16), kid2[:])},
	} {
		data := bytes.Clone(plain)
		subs := []cenc.Subsample{{Clear: 20, Protected: 80}}
		encrypt(t, key(tc.key), cenc.Sample{Scheme: tc.scheme, IV: cenc.IV(append(bytes.Clone(tc.iv), zero(16-len(tc.iv))...)), Subsamples: subs, Data: data})
		flags := 2
		if tc.override != nil {
			flags = 3
		}
		box := bx("uuid", []byte(sample), u32(flags), tc.override, u32(1), tc.iv, u16(1), u16(20), u32(80))
		file := append(bytes.Clone(init), part{sizes: []int{100}, noTfdt: true, traf: [][]byte{box}}.build(data)...)
		got := clearView(t, file, content.ViewConfig{})
		if !bytes.HasSuffix(got, plain) {
			t.Errorf("%s: samples are not decrypted", name)
		}
		if bytes.Contains(got, []byte("uuid"+sample)) || bytes.Contains(got, []byte("encv")) {
			t.Errorf("%s: the boxes kept their names", name)
		}
	}
}

// TestContent_17_DataInTheSecondBox is a fragment whose samples lie in the second
// mdat box behind its moof box.
func TestContent_17_DataInTheSecondBox(t *testing.T) {
	seg, plain := cencFragment(t)
	moof := bytes.Clone(seg[:bytes.Index(seg, []byte("mdat"))-4])
	data := seg[len(seg)-300:]
	at := bytes.Index(moof, []byte("trun")) + 12
	off := int(moof[at+2])<<8 | int(moof[at+3])
	copy(moof[at:], u32(off+8+9)) // behind another mdat box of 9 bytes
	file := slices.Concat(cencInit(), moof, bx("mdat", zero(9)), bx("mdat", data))
	if got := clearView(t, file, content.ViewConfig{}); !bytes.HasSuffix(got, plain) {
		t.Error("samples are not decrypted")
	}
	v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{Keys: twoKeys, Unchecked: true})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 30)
	if _, err := v.ReadAt(p, int64(len(file)-30)); err != nil || !bytes.Equal(p, plain[270:]) {
		t.Errorf("the last bytes alone: %v", err)
	}
}

// TestContent_18_WrongKeys: noise is found out where the codec has rules.
func TestContent_18_WrongKeys(t *testing.T) {
	nal := func(n int) []byte { // a unit of H.264 without zeros in it
		b := append(u32(n), 0x65)
		for i := range n - 1 {
			b = append(b, byte(i%251)+1)
		}
		return b
	}
	sound := func(n int) []byte { return append([]byte{0x21}, picture(n)...) }
	for name, tc := range map[string]struct {
		sample  []byte
		clear   int
		mp4a    bool
		samples int
	}{
		"picture": {sample: nal(40_000), clear: 100, samples: 1200},
		"sound":   {sample: sound(300), mp4a: true, samples: 60},
		"whole":   {sample: nal(200), samples: 2},
		"sloppy":  {sample: append(u32(40_001), append(nal(40_000)[4:], 0)...), clear: 100, samples: 1200}, // an encoder that fills up with zeros
	} {
		t.Run(name, func(t *testing.T) {
			sinf := tenc("cenc", prot(0, 0, 1, 8, kid1, nil))
			init := initSeg(bx("encv", zero(78), bx("avcC", []byte{1, 0x64, 0, 0x1f, 0xff}), sinf), 1)
			if tc.mp4a {
				init = initSeg(bx("encv", zero(78), bytes.Replace(sinf, []byte("avc1"), []byte("mp4a"), 1)), 1)
			}
			file := init
			for i := range tc.samples {
				data := bytes.Clone(tc.sample)
				var subs []cenc.Subsample
				if tc.clear > 0 {
					subs = []cenc.Subsample{{Clear: uint32(tc.clear), Protected: uint32(len(data) - tc.clear)}} //nolint:gosec // small
				}
				encrypt(t, key(1), cenc.Sample{Scheme: cenc.SchemeCENC, IV: cenc.IV(append(u64(i), zero(8)...)), Subsamples: subs, Data: data})
				aux := full("senc", 0, 0, u32(1), u64(i))
				if subs != nil {
					aux = senc([][]byte{u64(i)}, subs)
				}
				file = append(file, part{sizes: []int{len(data)}, traf: [][]byte{aux}}.build(data)...)
			}
			for k, want := range map[byte]error{1: nil, 3: content.ErrWrongKey} {
				v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{Keys: anyKey(k)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err = v.WriteTo(io.Discard); !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), kid1.String()) {
					t.Errorf("key %d: %v, want %v", k, err, want)
				}
				if left := v.Unproven(); k == 1 && tc.samples > 10 && len(left) > 0 != (name == "sloppy") {
					t.Errorf("unproven keys: %v", left)
				}
				v.Close()
			}
		})
	}
}

// hugeFile is a file of one fragment whose samples are read as zeros, out of
// nowhere.
type hugeFile struct {
	head []byte
	size int64
}

func (h *hugeFile) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(h.head)) {
		copy(p, h.head[off:])
	}
	if off+int64(len(p)) > h.size {
		return int(h.size - off), io.EOF
	}
	return len(p), nil
}

// TestContent_21_MemoryDoesNotGrowWithTheFile decrypts one mdat box of 512 MB, as
// fragments come that nobody cuts. What the collector holds is looked at all along.
func TestContent_21_MemoryDoesNotGrowWithTheFile(t *testing.T) {
	const n, size = 2048, 256 << 10
	var sizes []int
	ivs := [][]byte{u32(n)}
	for i := range n {
		sizes = append(sizes, size)
		ivs = append(ivs, u64(i))
	}
	head := append(cencInit(), part{sizes: sizes, traf: [][]byte{full("senc", 0, 0, ivs...)}}.build(nil)...)
	copy(head[len(head)-8:], u32(8+n*size))
	src := &hugeFile{head, int64(len(head)) + n*size}
	v, err := content.Open(src, src.size, content.ViewConfig{Keys: twoKeys, Unchecked: true})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	runtime.GC() // what other tests left
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	w := &watched{}
	got, err := v.WriteTo(w)
	if err != nil || got != src.size {
		t.Fatalf("%d of %d bytes: %v", got, src.size, err)
	}
	if w.most > before.HeapAlloc+16<<20 {
		t.Errorf("%d bytes of heap, %d before", w.most, before.HeapAlloc)
	}
}

// watched throws away what it is given, and looks at the heap now and then.
type watched struct {
	n    int
	most uint64
}

func (w *watched) Write(p []byte) (int, error) {
	if w.n++; w.n%256 == 1 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.most = max(w.most, m.HeapAlloc)
	}
	return len(p), nil
}

// TestContent_22_ADefaultGroup: an sgpd box of version 2 names the description of
// samples that no sbgp box puts in a group.
func TestContent_22_ADefaultGroup(t *testing.T) {
	plain := picture(80)
	data := bytes.Clone(plain)
	iv := func(n int) cenc.IV { return cenc.IV(append(u64(n), zero(8)...)) }
	encrypt(t, key(2), cenc.Sample{Scheme: cenc.SchemeCENC, IV: iv(1), Data: data[:40]})
	aux := full("senc", 0, 0, u32(2), u64(1))
	sgpd := full("sgpd", 2, 0, []byte("seig"), u32(20), u32(1), u32(2), prot(0, 0, 1, 8, kid2, nil), prot(0, 0, 0, 0, kid1, nil))
	sbgp := full("sbgp", 0, 0, []byte("seig"), u32(2), u32(1), u32(0), u32(1), u32(0x10002))
	file := append(cencInit(), part{sizes: []int{40, 40}, traf: [][]byte{sgpd, sbgp, aux}}.build(data)...)
	if got := clearView(t, file, content.ViewConfig{}); !bytes.HasSuffix(got, plain) {
		t.Error("samples are not decrypted")
	}
	wrong := bytes.Replace(file, append(u32(20), u32(1)...), append(u32(20), u32(3)...), 1)
	v, err := content.Open(bytes.NewReader(wrong), int64(len(wrong)), content.ViewConfig{Keys: twoKeys})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := v.WriteTo(io.Discard); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("a default that is not described: %v", err)
	}
}

// TestContent_23_KeysThatComeAndGo: a fragment whose key is missing does not spoil
// the one that was read before, with however many keys the file has; and a view
// that is closed says so.
func TestContent_23_KeysThatComeAndGo(t *testing.T) {
	file := cencInit()
	var at []int
	plain := picture(40)
	for i := range 80 { // each fragment with a key of its own
		kid := ident.Key{0: 1, 15: byte(i)}
		data := bytes.Clone(plain)
		encrypt(t, key(1), cenc.Sample{Scheme: cenc.SchemeCENC, IV: cenc.IV(append(u64(i), zero(8)...)), Data: data})
		sgpd := full("sgpd", 1, 0, []byte("seig"), u32(20), u32(1), prot(0, 0, 1, 8, kid, nil))
		sbgp := full("sbgp", 0, 0, []byte("seig"), u32(1), u32(1), u32(0x10001))
		file = append(file, part{sizes: []int{40}, traf: [][]byte{sgpd, sbgp, full("senc", 0, 0, u32(1), u64(i))}}.build(data)...)
		at = append(at, len(file)-40)
	}
	missing := func(kid ident.Key) (cenc.ContentKey, error) {
		if kid[15] == 79 {
			return cenc.ContentKey{}, errNoKey
		}
		return key(1), nil
	}
	v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{Keys: missing, Unchecked: true})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 40)
	for i := range 64 { // as many as are kept
		if _, err := v.ReadAt(p, int64(at[i])); err != nil || !bytes.Equal(p, plain) {
			t.Fatalf("fragment %d: %v", i, err)
		}
	}
	for range 2 {
		if _, err := v.ReadAt(p, int64(at[79])); !errors.Is(err, errNoKey) {
			t.Fatalf("without its key: %v", err)
		}
		if _, err := v.ReadAt(p, int64(at[63]-1)); err != nil || !bytes.Equal(p[1:], plain[:39]) {
			t.Fatalf("the fragment before: %v", err)
		}
	}
	v.Close()
	if _, err := v.ReadAt(p, int64(at[0])); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a closed view: %v", err)
	}
	if _, err := v.WriteTo(io.Discard); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a closed view: %v", err)
	}
}

// TestContent_24_ForeignSchemes: what is not of Common Encryption is told of, not
// read; a TREM refuses it from the begin.
func TestContent_24_ForeignSchemes(t *testing.T) {
	foreign := bx("sinf", bx("frma", []byte("avc1")), full("schm", 0, 0, []byte("itun"), u32(0)), bx("schi", zero(8)))
	for _, typ := range []string{"drmi", "encv"} {
		init := initSeg(bx(typ, zero(78), bx("avcC", []byte{1, 0x64, 0, 0x1f}), foreign), 1)
		if _, err := content.ParseInit(init); !errors.Is(err, content.ErrUnsupported) {
			t.Errorf("%s: %v", typ, err)
		}
		file := append(bytes.Clone(init), part{sizes: []int{40}}.build(picture(40))...)
		v, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{Keys: twoKeys})
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		defer v.Close()
		e := v.Init().Tracks[0].Entries[0]
		if e.Foreign.String() != "itun" || e.Format != "avc1" || e.Protected() {
			t.Errorf("%s: entry %+v", typ, e)
		}
		if err := v.Describe(func(*content.Piece) error { return nil }); err != nil {
			t.Errorf("%s: describe: %v", typ, err)
		}
		if _, err := v.WriteTo(io.Discard); !errors.Is(err, content.ErrUnsupported) || !strings.Contains(err.Error(), "itun") {
			t.Errorf("%s: read: %v", typ, err)
		}
		if err := v.Protect(io.Discard, content.ProtectConfig{Scheme: cenc.SchemeCENC, Key: twoTiers}); !errors.Is(err, content.ErrUnsupported) {
			t.Errorf("%s: protect: %v", typ, err)
		}
	}
}

// TestContent_25_AClaimedNumberOfSamples: a progressive file that says of millions
// of samples that they have one size takes no memory for them.
func TestContent_25_AClaimedNumberOfSamples(t *testing.T) {
	file, _ := progressive(t, false, false)
	at := bytes.Index(file, []byte("stsz")) + 8
	copy(file[at:], append(u32(1), u32(8_000_000)...))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := content.Open(bytes.NewReader(file), int64(len(file)), content.ViewConfig{Keys: twoKeys})
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 1<<20 {
		t.Errorf("%v, %d bytes allocated", err, got)
	}
}
