package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lares-drm/lares/license/ident"
)

// What comes while a group is served is the next one, two of a household are not in
// groups of the same time, and whoever goes away before his turn is not served.
func TestGatherer_Spec1_GroupsOfDifferentHouseholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		now := map[ident.Domain]bool{}
		first, others := make(chan struct{}), make(chan struct{})
		g := newGatherer(2, func(group []*asked[int, int]) {
			mu.Lock()
			sizes = append(sizes, len(group))
			for _, a := range group {
				if now[a.domain] {
					t.Errorf("household %v is served twice at once", a.domain)
				}
				now[a.domain] = true
				a.answer = 10 * a.question
			}
			mu.Unlock()
			if group[0].question == 1 {
				<-first
			}
			<-others
			mu.Lock()
			defer mu.Unlock()
			for _, a := range group {
				delete(now, a.domain)
			}
		})
		var wg sync.WaitGroup
		ask := func(ctx context.Context, home byte, q int, want error) {
			wg.Go(func() {
				if got, err := g.ask(ctx, ident.Domain{home}, q); !errors.Is(err, want) || err == nil && got != 10*q {
					t.Errorf("household %d asked %d: %d, %v, want %v", home, q, got, err, want)
				}
			})
			synctest.Wait()
		}
		ask(t.Context(), 1, 1, nil) // serves itself
		ask(t.Context(), 2, 2, nil)
		gone, leave := context.WithCancel(t.Context())
		ask(gone, 3, 3, context.Canceled)
		ask(t.Context(), 1, 4, nil) // waits for the first one
		for n := range maxGroup + 6 {
			ask(t.Context(), byte(10+n), n, nil)
		}
		leave()
		synctest.Wait()
		close(others) // the second one is served, and whoever waits for nobody of his household
		synctest.Wait()
		close(first)
		wg.Wait()
		g.close()
		if want := []int{1, 1, maxGroup, 6, 1}; !slices.Equal(sizes, want) {
			t.Errorf("groups of %v, want %v", sizes, want)
		}
		if _, err := g.ask(t.Context(), ident.Domain{1}, 1); !errors.Is(err, ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}
