package httpd

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lares-drm/lares/internal/caller"
)

// Limits of connections that are open at once. Source: local, docs/spec/issuer-api.md section 9.
const (
	maxOpen     = 4096
	maxOpenFrom = 128 // of one network, other than this machine
	maxTold     = 64  // that are told at once to come again
	comeAgain   = 2   // seconds
	// turnedAway is how long whoever is turned away is given to hear it.
	turnedAway = time.Second
)

// Bound lets so many connections be open at once, in all and of one network, that
// who opens many and says nothing leaves room for the others. The zero value is ready;
// listeners that share one are bound together.
type Bound struct {
	All, From int // zero: the limits of this package

	mu      sync.Mutex
	open    int                  // guarded by mu
	telling int                  // guarded by mu
	from    map[netip.Prefix]int // guarded by mu: never more than open entries
}

// Listener gives what of l the bound lets in. Who is turned away is told when to come
// again, in plain HTTP; on a listener for TLS, plain false, the connection ends: there
// nothing can be said before both have made keys, which is what must not be spent.
func (b *Bound) Listener(l net.Listener, plain bool) net.Listener {
	return &boundListener{Listener: l, bound: b, plain: plain}
}

type boundListener struct {
	net.Listener
	bound *Bound
	plain bool
}

// Accept implements net.Listener.
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		a := from.Addr().Unmap()
		if l.bound.enter(a) {
			return &boundConn{Conn: c, leave: sync.OnceFunc(func() { l.bound.leave(a) })}, nil
		}
		if !l.plain || !l.bound.mayTell() {
			_ = c.Close() // it was not let in
			continue
		}
		go l.bound.turnAway(c)
	}
}

func (b *Bound) enter(a netip.Addr) bool {
	p := caller.Network(a)
	all, from := b.All, b.From
	if all == 0 {
		all, from = maxOpen, maxOpenFrom
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= all || !a.IsLoopback() && b.from[p] >= from {
		return false
	}
	if b.from == nil {
		b.from = map[netip.Prefix]int{}
	}
	b.open++
	b.from[p]++
	return true
}

func (b *Bound) leave(a netip.Addr) {
	p := caller.Network(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.from[p]--; b.from[p] == 0 {
		delete(b.from, p)
	}
}

// mayTell reports whether there is room to tell one more; then turnAway must follow.
func (b *Bound) mayTell() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.telling >= maxTold {
		return false
	}
	b.telling++
	return true
}

// turnAway answers whatever is asked on a connection, and reads it only so that the
// answer is not lost: a connection that is closed with bytes unread is reset.
func (b *Bound) turnAway(c net.Conn) {
	over := time.AfterFunc(turnedAway, func() { _ = c.Close() })
	defer func() {
		over.Stop()
		_ = c.Close()
		b.mu.Lock()
		b.telling--
		b.mu.Unlock()
	}()
	_, err := fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", comeAgain)
	if half, ok := c.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, maxHeader))
	}
}

// boundConn makes room when it is closed.
type boundConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
