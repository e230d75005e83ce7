package core

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

func TestWitness_WorkedExample(t *testing.T) {
	data := example(t, "witness.md")
	h, err := parseHeads(data)
	if err != nil {
		t.Fatal(err)
	}
	if h.Yours != nil || h.Found != 5 {
		t.Errorf("%+v", h)
	}
	s, err := wire.ParseSign1(h.Own, transfer.ObjectHead, wire.Limit{Bytes: transfer.MaxHead, Items: 8, Depth: 3})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), repeat(5, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(key.Public()); err != nil {
		t.Error(err)
	}
	if again, err := wire.Marshal(h); err != nil || !bytes.Equal(again, data) {
		t.Errorf("encodes as %x (%v)", again, err)
	}
}

func FuzzParseHeads(f *testing.F) {
	f.Add([]byte{0x83, 0x41, 1, 0xf6, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := parseHeads(in)
		if err != nil {
			return
		}
		if again, err := wire.Marshal(h); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%x reads as %x (%v)", in, again, err)
		}
	})
}

// logOf is a core with nothing but a vault that was compacted once.
func logOf(t *testing.T, before, after int) (*Core, map[uint64][32]byte) {
	t.Helper()
	keys, err := soft.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg := vault.Config{Dir: filepath.Join(t.TempDir(), "vault"), Keystore: keys, Device: ident.Device{1}}
	c := &Core{}
	open := func() {
		if c.vault, err = vault.Open(cfg, c.replayWitness); err != nil {
			t.Fatal(err)
		}
	}
	said := map[uint64][32]byte{}
	note := func(n int) {
		for i := range n {
			if err := c.commit(kindFound, foundRecord{Peer: ident.Device{2}, Counter: uint64(i)}); err != nil { //nolint:gosec // small
				t.Fatal(err)
			}
			ctr, h := c.vault.Head()
			said[ctr] = h
		}
	}
	open()
	note(before)
	var s log
	c.snapshotWitness(&s)
	s.add(kindPast, c.pastNow())
	if err := c.vault.Compact(s.recs); err != nil {
		t.Fatal(err)
	}
	if err := c.vault.Close(); err != nil {
		t.Fatal(err)
	}
	c.witness = witness{}
	open()
	t.Cleanup(func() { _ = c.vault.Close() })
	note(after)
	return c, said
}

// What the log was before a compaction is known after it, and nothing else is
// taken for it.
func TestWitness_2_ThePastSurvivesCompaction(t *testing.T) {
	c, said := logOf(t, 50, 5)
	for ctr, h := range said {
		if !c.contains(transfer.Head{Counter: ctr, Hash: h}) {
			t.Errorf("batch %d is not found", ctr)
		}
		h[pastLen-1]++
		if c.contains(transfer.Head{Counter: ctr, Hash: h}) {
			t.Errorf("another batch %d is found", ctr)
		}
	}
	now, h := c.vault.Head()
	if c.contains(transfer.Head{Counter: now + 1, Hash: h}) || c.contains(transfer.Head{Hash: h}) || c.contains(transfer.Head{}) {
		t.Error("a batch that is not in the log is found")
	}
}

// The bounds hold whatever comes, and a compacted log means the same.
func TestWitness_1_BoundsAndCompaction(t *testing.T) {
	a := &Core{}
	for i := range maxWitnessed + 40 {
		id := ident.Device{byte(i), byte(i >> 8), 1}
		a.keepHead(&witnessedRecord{Device: id, Head: []byte{1}, Counter: uint64(i), Order: a.witness.order + 1}) //nolint:gosec // small
		a.keepFound(foundRecord{Peer: id, Counter: uint64(i)})                                                    //nolint:gosec // small
	}
	if len(a.witness.kept) != maxWitnessed || len(a.witness.found) != maxWitnessed {
		t.Errorf("%d HEADs and %d counters are kept", len(a.witness.kept), len(a.witness.found))
	}
	for i := range 40 {
		if a.witness.kept[ident.Device{byte(i), 0, 1}] != nil {
			t.Errorf("peer %d, which was kept longest ago, is still there", i)
		}
	}
	a.witness.setBack = &setBackRecord{Head: []byte{9}}
	a.keepTwins(twoHeadsRecord{Device: ident.Device{7}, One: []byte{1}, Two: []byte{2}})
	var s log
	a.snapshotWitness(&s)
	b := &Core{}
	for _, r := range s.recs {
		if err := b.replayWitness(r); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(a.witness, b.witness, cmp.AllowUnexported(witness{})); d != "" || s.err != nil {
		t.Error(d, s.err)
	}
}

// Which HEADs exclude each other.
func TestWitness_3_TwoHeads(t *testing.T) {
	w := &witnessedRecord{Incarnation: ident.Incarnation{2}, Counter: 7, Hash: [32]byte{1}, Older: []ident.Incarnation{{1}}}
	for _, tc := range []struct {
		name string
		head transfer.Head
		want bool
	}{
		{"the same", transfer.Head{Incarnation: w.Incarnation, Counter: 7, Hash: w.Hash}, false},
		{"later", transfer.Head{Incarnation: w.Incarnation, Counter: 8, Hash: [32]byte{2}}, false},
		{"earlier", transfer.Head{Incarnation: w.Incarnation, Counter: 6, Hash: [32]byte{2}}, false},
		{"another at the same place", transfer.Head{Incarnation: w.Incarnation, Counter: 7, Hash: [32]byte{2}}, true},
		{"a new incarnation", transfer.Head{Incarnation: ident.Incarnation{3}, Counter: 1}, false},
		{"one that had ended", transfer.Head{Incarnation: ident.Incarnation{1}, Counter: 99}, true},
	} {
		if got := w.excludes(tc.head); got != tc.want {
			t.Errorf("%s: excludes %v, want %v", tc.name, got, tc.want)
		}
	}
}
