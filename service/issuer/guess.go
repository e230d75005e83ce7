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
	guessBurst   = 10               // wrong codes from one network at once
	guessEvery   = 30 * time.Second // and one more each
	guessSources = 4096             // networks that are remembered
)

// guesses counts wrong claim codes by the network that they came from. The zero
// value is ready. Right codes cost nothing.
type guesses struct {
	mu   sync.Mutex
	free map[netip.Prefix]time.Time // guarded by mu: when all was forgiven, or will be
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
	return g.free[Network(a)].Sub(now) <= (guessBurst-1)*guessEvery
}

// wrong notes a wrong code.
func (g *guesses) wrong(a netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free == nil {
		g.free = map[netip.Prefix]time.Time{}
	}
	p := Network(a)
	if _, known := g.free[p]; !known && len(g.free) >= guessSources {
		g.forget(now)
	}
	at := g.free[p]
	if at.Before(now) {
		at = now
	}
	g.free[p] = at.Add(guessEvery)
}

// forget makes room: of what is forgiven, or else of who has guessed least.
func (g *guesses) forget(now time.Time) {
	var least netip.Prefix
	for p, at := range g.free {
		if !at.After(now) {
			delete(g.free, p)
		} else if l, ok := g.free[least]; !ok || at.Before(l) {
			least = p
		}
	}
	if len(g.free) >= guessSources {
		delete(g.free, least)
	}
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
