// Package caller implements whom a request is counted by, wherever something is limited
// by address. Source: local, docs/spec/claim-code.md. It keeps nothing.
//
// It promises that no word of a caller about itself is taken, but a proxy's on this machine.
package caller

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Of is the address that a request came from. Behind a proxy on this machine it is the
// one that the proxy says it had it from; of nobody else such a word is taken.
func Of(r *http.Request) netip.Addr {
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
