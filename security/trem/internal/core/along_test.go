package core

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// countedFS is a folder whose syncs are counted, and fail when they are told to.
type countedFS struct {
	vault.FS
	syncs int
	fails bool
}

type countedFile struct {
	vault.File
	fs *countedFS
}

func (d *countedFS) Create(name string) (vault.File, error) {
	f, err := d.FS.Create(name)
	return countedFile{f, d}, err
}

func (f countedFile) Sync() error {
	f.fs.syncs++
	if f.fs.fails {
		return errors.New("the disk is gone")
	}
	return f.File.Sync()
}

func onCounted(t *testing.T) (*Core, *countedFS, func() *Core) {
	t.Helper()
	keys, err := soft.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "vault")
	fs := &countedFS{}
	open := func() *Core {
		if fs.FS, err = vault.OpenDir(dir); err != nil {
			t.Fatal(err)
		}
		c, err := Open(Config{FS: fs, Keystore: keys, BuildMS: start}, at(start, minute, 1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return open(), fs, open
}

// noteFloor notes a later floor of the clock, in memory too.
func (c *Core) noteFloor(t *testing.T, lo int64) {
	t.Helper()
	c.clock.Lo = lo
	rec, err := newRecord(kindClock, c.clock)
	if err != nil {
		t.Fatal(err)
	}
	c.along(false, rec)
}

// TestVault_5_NotedIsDurableBeforeTheReply: with what a command writes, or with
// its end where it writes nothing; in one batch, and in its order.
func TestVault_5_NotedIsDurableBeforeTheReply(t *testing.T) {
	c, fs, open := onCounted(t)
	if err := status(t, c); err != nil { // the first batch makes a segment
		t.Fatal(err)
	}
	c.noteFloor(t, start+1)
	if err := status(t, c); err != nil {
		t.Fatal(err)
	}
	before, from := fs.syncs, c.batches()
	c.noteFloor(t, start+2)
	c.noteFloor(t, start+3)
	if err := status(t, c); err != nil {
		t.Fatal(err)
	}
	if n, batches := fs.syncs-before, c.batches()-from; n != 1 || batches != 1 || len(c.also.recs) != 0 {
		t.Errorf("%d syncs, %d batches, %d records wait still", n, batches, len(c.also.recs))
	}
	c.noteFloor(t, start+4)
	next := c.clock
	next.Lo = start + 5
	if err := c.commit(kindClock, next); err != nil {
		t.Fatal(err)
	}
	if n := fs.syncs - before; n != 2 {
		t.Errorf("%d syncs, want 2", n)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(); again.clock.Lo != start+5 {
		t.Errorf("the floor is %d after a restart, want %d", again.clock.Lo, start+5)
	}
}

func (c *Core) batches() uint64 { n, _ := c.vault.Head(); return n }

// TestVault_5_NotedAndTheDiskFails: the reply says so, and nothing else leaves.
func TestVault_5_NotedAndTheDiskFails(t *testing.T) {
	c, fs, open := onCounted(t)
	c.noteFloor(t, start+1)
	if err := status(t, c); err != nil {
		t.Fatal(err)
	}
	c.noteFloor(t, start+2)
	fs.fails = true
	for range 2 {
		if err := status(t, c); err == nil {
			t.Fatal("a reply left before what it follows from was durable")
		}
	}
	if c.Failed() == nil {
		t.Error("the module goes on")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	fs.fails = false
	if again := open(); again.clock.Lo != start+1 && again.clock.Lo != start+2 {
		t.Errorf("the floor is %d after a restart", again.clock.Lo)
	}
}
