package issuer

import (
	"net/netip"
	"sync"
	"time"

	"github.com/lares-drm/lares/internal/caller"
)

// Limits of guessing claim codes. Source: local, docs/spec/claim-code.md.
const (
	guessBurst = 10               // wrong codes from one network at once
	guessEvery = 30 * time.Second // and one more each
)

// guesses counts wrong claim codes by the network that they came from. The zero
// value is ready. Right codes cost nothing. For one network too many, the one is forgotten
// that has guessed least.
type guesses struct {
	mu   sync.Mutex
	free waiters[netip.Prefix] // guarded by mu; until all is forgiven
}

// may reports whether an address may show another code.
func (g *guesses) may(a netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.free.until(caller.Network(a)).Sub(now) <= (guessBurst-1)*guessEvery
}

// wrong notes a wrong code.
func (g *guesses) wrong(a netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.free.of(caller.Network(a), now)
	at := w.until
	if at.Before(now) {
		at = now
	}
	g.free.set(w, at.Add(guessEvery))
}
