package vault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/security/keystore"
)

func anchors() []anchorKind { return []anchorKind{extended, counted} }

// words gives all words of up to n letters.
func words(letters string, n int) []string {
	out := []string{""}
	for from := 0; n > 0; n-- {
		to := len(out)
		for _, w := range out[from:to] {
			for _, l := range letters {
				out = append(out, w+string(l))
			}
		}
		from = to
	}
	return out
}

// history is a log and what its register was, step by step.
type history struct {
	image  image
	want   log
	values [][32]byte
}

// live does what a word says: A an anchored batch, U one that is not, C a
// compaction, R a restart.
func live(t *testing.T, k keystore.Keystore, kind anchorKind, word string) history {
	t.Helper()
	f, nv := newCrashFS(), newRegister()
	cfg := nv.in(Config{FS: f, Keystore: k, Device: device}, kind)
	var h history
	note := func() {
		if n := len(h.values); n == 0 || h.values[n-1] != nv.value {
			h.values = append(h.values, nv.value)
		}
	}
	note()
	v, _ := reopen(t, cfg)
	note()
	for i, step := range word {
		switch step {
		case 'C':
			if err := v.Compact(h.want); err != nil {
				t.Fatal(err)
			}
		case 'R':
			shut(t, v)
			v, _ = reopen(t, cfg)
		default:
			commit(t, v, step == 'A', rec(i))
			h.want = append(h.want, rec(i))
		}
		note()
	}
	shut(t, v)
	h.image = imageOf(f)
	return h
}

// TestVault_5_BootRule presents every log of up to four steps with every value
// that its register had. The last two are accepted, whatever came after the
// last anchored batch, and the register is moved to the end; all others are
// refused, and the register stays.
func TestVault_5_BootRule(t *testing.T) {
	k := newKeystore(t)
	for _, kind := range anchors() {
		for _, word := range words("AUCR", 4) {
			h := live(t, k, kind, word)
			if min := 2 + strings.Count(word, "A") + strings.Count(word, "C"); len(h.values) < min {
				t.Fatalf("%d %s: %d values of the register, at least %d", kind, word, len(h.values), min)
			}
			last := len(h.values) - 1
			end := h.values[last]
			if kind == counted {
				end = counted.next(end, hash{}) // the boot record
			}
			foreign := [32]byte{24: 1}
			for i, value := range append(h.values, foreign) {
				nv := newRegister()
				nv.value = value
				var got log
				v, err := Open(nv.in(Config{FS: h.image.fs(), Keystore: k, Device: device}, kind), got.add)
				if i < last-1 || i > last {
					if !errors.Is(err, ErrRolledBack) || nv.value != value {
						t.Fatalf("%d %s, value %d of %d: %v, want ErrRolledBack", kind, word, i, last, err)
					}
					continue
				}
				if err != nil || !same(got, h.want) || nv.value != end {
					t.Fatalf("%d %s, value %d of %d: %d records, want %d, register %x, want %x: %v", kind, word, i, last, len(got), len(h.want), nv.value, end, err)
				}
				commit(t, v, true, rec(9))
				shut(t, v)
			}
		}
	}
}

func TestVault_5_AnchorFindsEveryOlderImage(t *testing.T) {
	k := newKeystore(t)
	for _, kind := range anchors() {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			nv, f := newRegister(), newCrashFS()
			cfg := nv.in(Config{FS: f, Keystore: k, Device: device}, kind)
			type old struct {
				image
				value [32]byte // of the register when it was taken
			}
			var olds []old
			for open := range 3 {
				v, _ := reopen(t, cfg)
				olds = append(olds, old{imageOf(f), nv.value})
				for i := range 4 {
					commit(t, v, i%2 == 0, rec(i))
					olds = append(olds, old{imageOf(f), nv.value})
				}
				if open == 1 {
					if err := v.Compact([]Record{rec(9)}); err != nil {
						t.Fatal(err)
					}
				}
				shut(t, v)
			}
			accepted := 0
			for i, o := range olds {
				now := newRegister()
				now.value = nv.value
				v, err := Open(now.in(Config{FS: o.fs(), Keystore: k, Device: device}, kind), new(log).add)
				if o.value == nv.value {
					accepted++
					if err != nil {
						t.Errorf("image %d has all that was anchored: %v", i, err)
					} else {
						shut(t, v)
					}
				} else if !errors.Is(err, ErrRolledBack) || now.value != nv.value {
					t.Errorf("image %d lacks anchored batches: %v, want ErrRolledBack", i, err)
				}
			}
			if accepted != 2 {
				t.Errorf("%d images have all that was anchored, want 2", accepted)
			}
		})
	}
}

// TestVault_5_TwoFuturesOfOneAnchor: a batch that is on disk and not in the
// anchor is finished at the next start, and then every other future is closed.
func TestVault_5_TwoFuturesOfOneAnchor(t *testing.T) {
	k := newKeystore(t)
	for _, kind := range anchors() {
		fail := false
		nv := &register{before: func() error {
			if fail {
				return errors.New("no power")
			}
			return nil
		}}
		f := newCrashFS()
		in := func(f *crashFS) Config { return nv.in(Config{FS: f, Keystore: k, Device: device}, kind) }
		v, _ := reopen(t, in(f))
		commit(t, v, true, rec(1))
		before := imageOf(f)
		fail = true
		if err := v.Commit(true, rec(2)); !errors.Is(err, ErrBroken) {
			t.Fatalf("the anchor failed: %v", err)
		}
		fail = false
		one := imageOf(f)
		two := before.fs()
		v, got := reopen(t, in(two)) // the anchor never saw record 2
		if len(got) != 1 {
			t.Fatalf("%d records", len(got))
		}
		commit(t, v, true, rec(3))
		if _, err := Open(in(one.fs()), new(log).add); !errors.Is(err, ErrRolledBack) {
			t.Errorf("the other future opens: %v", err)
		}
		v, got = reopen(t, in(imageOf(two).fs()))
		shut(t, v)
		if len(got) != 2 {
			t.Errorf("%d records", len(got))
		}
	}
}

// TestVault_5_CopyThatRunsAtTheSameTime: two processes with copies of a vault
// and one register. The first that commits goes on; the other learns of it
// before it acknowledges anything.
func TestVault_5_CopyThatRunsAtTheSameTime(t *testing.T) {
	k := newKeystore(t)
	nv, f := newRegister(), newCrashFS()
	cfg := nv.in(Config{FS: f, Keystore: k, Device: device}, extended)
	v, _ := reopen(t, cfg)
	commit(t, v, true, rec(1))
	cfg.FS = imageOf(f).fs()
	other, _ := reopen(t, cfg)
	commit(t, other, true, rec(2))
	if err := v.Commit(true, rec(3)); !errors.Is(err, ErrBroken) {
		t.Errorf("both futures are acknowledged: %v", err)
	}
	if err := v.Commit(false, rec(4)); !errors.Is(err, ErrBroken) {
		t.Errorf("it goes on: %v", err)
	}
}

func TestVault_5_AnchorIsOfOneVault(t *testing.T) {
	k := newKeystore(t)
	of := map[anchorKind]image{}
	for _, kind := range kinds() {
		of[kind] = live(t, k, kind, "ARA").image
	}
	for _, created := range kinds() {
		for _, opened := range kinds() {
			if created == opened {
				continue
			}
			_, err := Open(newRegister().in(Config{FS: of[created].fs(), Keystore: k, Device: device}, opened), new(log).add)
			if err == nil {
				t.Errorf("a vault of anchor kind %d opens with kind %d", created, opened)
			}
		}
	}
	both := Config{FS: newCrashFS(), Keystore: k, Device: device, Anchor: newRegister(), Counter: newRegister()}
	if _, err := Open(both, new(log).add); err == nil {
		t.Error("a vault opens with two anchors")
	}
	for _, kind := range anchors() { // a new vault on the same register ends the old one
		nv := newRegister()
		in := func(f *crashFS) Config { return nv.in(Config{FS: f, Keystore: k, Device: device}, kind) }
		f := newCrashFS()
		v, _ := reopen(t, in(f))
		commit(t, v, true, rec(1))
		shut(t, v)
		fresh := newCrashFS()
		v, _ = reopen(t, in(fresh))
		commit(t, v, true, rec(2))
		shut(t, v)
		if _, err := Open(in(imageOf(f).fs()), new(log).add); !errors.Is(err, ErrRolledBack) {
			t.Errorf("kind %d: the old vault opens after a new one was made: %v", kind, err)
		}
		v, got := reopen(t, in(fresh))
		shut(t, v)
		if !slices.EqualFunc(got, log{rec(2)}, func(a, b Record) bool { return a.Kind == b.Kind }) {
			t.Errorf("kind %d: %d records", kind, len(got))
		}
	}
}

// TestVault_5_AGroupIsAnchored: one step for all, when any of them asks for it.
func TestVault_5_AGroupIsAnchored(t *testing.T) {
	k := newKeystore(t)
	for _, kind := range anchors() {
		for asked := range 4 { // 3: none
			nv := newRegister()
			v, _ := reopen(t, nv.in(Config{FS: newCrashFS(), Keystore: k, Device: device}, kind))
			before, after := nv.value, 0
			nv.before = func() error { after++; return nil }
			v.mu.Lock()
			for i := range 3 {
				v.queue = append(v.queue, &entry{recs: []Record{rec(i)}, anchored: i == asked})
			}
			v.lead()
			v.mu.Unlock()
			if want := asked < 3; (nv.value != before) != want || (after == 1) != want {
				t.Errorf("kind %d, commit %d asks: %d steps of the register", kind, asked, after)
			}
			shut(t, v)
		}
	}
}
