package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
)

// register is an anchor of either kind in memory: it survives every crash.
type register struct {
	value  [32]byte
	before func() error
}

func newRegister() *register { return &register{before: func() error { return nil }} }

func (r *register) Anchor() ([32]byte, error) { return r.value, nil }

func (r *register) Extend(h [32]byte) error {
	if err := r.before(); err != nil {
		return err
	}
	r.value = sha256.Sum256(append(r.value[:], h[:]...))
	return nil
}

func (r *register) Count() (uint64, error) { return binary.BigEndian.Uint64(r.value[24:]), nil }

func (r *register) Increment() error {
	if err := r.before(); err != nil {
		return err
	}
	r.value = counted.next(r.value, hash{})
	return nil
}

const noAnchor = anchorKind(0)

func kinds() []anchorKind { return []anchorKind{noAnchor, extended, counted} }

func (r *register) in(cfg Config, kind anchorKind) Config {
	cfg.Anchor, cfg.Counter = nil, nil
	switch kind {
	case extended:
		cfg.Anchor = r
	case counted:
		cfg.Counter = r
	}
	return cfg
}

// story is a workload and what it may leave behind at each point.
type story struct {
	cfg   Config
	kind  anchorKind
	fs    *crashFS
	nv    *register
	acked log // what must be there
	next  log // what may be there instead: the call that is under way succeeded
}

func newStory(k keystore.Keystore, kind anchorKind, before func(*story) error) *story {
	s := &story{fs: newCrashFS(), nv: newRegister(), kind: kind}
	s.fs.before = func() error { return before(s) }
	s.nv.before = s.fs.before
	s.cfg = s.nv.in(Config{FS: s.fs, Keystore: k, Device: device}, kind)
	return s
}

// run is the workload: openings with commits of several sizes, and compactions
// of one segment and of six. It stops at the first error.
func (s *story) run() error {
	for open := range 6 {
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
		if err := s.group(v, []Record{rec(20)}, []Record{rec(21), rec(22)}, []Record{rec(23)}); err != nil {
			return err
		}
		if open == 0 || open == 5 {
			s.next = log{rec(100 + open)}
			if err := v.Compact(s.next); err != nil {
				return errors.Join(err, mustBeBroken(v))
			}
			s.acked, s.next = s.next, nil
		}
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

// group lets commits wait for each other, the second anchored, and one lead.
func (s *story) group(v *Vault, batches ...[]Record) error {
	s.next = slices.Concat(s.acked, slices.Concat(batches...))
	v.mu.Lock()
	for i, b := range batches {
		v.queue = append(v.queue, &entry{recs: b, anchored: i == 1})
	}
	group := slices.Clone(v.queue)
	v.lead()
	v.mu.Unlock()
	for _, e := range group {
		if !e.done || !errors.Is(e.err, group[0].err) {
			return errors.New("a commit of the group has another end than the others")
		}
	}
	if group[0].err != nil {
		return errors.Join(group[0].err, mustBeBroken(v))
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
func (s *story) recover(left *crashFS, again bool) error {
	in := &story{fs: left, nv: &register{value: s.nv.value}, kind: s.kind, acked: s.acked, next: s.next}
	in.fs.before = func() error {
		if again {
			return in.fs.crashes(func(left *crashFS) error { return in.recover(left, false) })
		}
		return nil
	}
	in.nv.before, in.cfg = in.fs.before, s.cfg
	in.cfg.FS = left
	in.cfg = in.nv.in(in.cfg, s.kind)
	var got log
	v, err := Open(in.cfg, got.add)
	if err != nil {
		return fmt.Errorf("open after a crash: %w", err)
	}
	if !same(got, s.acked) && (s.next == nil || !same(got, s.next)) {
		return fmt.Errorf("after a crash: %d records, acknowledged %d, under way %d", len(got), len(s.acked), len(s.next))
	}
	if left.unsyncedData() {
		return errors.New("opened, and what was read is not durable")
	}
	in.acked, in.next = got, nil
	if err := errors.Join(in.commit(v, true, []Record{rec(77)}), v.Close()); err != nil {
		return err
	}
	got = nil
	if v, err = Open(in.cfg, got.add); err != nil || !same(got, in.acked) {
		return fmt.Errorf("second open after a crash: %d records, want %d: %w", len(got), len(in.acked), err)
	}
	return v.Close()
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
// or anchor, and opens each state that the disk may then be in (crashFS says
// which). At every third of those it crashes again before each change of the
// recovery; with -short, at every fortieth.
func TestVault_5_EveryCrashState(t *testing.T) {
	k := newKeystore(t)
	every := 3
	if testing.Short() {
		every = 40
	}
	for _, kind := range kinds() {
		t.Run(fmt.Sprintf("anchor %d", kind), func(t *testing.T) {
			states, points := 0, 0
			s := newStory(k, kind, func(s *story) error {
				points++
				return s.fs.crashes(func(left *crashFS) error {
					states++
					return s.recover(left, states%every == 0)
				})
			})
			if err := s.run(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crash points, %d states, at most %d unsynced writes", points, states, s.fs.most)
			if points < 90 || states < 500 || s.fs.most != mostWrites {
				t.Error("the enumeration has shrunk")
			}
		})
	}
}

// TestVault_5_EverySyncIsNeeded lets each sync of the workload in turn do
// nothing, so that more is unsynced than the vault knows: the enumeration must
// find what is lost by it. Not needed in this workload are the syncs at opening
// (see TestVault_5_KilledButNotSynced) and those that only hurry removals.
func TestVault_5_EverySyncIsNeeded(t *testing.T) {
	k := newKeystore(t)
	needed := func(sync string) bool { return sync == "file" || sync == "directory after rename" }
	for _, kind := range kinds() {
		found := map[string]int{}
		for drop := 1; ; drop++ {
			s := newStory(k, kind, func(s *story) error {
				if !needed(s.fs.dropped) {
					return nil
				}
				return s.fs.crashes(func(left *crashFS) error { return s.recover(left, false) })
			})
			s.fs.drop = drop
			err := s.run()
			if s.fs.dropped == "" {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if !needed(s.fs.dropped) {
				continue
			}
			if err == nil { // a crash at the very end
				err = s.fs.crashes(func(left *crashFS) error { return s.recover(left, false) })
			}
			if err == nil {
				t.Errorf("anchor %d: nothing shows that sync %d (%s) is needed", kind, drop, s.fs.dropped)
			}
			if err != nil {
				found[s.fs.dropped]++
			}
		}
		if found["file"] < 20 || found["directory after rename"] < 6 {
			t.Errorf("anchor %d: only %v were found", kind, found)
		}
	}
}

// TestVault_5_KilledButNotSynced: a process that is killed leaves its writes in
// the page cache. The next one reads them, acts on them, and then the power fails.
func TestVault_5_KilledButNotSynced(t *testing.T) {
	k := newKeystore(t)
	s := newStory(k, noAnchor, func(s *story) error {
		cfg := s.cfg
		after := s.fs.deepCopy()
		cfg.FS = after
		var got log
		v, err := Open(cfg, got.add)
		if err != nil {
			return err
		}
		shut(t, v)
		return after.crashes(func(left *crashFS) error {
			cfg.FS = left
			var again log
			v, err := Open(cfg, again.add)
			if err != nil || !same(got, again) {
				return fmt.Errorf("what was replayed before the power failed is gone: %d records, then %d: %w", len(got), len(again), err)
			}
			return v.Close()
		})
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
			seen[n] = &inode{data: bytes.Clone(n.data), synced: n.synced, ends: slices.Clone(n.ends)}
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
	for _, kind := range kinds() {
		for _, fault := range []error{errors.New("I/O error"), errHalf} {
			for n := 1; ; n++ {
				calls := 0
				s := newStory(k, kind, func(*story) error {
					if calls++; calls == n {
						return fault
					}
					return nil
				})
				err := s.run()
				if calls < n {
					if n < 90 || err != nil {
						t.Fatalf("%d calls, %v", calls, err)
					}
					break
				}
				if !errors.Is(err, fault) || errors.Is(err, errNotBroken) {
					t.Fatalf("call %d fails: %v", n, err)
				}
				if err := s.fs.crashes(func(left *crashFS) error { return s.recover(left, false) }); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
