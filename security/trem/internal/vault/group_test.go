package vault

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowFS is a directory whose syncs take time, which a bubble of synctest makes
// pass at once.
type slowFS struct {
	*crashFS
	sync  time.Duration
	syncs int          // of files
	fail  func() error // at each sync of a file
}

type slowFile struct {
	File
	fs *slowFS
}

func (f *slowFS) Create(name string) (File, error) {
	file, err := f.crashFS.Create(name)
	return slowFile{file, f}, err
}

func (f slowFile) Sync() error {
	time.Sleep(f.fs.sync)
	f.fs.syncs++
	if f.fs.fail != nil {
		if err := f.fs.fail(); err != nil {
			return err
		}
	}
	return f.File.Sync()
}

const slowSync = 5 * time.Millisecond

// writers lets n goroutines commit each number of records, one at a time, and
// gives the time that it took and when each record was acknowledged.
func writers(t *testing.T, v *Vault, n, each int) (took time.Duration, acked map[string]time.Time) {
	t.Helper()
	start, acked := time.Now(), map[string]time.Time{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			for i := range each {
				body := fmt.Sprintf("%d/%d", w, i)
				if err := v.Commit(i%3 == 0, Record{Kind: 1, Body: []byte(body)}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[body] = time.Now()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return time.Since(start), acked
}

// TestVault_5_GroupCommit counts the syncs of 64 writers and compares their rate
// with that of one, on a disk whose syncs take 5 ms; and it holds the order of
// acknowledgement against the log.
func TestVault_5_GroupCommit(t *testing.T) {
	k := newKeystore(t)
	synctest.Test(t, func(t *testing.T) {
		const each = 32
		var took [2]time.Duration
		for run, n := range []int{1, 64} {
			f := &slowFS{crashFS: newCrashFS(), sync: slowSync}
			cfg := Config{FS: f, Keystore: k, Device: device}
			v, _ := reopen(t, cfg)
			before := f.syncs
			var acked map[string]time.Time
			took[run], acked = writers(t, v, n, each)
			syncs := f.syncs - before
			if run == 0 && (syncs != each || took[run] != each*slowSync) {
				t.Errorf("one writer: %d syncs and %v for %d commits", syncs, took[run], each)
			}
			if run == 1 && syncs*16 > n*each {
				t.Errorf("%d writers: %d syncs for %d commits, at most one for 16", n, syncs, n*each)
			}
			shut(t, v)
			t.Logf("%d writers: %d commits, %d syncs, %v", n, n*each, syncs, took[run])
			checkOrder(t, cfg, n*each, acked)
		}
		if rate := float64(took[0]*64) / float64(took[1]); rate < 6 {
			t.Errorf("64 writers have %.1f times the rate of one, at least 6", rate)
		}
	})
}

// checkOrder: nothing was acknowledged before what stands before it in the log.
func checkOrder(t *testing.T, cfg Config, n int, acked map[string]time.Time) {
	t.Helper()
	v, got := reopen(t, cfg)
	shut(t, v)
	if len(got) != n || len(acked) != n {
		t.Fatalf("%d records and %d acknowledgements, want %d", len(got), len(acked), n)
	}
	var last time.Time
	next := map[string]int{} // of each writer
	for _, r := range got {
		at := acked[string(r.Body)]
		if at.Before(last) {
			t.Fatalf("%s was acknowledged before what stands before it", r.Body)
		}
		last = at
		w, i, _ := strings.Cut(string(r.Body), "/")
		if i != fmt.Sprint(next[w]) {
			t.Fatalf("writer %s: record %s, want %d", w, i, next[w])
		}
		next[w]++
	}
}

// TestVault_5_GroupFails: what was written with a failed sync, and what waited
// for the next, is not acknowledged, and nothing after it.
func TestVault_5_GroupFails(t *testing.T) {
	k := newKeystore(t)
	for _, failing := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			f := &slowFS{crashFS: newCrashFS(), sync: slowSync}
			cfg := Config{FS: f, Keystore: k, Device: device}
			v, _ := reopen(t, cfg)
			fault := errors.New("I/O error")
			at := f.syncs + failing
			f.fail = func() error {
				if f.syncs == at {
					return fault
				}
				return nil
			}
			acked, causes := untilBroken(t, v, 16, fault)
			if f.syncs != at {
				t.Errorf("%d syncs, want %d", f.syncs, at)
			}
			if first := failing == 1; causes == 0 || first && (causes != 1 || len(acked) > 0) || !first && len(acked) == 0 {
				t.Errorf("sync %d fails: %d of 16 commits in the failed batch; %d acknowledged", failing, causes, len(acked))
			}
			shut(t, v)
			f.fail = nil
			v, got := reopen(t, cfg)
			shut(t, v)
			there := map[string]bool{}
			for _, r := range got {
				there[string(r.Body)] = true
			}
			for body := range acked {
				if !there[body] {
					t.Errorf("%s was acknowledged and is gone", body)
				}
			}
		})
	}
}

// untilBroken lets n goroutines commit until the vault is broken, and gives what
// was acknowledged and how many were told the cause.
func untilBroken(t *testing.T, v *Vault, n int, cause error) (acked map[string]bool, causes int) {
	t.Helper()
	var mu sync.Mutex
	acked = map[string]bool{}
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			for i := 0; ; i++ {
				body := fmt.Sprintf("%d/%d", w, i)
				err := v.Commit(true, Record{Kind: 1, Body: []byte(body)})
				mu.Lock()
				if err == nil {
					acked[body] = true
				} else if !errors.Is(err, ErrBroken) {
					t.Errorf("%v, want ErrBroken", err)
				} else if errors.Is(err, cause) {
					causes++
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return acked, causes
}

// TestVault_5_GroupLimits: a commit that is too large fails alone, and a long
// queue becomes several batches, in order.
func TestVault_5_GroupLimits(t *testing.T) {
	k := newKeystore(t)
	cfg := Config{FS: newCrashFS(), Keystore: k, Device: device}
	v, _ := reopen(t, cfg)
	large := func(n int) []Record { return []Record{{Kind: 1, Body: make([]byte, n)}} }
	queue := []*entry{
		{recs: large(1)},
		{recs: large(chunkBytes - 1)},
		{recs: large(1)},
		{recs: large(2 * chunkBytes)},
		{recs: large(maxFrame)},
		{recs: large(5)},
		{recs: make([]Record, chunkRecs)},
		{recs: large(6), anchored: true},
	}
	v.mu.Lock()
	v.queue = queue
	v.mu.Unlock()
	if err := v.Commit(false, rec(9)); err != nil { // leads them all
		t.Fatal(err)
	}
	for i, e := range queue {
		if want := i == 4; !e.done || errors.Is(e.err, ErrTooLarge) != want || !want && e.err != nil {
			t.Errorf("entry %d: done %v, %v", i, e.done, e.err)
		}
	}
	if ctr, _ := v.Head(); ctr != 1+6 { // creation, then 0+1, 2, 3, 5, 6, 7+9
		t.Errorf("%d batches, want 7", ctr)
	}
	shut(t, v)
	v, got := reopen(t, cfg)
	shut(t, v)
	var want log
	for i, e := range queue {
		if i != 4 {
			want = append(want, e.recs...)
		}
	}
	if !same(got, append(want, rec(9))) {
		t.Errorf("%d records, want %d", len(got), len(want)+1)
	}
}

// TestVault_5_ManyCallers uses a real directory with every method at once; go
// test -race says more than it does.
func TestVault_5_ManyCallers(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "vault"), Keystore: newKeystore(t), Device: device}
	v, _ := reopen(t, cfg)
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for last := uint64(0); ; {
			ctr, _ := v.Head()
			if ctr < last || v.Segments() != 1 || v.Grown() {
				t.Errorf("head %d after %d, %d segments", ctr, last, v.Segments())
			}
			last = ctr
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	_, acked := writers(t, v, 16, 20)
	close(stop)
	watch.Wait()
	shut(t, v)
	v, got := reopen(t, cfg)
	shut(t, v)
	if len(got) != 16*20 || len(acked) != 16*20 {
		t.Errorf("%d records, %d acknowledged", len(got), len(acked))
	}
}

// TestVault_5_CompactWaitsItsTurn: a compaction comes between batches.
func TestVault_5_CompactWaitsItsTurn(t *testing.T) {
	k := newKeystore(t)
	synctest.Test(t, func(t *testing.T) {
		f := &slowFS{crashFS: newCrashFS(), sync: slowSync}
		cfg := Config{FS: f, Keystore: k, Device: device}
		v, _ := reopen(t, cfg)
		var wg sync.WaitGroup
		wg.Go(func() { commit(t, v, true, rec(1)) })
		synctest.Wait() // in its sync
		wg.Go(func() {
			if err := v.Compact([]Record{rec(2)}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Wait()
		commit(t, v, true, rec(3))
		shut(t, v)
		v, got := reopen(t, cfg)
		shut(t, v)
		if !same(got, log{rec(2), rec(3)}) {
			t.Errorf("%d records", len(got))
		}
	})
}

// TestVault_5_APanicBreaks: an FS that panics leaves no vault that goes on.
func TestVault_5_APanicBreaks(t *testing.T) {
	f := newCrashFS()
	v, _ := reopen(t, Config{FS: f, Keystore: newKeystore(t), Device: device})
	f.before = func() error { panic("no disk") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_ = v.Commit(true, rec(1))
	}()
	f.before = func() error { return nil }
	if err := v.Commit(true, rec(2)); !errors.Is(err, ErrBroken) {
		t.Errorf("%v, want ErrBroken", err)
	}
	shut(t, v)
}
