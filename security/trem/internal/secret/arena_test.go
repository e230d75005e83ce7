package secret

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/needs"
)

func key(t *testing.T, n uint32) cenc.ContentKey {
	t.Helper()
	b := bytes.Repeat([]byte{0x5a}, cenc.KeySize)
	binary.BigEndian.PutUint32(b, n)
	k, err := cenc.NewContentKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// arena makes one of a kind that this kernel may not have.
func arena(t *testing.T, kind Kind) *Arena {
	t.Helper()
	a := &Arena{kind: kind}
	if err := a.grow(); err != nil {
		needs.NotRun(t, err.Error())
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// TestArena_KeepsEveryKey fills more than one slab: what goes in comes out, and
// copies of a key follow it.
func TestArena_KeepsEveryKey(t *testing.T) {
	for _, kind := range []Kind{Locked, Secret} {
		t.Run(fmt.Sprint("kind ", kind), func(t *testing.T) {
			a := arena(t, kind)
			const n = slab/cenc.KeySize + 10
			keys := make([]cenc.ContentKey, n)
			for i := range keys {
				keys[i] = key(t, uint32(i))
				a.Keep(keys[i])
			}
			if a.Kept() != n {
				t.Errorf("%d keys are kept, want %d", a.Kept(), n)
			}
			for i, k := range keys {
				b, err := k.Reveal()
				if err != nil || binary.BigEndian.Uint32(b[:]) != uint32(i) || b[5] != 0x5a {
					t.Fatalf("key %d is %x, %v", i, b, err)
				}
				if !k.Equal(key(t, uint32(i))) {
					t.Fatalf("key %d is no longer itself", i)
				}
			}
			runtime.KeepAlive(keys)
		})
	}
}

// TestArena_GivesBackWhatNobodyHolds drops keys: their places are overwritten
// and taken again.
func TestArena_GivesBackWhatNobodyHolds(t *testing.T) {
	a := arena(t, Locked)
	func() {
		for i := range 100 {
			a.Keep(key(t, uint32(i)))
		}
	}()
	for range 200 {
		runtime.GC()
		if a.Kept() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if a.Kept() != 0 {
		t.Fatalf("%d keys are still kept", a.Kept())
	}
	if bytes.Contains(a.slabs[0], bytes.Repeat([]byte{0x5a}, 12)) {
		t.Error("a dropped key was not overwritten")
	}
}

// TestArena_AKeyIsFoundAfterClose: that the collector finds a key when its arena is
// closed harms nobody.
func TestArena_AKeyIsFoundAfterClose(t *testing.T) {
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(100) {
		a.Keep(key(t, i))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	found := make(chan struct{})
	runtime.AddCleanup(new([64]byte), func(int) { close(found) }, 0)
	for {
		runtime.GC()
		select {
		case <-found: // and with it the keys, which were lost before
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// TestArena_NobodyElseReadsIt reads the arena's pages through /proc/self/mem,
// which is how an administrator does it: the lesser kind is read, the better is not.
func TestArena_NobodyElseReadsIt(t *testing.T) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		needs.NotRun(t, err.Error())
	}
	defer mem.Close()
	for _, tc := range []struct {
		kind  Kind
		reads bool
	}{{Locked, true}, {Secret, false}} {
		t.Run(fmt.Sprint("kind ", tc.kind), func(t *testing.T) {
			a := arena(t, tc.kind)
			k := key(t, 7)
			a.Keep(k)
			got := make([]byte, slab)
			_, err := mem.ReadAt(got, int64(uintptr(unsafe.Pointer(&a.slabs[0][0]))))
			found := bytes.Contains(got, bytes.Repeat([]byte{0x5a}, 12))
			if found != tc.reads {
				t.Errorf("found %v, want %v (%v)", found, tc.reads, err)
			}
			runtime.KeepAlive(k.Valid())
		})
	}
}

// TestArena_Nil is a module without an arena: keys stay where they are.
func TestArena_Nil(t *testing.T) {
	var a *Arena
	k := key(t, 1)
	a.Keep(k)
	if !k.Equal(key(t, 1)) || a.Kept() != 0 || a.Close() != nil {
		t.Error("a nil arena does something")
	}
}

// TestArena_TheLimitIsNoEnd: when nothing more may be locked, keys stay on the heap.
func TestArena_TheLimitIsNoEnd(t *testing.T) {
	a := arena(t, Locked)
	a.free, a.kind = nil, 99 // the next slab cannot be had
	k := key(t, 3)
	a.Keep(k)
	if !k.Equal(key(t, 3)) {
		t.Error("the key is lost")
	}
}

func TestArena_ZeroKeyIsNotKept(t *testing.T) {
	a := arena(t, Locked)
	a.Keep(cenc.ContentKey{})
	if a.Kept() != 0 {
		t.Error("no key was kept")
	}
}
