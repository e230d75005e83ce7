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

func TestVault_5_AnchorFindsEveryOlderImage(t *testing.T) {
	k := newKeystore(t)
	nv := &register{before: func() error { return nil }}
	f := newCrashFS()
	type old struct {
		image
		anchored int // batches that were anchored when it was taken
	}
	var olds []old
	anchored := 1 // creation
	for open := range 3 {
		v, _ := reopen(t, Config{FS: f, Keystore: k, Device: device, Anchor: nv})
		for i := range 4 {
			commit(t, v, i%2 == 0, rec(i))
			if i%2 == 0 {
				anchored++
			}
			olds = append(olds, old{imageOf(f), anchored})
		}
		if open == 1 {
			if err := v.Compact([]Record{rec(9)}); err != nil {
				t.Fatal(err)
			}
			anchored++
		}
		shut(t, v)
	}
	for i, o := range olds {
		at := nv.value
		v, err := Open(Config{FS: o.fs(), Keystore: k, Device: device, Anchor: nv}, new(log).add)
		if o.anchored == anchored {
			if err != nil {
				t.Errorf("image %d has all that was anchored: %v", i, err)
			} else {
				shut(t, v)
			}
		} else if !errors.Is(err, ErrRolledBack) {
			t.Errorf("image %d lacks %d anchored batches: %v, want ErrRolledBack", i, anchored-o.anchored, err)
		}
		if nv.value != at {
			t.Fatalf("image %d moved the anchor", i)
		}
	}
}

// TestVault_5_TwoFuturesOfOneAnchor: a batch that is on disk and not in the
// anchor is finished at the next start, and then every other future is closed.
func TestVault_5_TwoFuturesOfOneAnchor(t *testing.T) {
	k := newKeystore(t)
	fail := false
	nv := &register{before: func() error {
		if fail {
			return errors.New("no power")
		}
		return nil
	}}
	f := newCrashFS()
	v, _ := reopen(t, Config{FS: f, Keystore: k, Device: device, Anchor: nv})
	commit(t, v, true, rec(1))
	before := imageOf(f)
	fail = true
	if err := v.Commit(true, rec(2)); !errors.Is(err, ErrBroken) {
		t.Fatalf("the anchor failed: %v", err)
	}
	fail = false
	one := imageOf(f)
	two := before.fs()
	v, got := reopen(t, Config{FS: two, Keystore: k, Device: device, Anchor: nv}) // the anchor never saw record 2
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	commit(t, v, true, rec(3))
	if _, err := Open(Config{FS: one.fs(), Keystore: k, Device: device, Anchor: nv}, new(log).add); !errors.Is(err, ErrRolledBack) {
		t.Errorf("the other future opens: %v", err)
	}
	v, got = reopen(t, Config{FS: imageOf(two).fs(), Keystore: k, Device: device, Anchor: nv})
	shut(t, v)
	if len(got) != 2 {
		t.Errorf("%d records", len(got))
	}
}

func TestVault_5_AnchorIsOfOneVault(t *testing.T) {
	k := newKeystore(t)
	nv := &register{before: func() error { return nil }}
	with, _ := threeSegments(t, k, nv)
	without, _ := threeSegments(t, k, nil)
	if _, err := Open(Config{FS: with.fs(), Keystore: k, Device: device}, new(log).add); err == nil {
		t.Error("a vault with an anchor opens without")
	}
	if _, err := Open(Config{FS: without.fs(), Keystore: k, Device: device, Anchor: nv}, new(log).add); err == nil {
		t.Error("a vault without an anchor opens with one")
	}
	fresh, _ := threeSegments(t, k, nv) // a new vault on the same register ends the old one
	if _, err := Open(Config{FS: with.fs(), Keystore: k, Device: device, Anchor: nv}, new(log).add); !errors.Is(err, ErrRolledBack) {
		t.Errorf("the old vault opens after a new one was made: %v", err)
	}
	if _, err := Open(Config{FS: fresh.fs(), Keystore: k, Device: device, Anchor: nv}, new(log).add); err != nil {
		t.Error(err)
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
