package store

import (
	"context"
	"slices"
	"sync"

	"github.com/lares-drm/lares/license/ident"
)

// maxGroup is how many callers share one transaction; it bounds how long the first
// of them waits.
const maxGroup = 64

// asked is what one caller wants, and what becomes of it.
type asked[Q, A any] struct {
	domain   ident.Domain
	question Q
	done     chan struct{}
	answer   A     // set before done is closed, like err
	err      error // errAlone: whoever asks does it himself
}

// gatherer serves in one step what several households ask for at the same time:
// what comes while a group is served is the next group. Two of a household are never
// served at once, so that groups do not wait for each other's rows.
type gatherer[Q, A any] struct {
	serve func([]*asked[Q, A]) // sets answer and err of each
	most  int                  // groups that are served at once

	mu      sync.Mutex
	wg      sync.WaitGroup        // of the leaders
	queue   []*asked[Q, A]        // guarded by mu, like all below
	busy    map[ident.Domain]bool // households that are being served
	leaders int
	shut    bool
}

func newGatherer[Q, A any](most int, serve func([]*asked[Q, A])) *gatherer[Q, A] {
	return &gatherer[Q, A]{serve: serve, most: most, busy: map[ident.Domain]bool{}}
}

// ask waits for the answer. Whoever goes away before his turn is not served; after
// that only the answer says what happened.
func (g *gatherer[Q, A]) ask(ctx context.Context, domain ident.Domain, q Q) (A, error) {
	a := &asked[Q, A]{domain: domain, question: q, done: make(chan struct{})}
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return a.answer, ErrClosed
	}
	g.queue = append(g.queue, a)
	if g.leaders < g.most {
		g.leaders++
		g.wg.Go(g.lead)
	}
	g.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
		if g.leave(a) {
			return a.answer, ctx.Err()
		}
		<-a.done
	}
	return a.answer, a.err
}

// leave takes somebody out of the queue who is still in it.
func (g *gatherer[Q, A]) leave(a *asked[Q, A]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.queue, a)
	if at >= 0 {
		g.queue = slices.Delete(g.queue, at, at+1)
	}
	return at >= 0
}

// lead serves groups until nobody waits. Who waits for another group of his
// household is served by whoever leads that one.
func (g *gatherer[Q, A]) lead() {
	for group := g.next(nil); len(group) > 0; group = g.next(group) {
		g.serve(group)
		for _, a := range group {
			close(a.done)
		}
	}
}

// next ends a group and begins another one, in the order in which they came.
func (g *gatherer[Q, A]) next(last []*asked[Q, A]) (group []*asked[Q, A]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range last {
		delete(g.busy, a.domain)
	}
	rest := g.queue[:0]
	for _, a := range g.queue {
		if len(group) == maxGroup || g.busy[a.domain] {
			rest = append(rest, a)
			continue
		}
		g.busy[a.domain] = true
		group = append(group, a)
	}
	clear(g.queue[len(rest):])
	g.queue = rest
	if len(group) == 0 {
		g.leaders--
	}
	return group
}

// close waits for everybody who was let in.
func (g *gatherer[Q, A]) close() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.wg.Wait()
}
