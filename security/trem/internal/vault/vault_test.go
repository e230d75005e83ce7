package vault

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/keystore"
	"github.com/lares-drm/lares/security/keystore/soft"
)

var device = ident.Device{0xde, 0x01}

func newKeystore(t testing.TB) keystore.Keystore {
	t.Helper()
	k, err := soft.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// log collects what a vault replays.
type log []Record

func (l *log) add(r Record) error {
	*l = append(*l, r)
	return nil
}

func rec(n int) Record { return Record{Kind: uint8(n), Body: fmt.Appendf(nil, "record %d", n)} }

func reopen(t testing.TB, cfg Config) (*Vault, log) {
	t.Helper()
	var got log
	v, err := Open(cfg, got.add)
	if err != nil {
		t.Fatal(err)
	}
	return v, got
}

func commit(t testing.TB, v *Vault, anchored bool, recs ...Record) {
	t.Helper()
	if err := v.Commit(anchored, recs...); err != nil {
		t.Fatal(err)
	}
}

func shut(t testing.TB, v *Vault) {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestVault_1_ReplaysWhatWasCommitted(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "a", "vault"), Keystore: newKeystore(t), Device: device}
	var want log
	var ctr uint64
	var h [32]byte
	var inc ident.Incarnation
	for open := range 4 {
		v, got := reopen(t, cfg)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("open %d: %s", open, d)
		}
		c, hh := v.Head()
		if open > 0 && (c != ctr || hh != h || v.Incarnation() != inc) {
			t.Errorf("open %d: head %d %x, want %d %x", open, c, hh, ctr, h)
		}
		for i := range open { // the first open writes nothing, the last three batches
			batch := []Record{rec(10*open + i), {Kind: 9}}
			commit(t, v, i%2 == 0, batch...)
			want = append(want, batch[0], Record{Kind: 9, Body: []byte{}})
		}
		commit(t, v, true)
		ctr, h = v.Head()
		inc = v.Incarnation()
		shut(t, v)
	}
	if ctr != 1+0+1+2+3 {
		t.Errorf("%d batches, want 7", ctr)
	}
}

func TestVault_2_OneProcessAtATime(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Keystore: newKeystore(t), Device: device}
	v, _ := reopen(t, cfg)
	if _, err := Open(cfg, new(log).add); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
	shut(t, v)
	v, _ = reopen(t, cfg)
	shut(t, v)
	if err := v.Commit(true, rec(1)); err == nil {
		t.Error("a closed vault commits")
	}
}

func TestVault_3_OfOneKeystoreAndDevice(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Keystore: newKeystore(t), Device: device}
	v, _ := reopen(t, cfg)
	commit(t, v, true, rec(1))
	shut(t, v)
	for name, change := range map[string]func(*Config){
		"keystore": func(c *Config) { c.Keystore = newKeystore(t) },
		"device":   func(c *Config) { c.Device = ident.Device{1} },
	} {
		bad := cfg
		change(&bad)
		if _, err := Open(bad, new(log).add); !errors.Is(err, ErrKey) {
			t.Errorf("other %s: %v, want ErrKey", name, err)
		}
	}
	v, got := reopen(t, cfg)
	shut(t, v)
	if len(got) != 1 {
		t.Errorf("%d records after failed opens, want 1", len(got))
	}
}

func TestVault_6_CompactKeepsHeadAndIncarnation(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Keystore: newKeystore(t), Device: device}
	v, _ := reopen(t, cfg)
	inc := v.Incarnation()
	for i := range 5 {
		commit(t, v, true, rec(i))
	}
	var want log
	for i := range 3000 { // more than one batch
		want = append(want, rec(i))
	}
	if err := v.Compact(want); err != nil {
		t.Fatal(err)
	}
	commit(t, v, true, rec(7))
	ctr, h := v.Head()
	shut(t, v)
	v, got := reopen(t, cfg)
	defer shut(t, v)
	if d := cmp.Diff(append(want, rec(7)), got); d != "" {
		t.Error(d)
	}
	if c, hh := v.Head(); c != ctr || hh != h || v.Incarnation() != inc || v.Segments() != 1 || c != 1+5+3+1 {
		t.Errorf("head %d, %d segments", c, v.Segments())
	}
}

func TestVault_1_TooLargeIsNotBroken(t *testing.T) {
	v, _ := reopen(t, Config{Dir: t.TempDir(), Keystore: newKeystore(t), Device: device})
	defer shut(t, v)
	if err := v.Commit(true, make([]Record, maxRecs+1)...); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	if err := v.Commit(true, Record{Body: make([]byte, maxFrame)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	commit(t, v, true, rec(1))
}
