package issuer

import "time"

// Limits of showing wrong accounts. Source: local, docs/spec/lrp.md section 10.
const (
	wrongFree   = 5                // wrong ones that nobody waits for
	wrongFirst  = time.Second      // after a further one; each later one doubles it
	wrongLast   = 15 * time.Minute // the longest wait
	wrongForget = time.Hour        // after the wait, until all is forgiven
	wrongKnown  = 4096             // that are remembered
)

// backoff counts what is wrong by key and says how long that has to wait. Its memory
// is bounded: who has to wait longest is remembered longest. The zero value is ready.
// It is not safe for concurrent use.
type backoff[K comparable] struct{ by map[K]wrongs }

type wrongs struct {
	n     int
	until time.Time // when the next may come
}

// wait is how long a key has to wait; 0: not at all.
func (b *backoff[K]) wait(k K, now time.Time) time.Duration {
	return max(b.by[k].until.Sub(now), 0)
}

// wrong notes a wrong one.
func (b *backoff[K]) wrong(k K, now time.Time) {
	if b.by == nil {
		b.by = map[K]wrongs{}
	}
	w, known := b.by[k]
	switch {
	case !known && len(b.by) >= wrongKnown:
		b.forget(now)
	case known && now.Sub(w.until) >= wrongForget:
		w = wrongs{}
	}
	w.n++
	w.until = now.Add(pauseAfter(w.n))
	b.by[k] = w
}

// pauseAfter is the wait after so many wrong ones.
func pauseAfter(n int) time.Duration {
	d := wrongFirst
	for ; n > wrongFree+1 && d < wrongLast; n-- {
		d *= 2
	}
	if n <= wrongFree {
		return 0
	}
	return min(d, wrongLast)
}

// forget makes room: of what is forgiven, or else of who is free again first.
func (b *backoff[K]) forget(now time.Time) {
	var first K
	found := false
	for k, w := range b.by {
		if now.Sub(w.until) >= wrongForget {
			delete(b.by, k)
		} else if !found || w.until.Before(b.by[first].until) {
			first, found = k, true
		}
	}
	if len(b.by) >= wrongKnown {
		delete(b.by, first)
	}
}

// recent remembers wrongKnown things, those noted last. The zero value is ready. It
// is not safe for concurrent use.
type recent[K comparable] struct{ at map[K]time.Time }

func (r *recent[K]) has(k K) bool { _, ok := r.at[k]; return ok }

func (r *recent[K]) note(k K, now time.Time) {
	if r.at == nil {
		r.at = map[K]time.Time{}
	}
	if !r.has(k) && len(r.at) >= wrongKnown {
		var oldest K
		found := false
		for o, at := range r.at {
			if !found || at.Before(r.at[oldest]) {
				oldest, found = o, true
			}
		}
		delete(r.at, oldest)
	}
	r.at[k] = now
}
