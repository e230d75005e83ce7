package trembench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// A play as the vault sees it: what a charged use writes is the license's state
// and the clock. Source: core/records.go; lengths of a rental, in bytes.
const (
	kindState  = 0x08
	kindClock  = 0x02
	stateBytes = 90
	clockBytes = 60
)

// play is the records of the n-th play, of one of some licenses.
func play(n, licenses int) []vault.Record {
	state, clock := make([]byte, stateBytes), make([]byte, clockBytes)
	copy(state, fmt.Sprintf("license %d", n%licenses))
	copy(clock, fmt.Sprint(n))
	return []vault.Record{{Kind: kindState, Body: state}, {Kind: kindClock, Body: clock}}
}

// disk is a directory that counts syncs of files and of itself, or leaves them
// out.
type disk struct {
	vault.FS
	syncs atomic.Int64
	off   bool
}

type file struct {
	vault.File
	disk *disk
}

func (d *disk) Create(name string) (vault.File, error) {
	f, err := d.FS.Create(name)
	return file{f, d}, err
}

func (d *disk) Sync() error {
	d.syncs.Add(1)
	if d.off {
		return nil
	}
	return d.FS.Sync()
}

func (f file) Sync() error {
	f.disk.syncs.Add(1)
	if f.disk.off {
		return nil
	}
	return f.File.Sync()
}

// open opens the vault in a folder, with keys that are beside it.
func open(dir string, off bool, replay func(vault.Record) error) (*vault.Vault, *disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	keys, err := soft.OpenOrCreate(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, nil, err
	}
	fs, err := vault.OpenDir(filepath.Join(dir, "vault"))
	if err != nil {
		return nil, nil, err
	}
	d := &disk{FS: fs, off: off}
	v, err := vault.Open(vault.Config{FS: d, Keystore: keys, Device: ident.Device{1}}, replay)
	return v, d, err
}

func nothing(vault.Record) error { return nil }

// Vault is where and by which clock a vault is measured.
type Vault struct {
	Dir string           // an empty folder, or none yet
	Now func() time.Time // the clock of whoever waits
}

// Appended is what writers did.
type Appended struct {
	Appends int           // commits that returned
	Syncs   int           // for them
	Took    time.Duration // all of them, by the wall clock
	Median  time.Duration // one commit, as its caller sees it
}

// Rate is how many commits returned in a second.
func (a Appended) Rate() float64 { return float64(a.Appends) / a.Took.Seconds() }

// Add adds what is counted.
func (a *Appended) Add(b Appended) {
	a.Appends, a.Syncs, a.Took = a.Appends+b.Appends, a.Syncs+b.Syncs, a.Took+b.Took
}

// Append lets writers commit one play after the other, each, for a time.
func (b Vault) Append(ctx context.Context, writers int, d time.Duration) (Appended, error) {
	v, fs, err := open(b.Dir, false, nothing)
	if err != nil {
		return Appended{}, err
	}
	if err := v.Commit(true, play(0, 1)...); err != nil { // a new segment
		return Appended{}, err
	}
	before := fs.syncs.Load()
	start := b.Now()
	waits, errs := make([][]time.Duration, writers), make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for now := start; errs[w] == nil && now.Sub(start) < d; {
				errs[w] = ctx.Err()
				if errs[w] == nil {
					errs[w] = v.Commit(true, play(len(waits[w]), 100)...)
				}
				then := b.Now()
				waits[w], now = append(waits[w], then.Sub(now)), then
			}
		})
	}
	wg.Wait()
	out := Appended{Took: b.Now().Sub(start), Syncs: int(fs.syncs.Load() - before)}
	all := slices.Concat(waits...)
	slices.Sort(all)
	out.Appends, out.Median = len(all), all[len(all)/2]
	for _, err := range append(errs, v.Close()) {
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// Recover fills a vault with records, one a batch, and measures how long
// opening it takes. Filling leaves the syncs out; the files are the same.
func (b Vault) Recover(ctx context.Context, records int) (time.Duration, error) {
	v, _, err := open(b.Dir, true, nothing)
	if err != nil {
		return 0, err
	}
	for n := range records {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := v.Commit(true, play(n, records)[0]); err != nil {
			return 0, err
		}
	}
	if err := v.Close(); err != nil {
		return 0, err
	}
	found := 0
	start := b.Now()
	v, _, err = open(b.Dir, false, func(vault.Record) error { found++; return nil })
	took := b.Now().Sub(start)
	if err != nil {
		return 0, err
	}
	if found != records {
		return 0, fmt.Errorf("%d records were recovered, of %d", found, records)
	}
	return took, v.Close()
}

// Played is what many plays leave.
type Played struct {
	Bytes       int64 // of the log, after the last
	Most        int64 // of the log, at any time
	Snapshot    int64 // of the records that rebuild the state, all together
	Compactions int
	Took        time.Duration
}

// Play commits plays of some licenses, and compacts as a module does. Syncs are
// left out: they do not change what is in the files.
func (b Vault) Play(ctx context.Context, plays, licenses int) (p Played, err error) {
	v, _, err := open(b.Dir, true, nothing)
	if err != nil {
		return p, err
	}
	last := make(map[int]vault.Record, licenses)
	start := b.Now()
	for n := range plays {
		if err := ctx.Err(); err != nil {
			return p, err
		}
		recs := play(n, licenses)
		if err := v.Commit(true, recs...); err != nil {
			return p, err
		}
		last[n%licenses] = recs[0]
		if !v.Grown() {
			continue
		}
		p.Compactions++
		if p.Bytes, err = size(b.Dir); err != nil {
			return p, err
		}
		p.Most = max(p.Most, p.Bytes)
		snapshot := []vault.Record{recs[1]}
		for i := range min(licenses, n+1) {
			snapshot = append(snapshot, last[i])
		}
		if err := v.Compact(snapshot); err != nil {
			return p, err
		}
		if p.Snapshot, err = size(b.Dir); err != nil {
			return p, err
		}
	}
	p.Took = b.Now().Sub(start)
	if p.Bytes, err = size(b.Dir); err != nil {
		return p, err
	}
	p.Most = max(p.Most, p.Bytes)
	return p, v.Close()
}
