package home

import (
	"context"
	"sync"
)

// The memory that this process has in common with its module: places for parts of
// segments. The module works on one at a time; a second is filled and a third taken
// out meanwhile. A part whose one sample is longer than a place goes through the
// stream. Source: local.
const (
	places     = 4
	placeBytes = 1 << 20
)

// desk is that memory. No player waits at it for another player, only for the module:
// what is done is copied before it is written to anybody.
type desk struct {
	once sync.Once
	free chan *place // nil: the module has no memory to share
}

// place is a part of the desk.
type place struct {
	mem []byte
	at  int // of it in the module's memory
}

// take waits for a place for so many bytes; nil where there is none for them.
func (d *desk) take(ctx context.Context, h *Home, size int) (*place, error) {
	d.once.Do(func() { d.lay(context.WithoutCancel(ctx), h) })
	if d.free == nil || size > placeBytes {
		return nil, nil
	}
	select {
	case p := <-d.free:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *desk) give(p *place) { d.free <- p }

// lay asks the module for its memory. A module that shares none, or whose stream
// cannot carry a file, is asked by payloads.
func (d *desk) lay(ctx context.Context, h *Home) {
	m, ok := h.cfg.Module.(Sharer)
	if !ok {
		return
	}
	mem, err := m.Buffer(ctx, places*placeBytes)
	if err != nil || len(mem) < places*placeBytes {
		return
	}
	d.free = make(chan *place, places)
	for i := range places {
		d.free <- &place{mem[i*placeBytes:][:placeBytes], i * placeBytes}
	}
}
