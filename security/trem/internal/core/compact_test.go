package core

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore/soft"
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
