package vault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
)

// register is an anchor in memory: it survives every crash.
type register struct {
	value  [32]byte
	before func() error
}

func (r *register) Anchor() ([32]byte, error) { return r.value, nil }

func (r *register) Extend(h [32]byte) error {
	if err := r.before(); err != nil {
		return err
	}
	r.value = sha256.Sum256(append(r.value[:], h[:]...))
	return nil
}

// story is a workload and what it may leave behind at each point.
type story struct {
	t     *testing.T
	cfg   Config
	fs    *crashFS
	nv    *register
	acked log // what must be there
	next  log // what may be there instead: the call that is under way succeeded
}

func newStory(t *testing.T, k keystore.Keystore, anchored bool, before func(*story) error) *story {
	s := &story{t: t, fs: newCrashFS(), nv: &register{}}
	s.fs.before = func() error { return before(s) }
	s.nv.before = s.fs.before
	s.cfg = Config{FS: s.fs, Keystore: k, Device: device}
	if anchored {
		s.cfg.Anchor = s.nv
	}
	return s
}

// run is the workload: two openings with commits of several sizes, and a
// compaction. It stops at the first error.
func (s *story) run() error {
	for open := range 2 {
		v, err := Open(s.cfg, func(Record) error { return nil })
		if err != nil {
			return err
		}
		for i, size := range []int{0, 40, 1300} {
			batch := []Record{rec(open), {Kind: uint8(i), Body: bytes.Repeat([]byte{0xab}, size)}}
			if err := s.commit(v, i != 1, batch); err != nil {
				return err
			}
		}
		s.next = log{rec(100 + open)}
		if err := v.Compact(s.next); err != nil {
			return errors.Join(err, mustBeBroken(v))
		}
		s.acked, s.next = s.next, nil
		if err := s.commit(v, true, []Record{rec(50)}); err != nil {
			return err
		}
		if err := v.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) commit(v *Vault, anchored bool, batch []Record) error {
	s.next = slices.Concat(s.acked, batch)
	if err := v.Commit(anchored, batch...); err != nil {
		return errors.Join(err, mustBeBroken(v))
	}
	s.acked, s.next = s.next, nil
	return nil
}

var errNotBroken = errors.New("the vault goes on after a failure")

func mustBeBroken(v *Vault) error {
	if !errors.Is(v.Commit(true, rec(1)), ErrBroken) || !errors.Is(v.Compact(nil), ErrBroken) {
		return errNotBroken
	}
	return v.Close()
}

// recover opens what a crash left and checks it, then writes to it and opens
// it once more. With again, a second crash comes before each change on the way.
func (s *story) recover(left *crashFS, again bool) {
	s.t.Helper()
	in := &story{t: s.t, cfg: s.cfg, fs: left, nv: &register{value: s.nv.value}, acked: s.acked, next: s.next}
	in.fs.before = func() error {
		if again {
			in.fs.crashes(func(left *crashFS) { in.recover(left, false) })
		}
		return nil
	}
	in.nv.before, in.cfg.FS = in.fs.before, left
	if in.cfg.Anchor != nil {
		in.cfg.Anchor = in.nv
	}
	var got log
	v, err := Open(in.cfg, got.add)
	if err != nil {
		s.t.Fatalf("open after a crash: %v", err)
	}
	if !same(got, s.acked) && (s.next == nil || !same(got, s.next)) {
		s.t.Fatalf("after a crash: %d records, acknowledged %d, under way %d", len(got), len(s.acked), len(s.next))
	}
	if left.unsyncedData() {
		s.t.Fatal("opened, and what was read is not durable")
	}
	in.acked, in.next = got, nil
	if err := in.commit(v, true, []Record{rec(77)}); err != nil {
		s.t.Fatal(err)
	}
	shut(s.t, v)
	got = nil
	if v, err = Open(in.cfg, got.add); err != nil || !same(got, in.acked) {
		s.t.Fatalf("second open after a crash: %d records, want %d: %v", len(got), len(in.acked), err)
	}
	shut(s.t, v)
}

func (f *crashFS) unsyncedData() bool {
	for _, n := range f.live() {
		if n.synced < len(n.data) {
			return true
		}
	}
	return slices.ContainsFunc(f.ops, func(op dirOp) bool { return op.to != "" })
}

func same(a, b log) bool {
	return slices.EqualFunc(a, b, func(x, y Record) bool { return x.Kind == y.Kind && bytes.Equal(x.Body, y.Body) })
}

// TestVault_5_EveryCrashState crashes the workload before each change of disk
// or anchor, and opens each state the disk may then be in.
func TestVault_5_EveryCrashState(t *testing.T) {
	k := newKeystore(t)
	for _, anchored := range []bool{false, true} {
		t.Run(fmt.Sprintf("anchor %v", anchored), func(t *testing.T) {
			states, points := 0, 0
			s := newStory(t, k, anchored, func(s *story) error {
				points++
				s.fs.crashes(func(left *crashFS) {
					states++
					s.recover(left, true)
				})
				return nil
			})
			if err := s.run(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crash points, %d states", points, states)
			if points < 40 || states < 160 {
				t.Errorf("only %d points and %d states: the enumeration has shrunk", points, states)
			}
		})
	}
}

// TestVault_5_KilledButNotSynced: a process that is killed leaves its writes in
// the page cache. The next one reads them, acts on them, and then the power fails.
func TestVault_5_KilledButNotSynced(t *testing.T) {
	k := newKeystore(t)
	s := newStory(t, k, false, func(s *story) error {
		left := &crashFS{durable: s.fs.durable, ops: slices.Clone(s.fs.ops), before: func() error { return nil }}
		cfg := s.cfg
		cfg.FS = left.deepCopy()
		var got log
		v, err := Open(cfg, got.add)
		if err != nil {
			s.t.Fatal(err)
		}
		shut(s.t, v)
		after := cfg.FS.(*crashFS) //nolint:errcheck,forcetypeassert // set above
		after.crashes(func(left *crashFS) {
			cfg.FS = left
			var again log
			v, err := Open(cfg, again.add)
			if err != nil || !same(got, again) {
				s.t.Fatalf("what was replayed before the power failed is gone: %d records, then %d: %v", len(got), len(again), err)
			}
			shut(s.t, v)
		})
		return nil
	})
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

func (f *crashFS) deepCopy() *crashFS {
	seen := map[*inode]*inode{}
	cp := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		if seen[n] == nil {
			seen[n] = &inode{data: bytes.Clone(n.data), synced: n.synced}
		}
		return seen[n]
	}
	out := newCrashFS()
	for name, n := range f.durable {
		out.durable[name] = cp(n)
	}
	for _, op := range f.ops {
		out.ops = append(out.ops, dirOp{from: op.from, to: op.to, node: cp(op.node)})
	}
	return out
}

// TestVault_5_AnyFailureBreaks fails each call in turn: the vault acknowledges
// nothing more, and what it acknowledged is there.
func TestVault_5_AnyFailureBreaks(t *testing.T) {
	k := newKeystore(t)
	for _, fault := range []error{errors.New("I/O error"), errHalf} {
		for n := 1; ; n++ {
			calls := 0
			s := newStory(t, k, true, func(*story) error {
				if calls++; calls == n {
					return fault
				}
				return nil
			})
			err := s.run()
			if calls < n {
				if n < 40 || err != nil {
					t.Fatalf("%d calls, %v", calls, err)
				}
				break
			}
			if !errors.Is(err, fault) || errors.Is(err, errNotBroken) {
				t.Fatalf("call %d fails: %v", n, err)
			}
			s.fs.crashes(func(left *crashFS) { s.recover(left, false) })
		}
	}
}
