package core

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore/soft"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// grown is a module whose log is due for a compaction.
func grown(t *testing.T) (*Core, Config) {
	t.Helper()
	keys, err := soft.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: t.TempDir(), Keystore: keys, BuildMS: start}
	c, err := Open(cfg, at(start, minute, 1))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := newRecord(kindClock, c.clock)
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]vault.Record, 1000)
	for i := range batch {
		batch[i] = rec
	}
	for !c.vault.Grown() {
		if err := c.write(false, batch...); err != nil {
			t.Fatal(err)
		}
	}
	return c, cfg
}

func status(t *testing.T, c *Core) error {
	t.Helper()
	header, err := wire.Marshal([]any{1, trem.CmdStatus, trem.None{}})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.Do(trem.Message{Header: header}, at(start, minute, 1))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		_      struct{} `cbor:",toarray"`
		Status uint
		Body   wire.RawMessage
	}
	if err := wire.Unmarshal(reply.Header, &r, recordLimit); err != nil {
		t.Fatal(err)
	}
	if r.Status == 0 {
		return nil
	}
	var e trem.Error
	if err := wire.Unmarshal(r.Body, &e, recordLimit); err != nil {
		t.Fatal(err)
	}
	return &e
}

func logBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "vault"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestVault_4_AModuleCompactsWhileItRuns: before the next command, and what it
// knows stays.
func TestVault_4_AModuleCompactsWhileItRuns(t *testing.T) {
	c, cfg := grown(t)
	before, clock := logBytes(t, cfg.Dir), c.clock
	if err := status(t, c); err != nil {
		t.Fatal(err)
	}
	if now := logBytes(t, cfg.Dir); before < 1<<20 || now > 4096 || c.vault.Grown() {
		t.Errorf("the log has %d bytes after %d", now, before)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(cfg, at(start, minute, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // read only by then
	if c.clock != clock {
		t.Errorf("the clock is %+v, was %+v", c.clock, clock)
	}
}

// TestVault_4_AModuleThatIsUnsureDoesNotCompact: what is in memory may not be
// what the log says.
func TestVault_4_AModuleThatIsUnsureDoesNotCompact(t *testing.T) {
	c, cfg := grown(t)
	before := logBytes(t, cfg.Dir)
	c.unsure = true
	if err := status(t, c); err != nil {
		t.Fatal(err)
	}
	if now := logBytes(t, cfg.Dir); now != before {
		t.Errorf("the log has %d bytes after %d", now, before)
	}
	c.unsure = false
	if err := c.vault.Close(); err != nil { // a store that fails
		t.Fatal(err)
	}
	var e *trem.Error
	if err := status(t, c); !errors.As(err, &e) || e.Code != trem.CodeBroken || c.Failed() == nil {
		t.Errorf("a compaction failed: %v, want CodeBroken", err)
	}
}

// TestTransfer_2_WhatCameAndWentIsForgotten: a title that goes to and fro leaves
// nothing that grows; what is open, or is here, is remembered.
func TestTransfer_2_WhatCameAndWentIsForgotten(t *testing.T) {
	c, _, _ := onCounted(t)
	here, gone, inc := [32]byte{1}, [32]byte{2}, ident.Incarnation{3}
	c.held[here] = nil
	tid := func(src byte, seq uint64) ident.Transfer {
		return ident.Transfer{Src: ident.Device{src}, Dst: c.self, Incarnation: inc, Seq: seq}
	}
	for seq := range uint64(1000) {
		c.came[tid(1, seq+1)], c.came[tid(2, seq+1)] = here, gone
	}
	c.came[tid(4, 7)] = here // by another way
	body, err := transfer.Body{Op: transfer.OpMove, Chain: [][]byte{{1}}, State: []byte{1}, Bundle: []byte{1}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := transfer.NewSource(ident.Device{5}, inc).Prepare(transfer.Order{Dst: c.self, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := c.dest.Receive(x, func(*transfer.Body) error { return nil }); err != nil || !res.Installed {
		t.Fatalf("%+v, %v", res, err)
	}
	c.came[x.TID] = gone // it is not closed
	c.forgetCame()
	want := map[ident.Transfer][32]byte{tid(1, 1000): here, tid(4, 7): here, x.TID: gone}
	if d := cmp.Diff(want, c.came); d != "" {
		t.Error(d)
	}
}
