package secret

import (
	"errors"
	"sync"

	"github.com/lares-drm/lares/content/cenc"
)

// slab is how many bytes are asked of the kernel at a time: 1,024 keys. It
// counts against the limit of locked memory, which is 64 KiB on old systems and
// 8 MiB on newer ones. Source: local.
const slab = 1024 * cenc.KeySize

// Kind is what an arena is made of.
type Kind uint8

// The kinds, the better one last.
const (
	// Locked is ordinary memory that is not swapped, dumped or inherited.
	Locked Kind = 1
	// Secret is memory that the kernel itself has no map of.
	Secret Kind = 2
)

// errFull says that the limit of locked memory is reached.
var errFull = errors.New("secret: no more memory may be locked")

// Arena is memory for keys. It is safe for concurrent use, because keys that
// nobody holds any more are given back by the garbage collector. The nil Arena
// keeps nothing: keys stay where they are.
type Arena struct {
	kind Kind
	why  error // of a Locked arena: what the better kind lacks

	mu    sync.Mutex
	slabs [][]byte
	free  []*[cenc.KeySize]byte
	kept  int
}

// New makes an arena of the best kind that this kernel has. Its error says that
// there is not even the lesser one.
func New() (*Arena, error) {
	a := &Arena{kind: Secret}
	err := a.grow()
	if err == nil {
		return a, nil
	}
	a.kind, a.why = Locked, err
	return a, a.grow()
}

// Kind is what the arena is made of, and why it is no better.
func (a *Arena) Kind() (Kind, error) { return a.kind, a.why }

// Kept is how many keys are in the arena now.
func (a *Arena) Kept() int {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept
}

// Keep moves a key into the arena, for every holder of it. When the limit of
// locked memory is reached the key stays where it is: a house that has more keys
// than it may lock goes on playing.
func (a *Arena) Keep(k cenc.ContentKey) {
	if a == nil {
		return
	}
	room, err := a.take()
	if err != nil {
		return
	}
	if !k.MoveTo(room, func() { a.give(room) }) {
		a.give(room)
	}
}

func (a *Arena) take() (*[cenc.KeySize]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		if err := a.grow(); err != nil {
			return nil, err
		}
	}
	room := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	a.kept++
	return room, nil
}

// give takes a room back. The collector may find a key after Close, when its room
// is a page of nobody's.
func (a *Arena) give(room *[cenc.KeySize]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slabs == nil {
		return
	}
	clear(room[:])
	a.free = append(a.free, room)
	a.kept--
}

// grow takes another slab.
func (a *Arena) grow() error {
	b, err := pages(a.kind, slab)
	if err != nil {
		return err
	}
	a.slabs = append(a.slabs, b)
	for ; len(b) >= cenc.KeySize; b = b[cenc.KeySize:] {
		a.free = append(a.free, (*[cenc.KeySize]byte)(b))
	}
	return nil
}

// Close gives every page back to the kernel. No key of the arena may be used
// after it.
func (a *Arena) Close() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all error
	for _, b := range a.slabs {
		clear(b)
		all = errors.Join(all, unmap(b))
	}
	a.slabs, a.free = nil, nil
	return all
}
