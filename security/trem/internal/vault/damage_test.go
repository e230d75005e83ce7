package vault

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
)

// image is what a vault's directory holds.
type image map[string][]byte

func (m image) fs() *crashFS {
	f := newCrashFS()
	for name, data := range m {
		f.durable[name] = &inode{data: bytes.Clone(data), synced: len(data)}
	}
	return f
}

func imageOf(f *crashFS) image {
	m := image{}
	for name, n := range f.live() {
		m[name] = bytes.Clone(n.data)
	}
	return m
}

// threeSegments is a log of three segments with batches of several sizes.
func threeSegments(t testing.TB, k keystore.Keystore, anchor keystore.Anchorer) (image, log) {
	t.Helper()
	f := newCrashFS()
	var want log
	for open := range 3 {
		v, _ := reopen(t, Config{FS: f, Keystore: k, Device: device, Anchor: anchor})
		for i := range 3 {
			r := Record{Kind: uint8(open), Body: bytes.Repeat([]byte{byte(i)}, 30*i*i)}
			commit(t, v, i > 0, r)
			want = append(want, r)
		}
		shut(t, v)
	}
	return imageOf(f), want
}

func (m image) open(k keystore.Keystore) (log, error) {
	var got log
	v, err := Open(Config{FS: m.fs(), Keystore: k, Device: device}, got.add)
	if err == nil {
		err = v.Close()
	}
	return got, err
}

func TestVault_4_EveryChangedByteIsFound(t *testing.T) {
	k := newKeystore(t)
	good, want := threeSegments(t, k, nil)
	if got, err := good.open(k); err != nil || !same(got, want) {
		t.Fatal(err)
	}
	for name, data := range good {
		for i := range data {
			bad := maps.Clone(good)
			bad[name] = bytes.Clone(data)
			bad[name][i] ^= 0x40
			_, err := bad.open(k)
			if err == nil {
				t.Fatalf("%s, byte %d changed: no error", name, i)
			}
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrKey) && !strings.Contains(err.Error(), "version") {
				t.Fatalf("%s, byte %d changed: %v", name, i, err)
			}
			if errors.Is(err, ErrCorrupt) && !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "missing") {
				t.Errorf("%s, byte %d changed: the error does not name the segment: %v", name, i, err)
			}
		}
	}
}

// TestVault_4_OnlyTheTailMayBeShort cuts each segment at each length.
func TestVault_4_OnlyTheTailMayBeShort(t *testing.T) {
	k := newKeystore(t)
	good, want := threeSegments(t, k, nil)
	names := slices.Sorted(maps.Keys(good))
	for i, name := range names {
		lost := map[int]bool{}
		for n := range good[name] {
			bad := maps.Clone(good)
			bad[name] = good[name][:n]
			got, err := bad.open(k)
			if err != nil {
				continue
			}
			if i < len(names)-1 {
				t.Fatalf("%s cut to %d bytes: no error", name, n)
			}
			if len(got) >= len(want) || !same(got, want[:len(got)]) {
				t.Fatalf("%s cut to %d bytes: %d records", name, n, len(got))
			}
			lost[len(want)-len(got)] = true
		}
		if i == len(names)-1 && !(lost[1] && lost[2] && len(lost) == 2) { // the segment's first batch came with its rename
			t.Errorf("cuts of the last segment lost %v records, want 1 and 2", lost)
		}
	}
}

func TestVault_4_AZeroedSectorIsTornOnlyAtTheEnd(t *testing.T) {
	k := newKeystore(t)
	f := newCrashFS()
	v, _ := reopen(t, Config{FS: f, Keystore: k, Device: device})
	commit(t, v, true, rec(1))
	var ends []int
	for range 3 {
		ends = append(ends, len(f.live()[segmentName(1)].data))
		commit(t, v, true, Record{Kind: 2, Body: bytes.Repeat([]byte{1}, 3000)})
	}
	good := imageOf(f)
	data := good[segmentName(1)]
	for from := (ends[0]/sector + 1) * sector; from < len(data); from += sector {
		bad := image{segmentName(1): bytes.Clone(data)}
		clear(bad[segmentName(1)][from:min(from+sector, len(data))])
		got, err := bad.open(k)
		if from+sector <= ends[2] && !errors.Is(err, ErrCorrupt) {
			t.Errorf("sector at %d lost before the last batch: %d records, %v, want ErrCorrupt", from, len(got), err)
		}
		if from > ends[2] && (err != nil || len(got) != 3) {
			t.Errorf("sector at %d of the last batch never written: %d records, %v", from, len(got), err)
		}
	}
}

func TestVault_4_MissingAndForeignSegments(t *testing.T) {
	k := newKeystore(t)
	good, _ := threeSegments(t, k, nil)
	other, _ := threeSegments(t, k, nil)
	for n := uint64(1); n <= 3; n++ {
		bad := maps.Clone(good)
		delete(bad, segmentName(n))
		if _, err := bad.open(k); (err == nil) != (n == 3) { // the last cannot be missed without an anchor
			t.Errorf("segment %d missing: %v", n, err)
		}
		bad = maps.Clone(good)
		bad[segmentName(n)] = other[segmentName(n)]
		if _, err := bad.open(k); !errors.Is(err, ErrCorrupt) {
			t.Errorf("segment %d of another vault: %v", n, err)
		}
		bad = maps.Clone(good)
		bad[segmentName(9)] = good[segmentName(n)]
		if _, err := bad.open(k); !errors.Is(err, ErrCorrupt) {
			t.Errorf("segment %d under another name: %v", n, err)
		}
	}
}

// TestVault_4_ASnapshotIsNeverTorn: it came into being by a rename, so a sector
// that is missing in it, or its end, is damage, also without an anchor.
func TestVault_4_ASnapshotIsNeverTorn(t *testing.T) {
	k := newKeystore(t)
	f := newCrashFS()
	v, _ := reopen(t, Config{FS: f, Keystore: k, Device: device})
	var recs log
	for i := range 5 * chunkRecs / 2 {
		recs = append(recs, rec(i))
	}
	if err := v.Compact(recs); err != nil {
		t.Fatal(err)
	}
	shut(t, v)
	good := imageOf(f)
	name := segmentName(2)
	if got, err := good.open(k); err != nil || len(got) != len(recs) {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for from := sector; from < len(good[name]); from += sector {
		zeroed := bytes.Clone(good[name])
		clear(zeroed[from:min(from+sector, len(zeroed))])
		if got, err := (image{name: zeroed}).open(k); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("sector at %d never written: %d records, %v", from, len(got), err)
		}
		if got, err := (image{name: good[name][:from]}).open(k); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %d records, %v", from, len(got), err)
		}
	}
}

// FuzzSegment opens a vault whose second segment is any bytes: it panics on
// none, and replays nothing that was not committed, in order.
func FuzzSegment(f *testing.F) {
	k := newKeystore(f)
	good, want := threeSegments(f, k, nil)
	delete(good, segmentName(3))
	seed := good[segmentName(2)]
	f.Add(seed)
	f.Add(seed[:len(seed)-5])
	f.Add(bytes.Replace(seed, []byte{0, 0, 0, 0}, []byte{0, 0, 0, 1}, 1))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		bad := maps.Clone(good)
		bad[segmentName(2)] = data
		got, err := bad.open(k)
		if len(got) > len(want) || !same(got, want[:len(got)]) || err == nil && len(got) < 4 {
			t.Errorf("%d records, %v", len(got), err)
		}
	})
}

// FuzzHeader: what parses has one encoding.
func FuzzHeader(f *testing.F) {
	h := exampleHeader()
	block, err := h.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block)
	f.Add(append(bytes.Clone(block), 1, 2, 3))
	f.Add([]byte(fmt.Sprintf("%s\x00\x00\x00\x00", magic)))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, off, err := parseHeader(data)
		if err != nil {
			return
		}
		if again, err := h.encode(); err != nil || !bytes.Equal(again, data[:off]) {
			t.Errorf("%x parses and encodes as %x, %v", data[:off], again, err)
		}
	})
}
