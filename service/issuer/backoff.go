package issuer

import (
	"container/list"
	"time"
)

// Limits of showing wrong accounts. Source: local, docs/spec/lrp.md section 10.
const (
	wrongFree   = 5                // wrong ones that nobody waits for
	wrongFirst  = time.Second      // after a further one; each later one doubles it
	wrongLast   = 15 * time.Minute // the longest wait
	wrongForget = time.Hour        // after the wait, until all is forgiven
	wrongKnown  = 4096             // that are remembered
)

// backoff counts what is wrong by key and says how long that has to wait. Its memory
// is bounded: who has to wait longest is remembered longest. The zero value is ready. It
// is not safe for concurrent use.
type backoff[K comparable] struct{ waiters waiters[K] }

// wait is how long a key has to wait; 0: not at all.
func (b *backoff[K]) wait(k K, now time.Time) time.Duration {
	return max(b.waiters.until(k).Sub(now), 0)
}

// wrong notes a wrong one.
func (b *backoff[K]) wrong(k K, now time.Time) {
	w := b.waiters.of(k, now)
	if now.Sub(w.until) >= wrongForget {
		w.n = 0
	}
	w.n++
	b.waiters.set(w, now.Add(pauseAfter(w.n)))
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

// recent remembers wrongKnown things, those noted last, at the same cost for any number
// of them. The zero value is ready. It is not safe for concurrent use.
type recent[K comparable] struct {
	at    map[K]*list.Element
	order list.List // of K; the one noted last in front
}

func (r *recent[K]) has(k K) bool { return r.at[k] != nil }

func (r *recent[K]) note(k K) {
	if r.at == nil {
		r.at = map[K]*list.Element{}
	}
	if e := r.at[k]; e != nil {
		r.order.MoveToFront(e)
		return
	}
	if len(r.at) >= wrongKnown {
		delete(r.at, r.order.Remove(r.order.Back()).(K)) //nolint:errcheck,forcetypeassert // a list of those
	}
	r.at[k] = r.order.PushFront(k)
}
