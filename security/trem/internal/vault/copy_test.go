package vault

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// copyOf opens a copy of a log, with what it says.
func copyOf(t *testing.T, v *Vault) (*Vault, log) {
	t.Helper()
	segments, err := v.Copy()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Memory(segments)
	if err != nil {
		t.Fatal(err)
	}
	return reopen(t, Config{FS: files, Keystore: v.cfg.Keystore, Device: device})
}

func TestVault_8_ACopySaysTheSame(t *testing.T) {
	cfg := Config{FS: newCrashFS(), Keystore: newKeystore(t), Device: device}
	v, _ := reopen(t, cfg)
	var want log
	for open := range 3 {
		for i := range 3 {
			r := Record{Kind: uint8(i), Body: bytes.Repeat([]byte{byte(open)}, 700*i)}
			commit(t, v, i == 1, r)
			want = append(want, r)
		}
		if open == 1 {
			want = log{rec(9)}
			if err := v.Compact(want); err != nil {
				t.Fatal(err)
			}
		}
		shut(t, v)
		v, _ = reopen(t, cfg)
	}
	w, got := copyOf(t, v)
	ctr, h := v.Head()
	if n, hw := w.Head(); !same(got, want) || n != ctr || hw != h || w.Incarnation() != v.Incarnation() {
		t.Errorf("a copy of %d records at %d says %d records at %d", len(want), ctr, len(got), n)
	}
	shut(t, w)
	shut(t, v)
	if _, err := v.Copy(); err == nil {
		t.Error("copied a closed vault")
	}
	if _, err := Memory([][]byte{[]byte("LARESVL1 and nothing more")}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a copy that is none: %v", err)
	}
}

// parting makes a disk whose log was set back and went on, and a copy of the log
// as it was before.
func parting(t *testing.T) (cfg Config, f *crashFS, ahead *Vault, lost, found log) {
	f = newCrashFS()
	cfg = Config{FS: f, Keystore: newKeystore(t), Device: device}
	v, _ := reopen(t, cfg)
	commit(t, v, true, rec(1))
	shut(t, v)
	image := imageOf(f)
	v, _ = reopen(t, cfg)
	commit(t, v, true, rec(2))
	commit(t, v, false, rec(3), rec(4))
	ahead, found = copyOf(t, v)
	shut(t, v)
	f = newCrashFS()
	for name, data := range image {
		f.durable[name] = &inode{data: slices.Clone(data), synced: len(data)}
	}
	cfg.FS = f
	v, _ = reopen(t, cfg)
	commit(t, v, true, rec(5))
	shut(t, v)
	return cfg, f, ahead, log{rec(1), rec(5)}, found
}

// TestVault_8_AdoptIsOneLogOrTheOther crashes an Adopt before each change of the
// disk, and opens each state that the disk may then be in.
func TestVault_8_AdoptIsOneLogOrTheOther(t *testing.T) {
	cfg, f, ahead, lost, found := parting(t)
	s := &story{cfg: cfg, fs: f, nv: newRegister(), acked: lost}
	states, points := 0, 0
	v, _ := reopen(t, cfg)
	f.before = func() error {
		points++
		return f.crashes(func(left *crashFS) error {
			states++
			return s.recover(left, true)
		})
	}
	s.next = found
	if err := v.Adopt(ahead, found); err != nil {
		t.Fatal(err)
	}
	s.acked, s.next = found, nil
	ctr, h := v.Head()
	was, _ := ahead.Head()
	if ctr != was+1 {
		t.Errorf("the log goes on at %d, want %d", ctr, was+1)
	}
	have, known := v.HashAt(was)
	if want, _ := ahead.HashAt(was); !known || have != want {
		t.Error("the log does not go on where the other one ends")
	}
	if err := s.commit(v, true, []Record{rec(6)}); err != nil {
		t.Fatal(err)
	}
	f.before = func() error { return nil }
	shut(t, v)
	v, got := reopen(t, cfg)
	want := append(slices.Clone(found), rec(6))
	if at, known := v.HashAt(ctr); !same(got, want) || !known || at != h {
		t.Errorf("after it: %d records", len(got))
	}
	shut(t, v)
	t.Logf("%d crash points, %d states", points, states)
	if points < 8 || states < 10 {
		t.Error("the enumeration has shrunk")
	}
}

func TestVault_8_AdoptOfItsOwnLogOnly(t *testing.T) {
	cfg, _, ahead, lost, _ := parting(t)
	v, _ := reopen(t, cfg)
	was, h := v.Head()
	stranger, _ := reopen(t, Config{FS: newCrashFS(), Keystore: cfg.Keystore, Device: device})
	if err := v.Adopt(stranger, nil); !errors.Is(err, ErrKey) {
		t.Errorf("adopted a log of another incarnation: %v", err)
	}
	if err := v.Adopt(ahead, []Record{{Kind: 1, Body: make([]byte, maxFrame)}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record that is too large: %v", err)
	}
	if n, now := v.Head(); n != was || now != h {
		t.Error("what was refused has moved the log")
	}
	commit(t, v, true, rec(7))
	shut(t, v)
	v, got := reopen(t, cfg)
	if !same(got, append(lost, rec(7))) {
		t.Errorf("after what was refused: %d records", len(got))
	}
	for _, kind := range []anchorKind{extended, counted} {
		c := newRegister().in(Config{FS: newCrashFS(), Keystore: cfg.Keystore, Device: device}, kind)
		anchored, _ := reopen(t, c)
		if err := errors.Join(anchored.Adopt(ahead, nil), anchored.Close()); !errors.Is(err, ErrAnchored) {
			t.Errorf("anchor kind %d: %v", kind, err)
		}
		if err := v.Adopt(anchored, nil); !errors.Is(err, ErrAnchored) {
			t.Errorf("a log of anchor kind %d: %v", kind, err)
		}
	}
	shut(t, v)
	if err := v.Adopt(ahead, nil); err == nil {
		t.Error("adopted by a closed vault")
	}
}
