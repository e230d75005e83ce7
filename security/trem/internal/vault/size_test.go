package vault

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
)

// TestVault_CoreIsSmall counts lines that are neither empty nor a comment. The
// core is what decides whether something is lost: opening, committing,
// compacting, the anchor. Beside it stand what a segment looks like
// (segment.go), the directory of an operating system (fs.go, lock_*.go), and
// copies of a log, by which a module heals (copy.go).
func TestVault_CoreIsSmall(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	core, edges, copies := 0, 0, 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		n := 0
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				n++
			}
		}
		if name == "copy.go" {
			copies += n
		} else if name == "segment.go" || name == "fs.go" || strings.HasPrefix(name, "lock_") {
			edges += n
		} else {
			core += n
		}
	}
	t.Logf("%d lines, %d at the edges, and %d of copies", core, edges, copies)
	if core > 640 || edges > 300 || copies > 120 {
		t.Errorf("the core has %d lines, about 600 were wanted; its edges %d, of 300", core, edges)
	}
}

// TestVault_4_SizeIsBounded runs more plays than a compaction is due for, and
// holds the log against the bound of docs/spec/vault.md at every moment.
func TestVault_4_SizeIsBounded(t *testing.T) {
	f := newCrashFS()
	cfg := Config{FS: f, Keystore: newKeystore(t), Device: device}
	v, _ := reopen(t, cfg)
	play := Record{Kind: 8, Body: bytes.Repeat([]byte{1}, 8000)}
	batch := int64(8000 + 200)
	compactions := 0
	for _, licenses := range []int{10, 300} { // a snapshot of less than 1 MiB, and of more
		snapshot := make([]Record, licenses)
		for i := range snapshot {
			snapshot[i] = play
		}
		for range 1000 {
			commit(t, v, false, play)
			if size, bound := total(f), max(2*v.base, v.base+minGrowth)+batch; size > bound || size != v.size {
				t.Fatalf("%d bytes, counted as %d, at most %d", size, v.size, bound)
			}
			if v.Grown() {
				compactions++
				if err := v.Compact(snapshot); err != nil {
					t.Fatal(err)
				}
			}
		}
		shut(t, v)
		v, _ = reopen(t, cfg)
		if v.size != total(f) || v.base < int64(licenses*8000) || v.base > int64(licenses*8000+licenses*100+4096) {
			t.Errorf("opened: %d bytes, of them %d the snapshot; want %d and about %d", v.size, v.base, total(f), licenses*8000)
		}
	}
	if compactions < 8 || compactions > 14 {
		t.Errorf("%d compactions of 16 MB", compactions)
	}
	for v.Segments() < maxSegments { // openings grow it, too
		if v.Grown() {
			t.Fatalf("due at %d segments", v.Segments())
		}
		commit(t, v, false, rec(1))
		shut(t, v)
		v, _ = reopen(t, cfg)
	}
	if !v.Grown() {
		t.Errorf("not due at %d segments", v.Segments())
	}
	shut(t, v)
}

func total(f *crashFS) (n int64) {
	for _, node := range f.live() {
		n += int64(len(node.data))
	}
	return n
}

// TestVault_3_RecoveryOf100000Records holds the design's bar, in a folder.
func TestVault_3_RecoveryOf100000Records(t *testing.T) {
	needs.Long(t)
	f := newCrashFS()
	k := newKeystore(t)
	v, _ := reopen(t, Config{FS: f, Keystore: k, Device: device})
	for n := range 100_000 {
		commit(t, v, n%2 == 0, Record{Kind: 8, Body: fmt.Appendf(nil, "%090d", n)})
	}
	shut(t, v)
	dir := filepath.Join(t.TempDir(), "vault")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range imageOf(f) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	least := time.Hour
	for try := 0; try < 10 && least > time.Second; try++ { // the machine may be busy
		n := 0
		start := time.Now()
		v, err := Open(Config{Dir: dir, Keystore: k, Device: device}, func(Record) error { n++; return nil })
		took := time.Since(start)
		if err != nil || n != 100_000 {
			t.Fatalf("%d records, %v", n, err)
		}
		shut(t, v)
		least = min(least, took)
	}
	t.Logf("%v", least)
	if least > time.Second {
		t.Errorf("recovery took %v, at most 1 s", least)
	}
}
