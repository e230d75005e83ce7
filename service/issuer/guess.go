package issuer

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
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

// Network is what an address is counted by: an IPv4 address, or the 64 bits of IPv6
// that a household is given.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero address has the zero prefix, and a limit too
	return p
}

// may reports whether an address may show another code.
func (g *guesses) may(a netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.free.until(Network(a)).Sub(now) <= (guessBurst-1)*guessEvery
}

// wrong notes a wrong code.
func (g *guesses) wrong(a netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.free.of(Network(a), now)
	at := w.until
	if at.Before(now) {
		at = now
	}
	g.free.set(w, at.Add(guessEvery))
}

// Caller is the address that a request came from. Behind a proxy on this
// machine it is the one that the proxy says it had it from.
func Caller(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a := peer.Addr().Unmap()
	if !a.IsLoopback() {
		return a
	}
	all := r.Header.Values("X-Forwarded-For")
	if len(all) == 0 {
		return a
	}
	hops := strings.Split(all[len(all)-1], ",")
	last := strings.TrimSpace(hops[len(hops)-1])
	if host, _, err := net.SplitHostPort(last); err == nil {
		last = host
	}
	if from, err := netip.ParseAddr(last); err == nil {
		return from.Unmap()
	}
	return a
}
