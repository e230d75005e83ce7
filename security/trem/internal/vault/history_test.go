package vault

import (
	"path/filepath"
	"testing"
)

// The hash after each batch that was read or written is known, and what an
// earlier opening has said of it still holds.
func TestVault_1_HashesOfThePast(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "vault"), Keystore: newKeystore(t), Device: device}
	said := map[uint64][32]byte{}
	for range 3 {
		v, _ := reopen(t, cfg)
		for i := range 4 {
			ctr, h := v.Head()
			said[ctr] = h
			commit(t, v, false, rec(i))
		}
		for ctr, want := range said {
			if h, known := v.HashAt(ctr); !known || h != want {
				t.Errorf("after batch %d: %x, known %v, want %x", ctr, h, known, want)
			}
		}
		now, _ := v.Head()
		if _, known := v.HashAt(now + 1); known {
			t.Error("the future is known")
		}
		shut(t, v)
	}
	v, _ := reopen(t, cfg)
	if err := v.Compact([]Record{rec(1)}); err != nil {
		t.Fatal(err)
	}
	ctr, h := v.Head()
	shut(t, v)
	v, _ = reopen(t, cfg)
	defer shut(t, v)
	if got, known := v.HashAt(ctr); !known || got != h {
		t.Errorf("after the compaction: %x, known %v", got, known)
	}
	if _, known := v.HashAt(1); known {
		t.Error("a batch that was compacted away is known")
	}
}
