package core

import (
	"bytes"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/keystore/soft"
)

// FuzzHealCopy gives a module copies of its log that are anything: one that opens
// says the same as the log it is of, and the module's own log never moves.
func FuzzHealCopy(f *testing.F) {
	dir := f.TempDir()
	keys, err := soft.Create(dir)
	if err != nil {
		f.Fatal(err)
	}
	c, err := Open(Config{Dir: dir, Keystore: keys, BuildMS: start}, at(start, 0, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	for range 3 {
		if err := c.commit(kindClock, c.clock); err != nil {
			f.Fatal(err)
		}
	}
	segments, err := c.vault.Copy()
	if err != nil {
		f.Fatal(err)
	}
	whole, err := wire.Marshal(segments)
	if err != nil {
		f.Fatal(err)
	}
	ctr, h := c.vault.Head()
	f.Add(0, []byte{})
	f.Add(len(whole)/2, []byte{1})
	f.Add(7, []byte{0x80})
	f.Fuzz(func(t *testing.T, from int, change []byte) {
		in := bytes.Clone(whole) // the keys are new in each run: what varies is how the copy is damaged
		for i, b := range change {
			in[(max(from, 0)+i)%len(in)] ^= b
		}
		other, err := c.openCopy(in, at(start, 0, 1))
		if err == nil {
			if n, hash := other.vault.Head(); bytes.Equal(in, whole) && (n != ctr || hash != h) || n > ctr {
				t.Errorf("a copy of %d batches opens with %d", ctr, n)
			}
			_ = other.Close()
		}
		if _, err := c.openCopy(change, at(start, 0, 1)); err == nil {
			t.Errorf("%x is a copy", change)
		}
		if n, hash := c.vault.Head(); n != ctr || hash != h {
			t.Fatal("the log has moved")
		}
	})
}
