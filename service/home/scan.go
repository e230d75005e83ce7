package home

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// scan is the first look at every folder of the library after a start. It takes
// about 0.1 ms a title, so that no start waits for it: Run does it, or else who is
// the first that needs all titles. A folder on a disk that is away is passed over
// and comes back with the next start.
type scan struct {
	mu    sync.Mutex // held by who looks
	next  int        // guarded by mu: of library.paths, which does not change before the end
	ended atomic.Bool
}

// look reads the folders that nobody has read, and returns when all were read, by
// this caller or by another one. When ctx ends, the next caller goes on.
func (l *library) look(ctx context.Context) error {
	l.scan.mu.Lock()
	defer l.scan.mu.Unlock()
	if l.scan.ended.Load() {
		return nil
	}
	l.mu.Lock()
	paths := l.paths
	l.mu.Unlock()
	for ; l.scan.next < len(paths); l.scan.next++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := readTitle(paths[l.scan.next])
		if err != nil {
			continue
		}
		l.mu.Lock()
		if !slices.ContainsFunc(l.titles, func(o *Title) bool { return o.Content == t.Content }) {
			l.titles = append(l.titles, t) // of two folders with one title the first
		}
		l.mu.Unlock()
	}
	l.scan.ended.Store(true)
	return nil
}

// whole is look for who has nothing to end it by.
func (l *library) whole() { _ = l.look(context.Background()) }

// Looking says how many titles were found since the start, and in how many folders
// they are looked for, while that is not done.
func (h *Home) Looking() (found, folders int, looking bool) {
	l := h.library
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.titles), len(l.paths), !l.scan.ended.Load()
}

// lookOnce is look for Run. The pages show what was found.
func (h *Home) lookOnce(ctx context.Context) error {
	if h.library.scan.ended.Load() {
		return nil
	}
	if err := h.library.look(ctx); err != nil {
		return err
	}
	h.publish(Event{Kind: EventLibrary})
	return nil
}
