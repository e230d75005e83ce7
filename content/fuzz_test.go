package content_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
)

// anyKey has a key for every key ID.
func anyKey(b byte) content.Keys {
	return func(ident.Key) (cenc.ContentKey, error) { return key(b), nil }
}

// holdInit checks what holds for every init segment that is accepted.
func holdInit(t *testing.T, seg []byte) *content.Init {
	t.Helper()
	in, err := content.ParseInit(seg)
	if err != nil {
		return nil
	}
	out, err := in.Clear(seg)
	if err != nil || len(out) != len(seg) {
		t.Fatalf("clear: %d bytes of %d, %v", len(out), len(seg), err)
	}
	again, err := content.ParseInit(out)
	if err != nil {
		t.Fatalf("the clear init segment is refused: %v", err)
	}
	if len(again.KIDs()) != 0 || len(again.PSSH) != 0 {
		t.Fatalf("the clear init segment has keys %v and %d pssh boxes", again.KIDs(), len(again.PSSH))
	}
	return in
}

// holdFragment checks what holds for every fragment that is accepted: link
// encryption there and back gives the same bytes, decryption keeps the length,
// moves no box and leaves nothing to decrypt.
func holdFragment(t *testing.T, in *content.Init, seg []byte) {
	t.Helper()
	holdShared(t, in, seg)
	for _, most := range []int64{1, 400, 1 << 20} {
		if _, err := cutUp(t, in, seg, most); err != nil && !errors.Is(err, content.ErrMalformed) && !errors.Is(err, content.ErrUnsupported) {
			t.Fatal(err)
		}
	}
	work := bytes.Clone(seg)
	f, err := in.Fragment(work)
	if err != nil {
		if !bytes.Equal(work, seg) {
			t.Fatal("a refused fragment was changed")
		}
		return
	}
	if start, dur := f.Time(); start < 0 || dur < 0 || f.Bytes() < 0 || f.Bytes() > len(seg) {
		t.Fatalf("time %d+%d, %d bytes of %d", start, dur, f.Bytes(), len(seg))
	}
	if err := f.Reencrypt(anyKey(1), anyKey(2)); err != nil {
		t.Fatal(err)
	}
	if f, err = in.Fragment(work); err != nil {
		t.Fatalf("the re-encrypted fragment is refused: %v", err)
	}
	if err := f.Reencrypt(anyKey(2), anyKey(1)); err != nil || !bytes.Equal(work, seg) {
		t.Fatalf("re-encrypted there and back: %v, equal %v", err, bytes.Equal(work, seg))
	}
	if f, err = in.Fragment(work); err != nil {
		t.Fatal(err)
	}
	if err := f.Decrypt(anyKey(1)); err != nil || len(work) != len(seg) {
		t.Fatal(err)
	}
}

// seeds are a cenc and a cbcs init segment with a fragment each.
func seeds(t testing.TB) (inits, frags [][]byte) {
	iv := picture(16)
	cbcs := initSeg(encv(tenc("cbcs", prot(1, 9, 1, 0, kid2, iv))), 1)
	data := picture(400)
	encrypt(t, key(2), cenc.Sample{Scheme: cenc.SchemeCBCS, IV: cenc.IV(iv), Crypt: 1, Skip: 9, Data: data})
	aux := full("senc", 0, 2, u32(1), u16(1), u16(16), u32(384))
	frag, _ := cencFragment(t)
	return [][]byte{cencInit(), cbcs}, [][]byte{frag, part{sizes: []int{400}, traf: [][]byte{aux}}.build(data)}
}

func FuzzParseInit(f *testing.F) {
	inits, _ := seeds(f)
	for _, b := range inits {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, seg []byte) { holdInit(t, seg) })
}

func FuzzFragment(f *testing.F) {
	inits, frags := seeds(f)
	for i, b := range frags {
		f.Add(i == 1, b)
	}
	f.Fuzz(func(t *testing.T, cbcs bool, seg []byte) {
		in := inits[0]
		if cbcs {
			in = inits[1]
		}
		holdFragment(t, parseInit(t, in), seg)
	})
}

// holdFile checks what holds for every file that is accepted: its clear view has
// its length, is the same read in any pieces, from a file and from a stream.
func holdFile(t *testing.T, rnd *rand.Rand, data []byte, in *content.Init) bool {
	t.Helper()
	cfg := content.ViewConfig{Init: in, Keys: anyKey(1), Unchecked: true}
	v, err := content.Open(bytes.NewReader(data), int64(len(data)), cfg)
	if err != nil {
		return false
	}
	defer v.Close()
	var out bytes.Buffer
	if _, err := v.WriteTo(&out); err != nil {
		return false
	}
	if out.Len() != len(data) {
		t.Fatalf("clear view of %d bytes, file of %d", out.Len(), len(data))
	}
	again, err := content.Open(bytes.NewReader(data), int64(len(data)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for range 4 {
		from := rnd.IntN(len(data))
		p := make([]byte, rnd.IntN(len(data)-from)+1)
		if n, err := again.ReadAt(p, int64(from)); n != len(p) || !bytes.Equal(p, out.Bytes()[from:from+n]) {
			t.Fatalf("%d bytes at %d of %d: %d, %v, or not those of the whole", len(p), from, len(data), n, err)
		}
	}
	s, err := content.OpenStream(bytes.NewReader(data), cfg)
	if err != nil {
		return true // what a file may, a stream may not
	}
	defer s.Close()
	var streamed bytes.Buffer
	if _, err := s.WriteTo(&streamed); err == nil && !bytes.Equal(streamed.Bytes(), out.Bytes()) {
		t.Fatal("the stream gives another clear view")
	}
	return true
}

func FuzzView(f *testing.F) {
	inits, frags := seeds(f)
	f.Add(slices.Concat(inits[0], bx("styp", []byte("msdh")), frags[0], frags[0], bx("mfra", zero(8))))
	f.Add(progressiveFile(f, false))
	f.Add(progressiveFile(f, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		holdFile(t, rand.New(rand.NewPCG(5, 6)), data, nil) //nolint:gosec // a test
	})
}

func FuzzManifest(f *testing.F) {
	b, err := manifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := content.ParseManifest(data)
		if err != nil {
			return
		}
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := content.ParseManifest(b)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := again.Encode(); err != nil || !bytes.Equal(b, c) {
			t.Fatalf("encodes differently the second time: %v", err)
		}
	})
}

// mutations is how often something is damaged: LARES_MUTATIONS, or 20,000.
func mutations(t *testing.T) int {
	s := os.Getenv("LARES_MUTATIONS")
	if s == "" {
		return 20_000
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestContent_13_MutatedFragmentsNeverPanic damages good segments at random: the
// structure of boxes first of all.
func TestContent_13_MutatedFragmentsNeverPanic(t *testing.T) {
	runs := mutations(t)
	inits, frags := seeds(t)
	parsed := []*content.Init{parseInit(t, inits[0]), parseInit(t, inits[1])}
	rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test
	accepted := 0
	for range runs {
		i := rnd.IntN(2)
		holdInit(t, mutate(rnd, inits[i]))
		seg := mutate(rnd, frags[i])
		if _, err := parsed[i].Fragment(seg); err == nil {
			accepted++
		}
		holdFragment(t, parsed[i], seg)
	}
	if accepted == 0 || accepted == runs {
		t.Errorf("%d of %d mutated fragments accepted: the test tries nothing", accepted, runs)
	}
}

// TestContent_13_MutatedFilesNeverPanic damages whole files that other tools
// protected, of every scheme, with fragments and without, and counts what they
// cost: no file may make the reader allocate much more than its own length and a
// window.
func TestContent_13_MutatedFilesNeverPanic(t *testing.T) {
	runs := mutations(t)
	var files [][]byte
	all := golden(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		files = append(files, all[name])
	}
	files = append(files, progressiveFile(t, false), progressiveFile(t, true))
	rnd := rand.New(rand.NewPCG(7, 8)) //nolint:gosec // a test
	accepted := 0
	var before, after runtime.MemStats
	for range runs {
		data := mutateFile(rnd, files[rnd.IntN(len(files))])
		if rnd.IntN(10) == 0 { // reading the statistics stops the world
			runtime.ReadMemStats(&before)
			_ = content.Clear(io.Discard, bytes.NewReader(data), nil, anyKey(1))
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > uint64(4<<20+64*len(data)) { //nolint:gosec // a length
				t.Fatalf("%d bytes allocated for a file of %d", got, len(data))
			}
		}
		if holdFile(t, rnd, data, nil) {
			accepted++
		}
	}
	if accepted == 0 || accepted == runs {
		t.Errorf("%d of %d mutated files accepted: the test tries nothing", accepted, runs)
	}
}

func mutate(rnd *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + rnd.IntN(4) {
		head := min(len(b), 1200) // where the boxes are
		if rnd.IntN(2) == 0 {
			head = min(head, 320)
		}
		at := rnd.IntN(max(head, 1))
		switch rnd.IntN(6) {
		case 0:
			b[at] ^= 1 << rnd.IntN(8)
		case 1:
			b[at] = byte(rnd.Uint32())
		case 2: // a 32-bit field that is off by a little, or extreme
			if at &^= 3; at+4 <= len(b) {
				v := binary.BigEndian.Uint32(b[at:])
				binary.BigEndian.PutUint32(b[at:], []uint32{v + 1, v - 1, v * 2, 0, ^uint32(0), 1 << 31, uint32(len(b))}[rnd.IntN(7)]) //nolint:gosec // a test
			}
		case 3:
			b = b[:rnd.IntN(len(b))+1]
		case 4:
			b = slices.Insert(b, at, b[at:min(len(b), at+rnd.IntN(64))]...)
		case 5:
			names := strings.Fields("stsz stsc stco co64 stbl pssh moof traf trun tfhd tfdt senc saiz saio sgpd sbgp mdat moov trak stbl stsd sinf tenc uuid free")
			if i := bytes.Index(b, []byte(names[rnd.IntN(len(names))])); i >= 0 {
				copy(b[i:], names[rnd.IntN(len(names))])
			}
		}
		if len(b) == 0 {
			return b
		}
	}
	return b
}

func TestView_ClearKeepsLengthAndPlaces(t *testing.T) {
	seg, plain := cencFragment(t)
	file := slices.Concat(cencInit(), bx("styp", []byte("msdh")), bx("sidx", zero(24)), seg, seg, bx("mfra", zero(8)))
	var out bytes.Buffer
	if err := content.Clear(&out, bytes.NewReader(file), nil, twoKeys); err != nil {
		t.Fatal(err)
	}
	if out.Len() != len(file) || bytes.Count(out.Bytes(), plain) != 2 || bytes.Contains(out.Bytes(), []byte("senc")) {
		t.Errorf("%d bytes of %d, %d decrypted fragments", out.Len(), len(file), bytes.Count(out.Bytes(), plain))
	}
	for name, tc := range map[string]struct {
		file []byte
		want error
	}{
		"fragments only": {seg, content.ErrMalformed},
		"cut":            {file[:len(file)-1], content.ErrMalformed},
		"two movies":     {slices.Concat(cencInit(), cencInit()), content.ErrMalformed},
		"text":           {[]byte("this is no MP4 file at all"), content.ErrUnsupported},
	} {
		if err := content.Clear(io.Discard, bytes.NewReader(tc.file), nil, twoKeys); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if err := content.Clear(io.Discard, bytes.NewReader(seg), parseInit(t, cencInit()), twoKeys); err != nil {
		t.Errorf("fragments with their init segment: %v", err)
	}
}
