package module_test

import (
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// kemKey is the length in bytes of an ML-KEM-768 encapsulation key, which is in the
// first message of the hybrid suite and in no other. Source: FIPS 203, table 3.
const kemKey = 1184

// A phone: it asks in the hybrid suite, sleeps, and is away for thirty days and more.
// What was bought plays all the time; what is new comes when it is home again.
func TestProfile_PhoneAwayForThirtyDays(t *testing.T) {
	h := newHouse(t)
	film, other := h.stock(cenc.SchemeCENC, ownFilm), ident.Content("test-another")
	h.stock(cenc.SchemeCENC, other)
	h.must(h.pair(h.phone))
	h.wantKinds(h.buy(ownFilm, h.sell(purchase, ownFilm)), trem.EventInstalled)
	n := len(h.wire)
	h.wantKinds(h.get(h.phone, ownFilm, 0), trem.EventInstalled)
	if first := len(h.wire[n]); first <= kemKey {
		t.Errorf("the first message has %d bytes: it is not of the hybrid suite", first)
	}
	begun := h.now
	watch := func() {
		t.Helper()
		if _, err := h.phone.play(film, content.SD, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal}, 0); err != nil {
			t.Errorf("after %v: %v", h.now.Sub(begun), err)
		}
	}
	for range 6 { // it sleeps for five days, wakes up without anybody, and plays
		h.pass(5 * 24 * time.Hour)
		h.phone.restart()
		watch()
	}
	h.pass(24 * time.Hour) // the membership has lapsed; what was bought does not ask for it
	watch()
	h.wantKinds(h.buy(other, h.sell(purchase, other)), trem.EventInstalled)
	h.learn(h.phone) // home again
	h.learn(h.home)
	h.must(h.pair(h.phone)) // renewed in the house's network: its place and its index stay
	h.wantKinds(h.get(h.phone, other, 0), trem.EventInstalled)
	if got := h.generation(); got != 1 {
		t.Errorf("generation %d: a renewal puts nobody out", got)
	}
}

// A service in a data center: one process plays for many households at once, with a
// vault for each. What one house holds plays for it alone, and what one house does to
// its service touches no other.
func TestProfile_CloudManyHouseholdsInOneProcess(t *testing.T) {
	const households = 4
	var all []*house
	var films []*stuff
	for range households {
		h := newHouse(t)
		films = append(films, h.stock(cenc.SchemeCENC, ownFilm))
		h.must(h.pair(h.tablet))
		h.wantKinds(h.buy(ownFilm, h.sell(purchase, ownFilm)), trem.EventInstalled)
		h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventInstalled)
		all = append(all, h)
	}
	play := func(h, of int) error {
		_, err := all[h].tablet.play(films[of], content.SD, trem.Ask{Content: ownFilm, Action: 1, Output: trem.OutputInternal}, 0)
		return err
	}
	var wg sync.WaitGroup
	for n := range households {
		wg.Go(func() {
			for range 3 {
				if err := play(n, n); err != nil {
					t.Errorf("household %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	for n := range households {
		if err := play(n, (n+1)%households); err == nil {
			t.Errorf("household %d plays another's film", n)
		}
	}
	h := all[0]
	h.must(h.home.Remove(t.Context(), h.tablet.id))
	h.wantKinds(h.get(h.tablet, ownFilm, 0), trem.EventRefused)
	for n := 1; n < households; n++ {
		all[n].wantKinds(all[n].get(all[n].tablet, ownFilm, 0), trem.EventInstalled)
	}
}
