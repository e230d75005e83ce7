package issuer

import (
	"container/heap"
	"time"
)

// waiters remembers wrongKnown keys and until when each waits. For one more, the one goes
// that is free again first. That costs as many steps as a heap has levels, 12 of
// wrongKnown. The zero value is ready. It is not safe for concurrent use.
type waiters[K comparable] struct {
	by    map[K]*waiter[K]
	first free[K]
}

type waiter[K comparable] struct {
	key   K
	n     int // backoff's: wrong ones in a row
	until time.Time
	at    int // in free.list
}

// until is when a key is free; the zero time of one that is not known.
func (w *waiters[K]) until(k K) time.Time {
	if x := w.by[k]; x != nil {
		return x.until
	}
	return time.Time{}
}

// of finds a key, or puts it in the place of another; it is free now.
func (w *waiters[K]) of(k K, now time.Time) *waiter[K] {
	if x := w.by[k]; x != nil {
		return x
	}
	if w.by == nil {
		w.by = map[K]*waiter[K]{}
	}
	if len(w.by) >= wrongKnown {
		delete(w.by, w.first.list[0].key)
		heap.Pop(&w.first)
	}
	x := &waiter[K]{key: k, until: now}
	w.by[k] = x
	heap.Push(&w.first, x)
	return x
}

// set has a key wait until another time.
func (w *waiters[K]) set(x *waiter[K], until time.Time) {
	x.until = until
	heap.Fix(&w.first, x.at)
}

// free is a heap: who is free again first is on top.
type free[K comparable] struct {
	list  []*waiter[K]
	steps int // comparisons so far, which a test counts
}

func (f *free[K]) Len() int { return len(f.list) }

func (f *free[K]) Less(i, j int) bool {
	f.steps++
	return f.list[i].until.Before(f.list[j].until)
}

func (f *free[K]) Swap(i, j int) {
	f.list[i], f.list[j] = f.list[j], f.list[i]
	f.list[i].at, f.list[j].at = i, j
}

// Push adds a *waiter[K], for container/heap.
func (f *free[K]) Push(x any) {
	w := x.(*waiter[K]) //nolint:errcheck,forcetypeassert // waiters.of gives it
	w.at = len(f.list)
	f.list = append(f.list, w)
}

// Pop takes the last one, for container/heap.
func (f *free[K]) Pop() any {
	last := len(f.list) - 1
	w := f.list[last]
	f.list[last] = nil
	f.list = f.list[:last]
	return w
}
