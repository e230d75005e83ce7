package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// tlsFirst is the first byte of a TLS connection: a record of type handshake. No
// request of HTTP begins with it. Source: RFC 8446, section 5.1.
const tlsFirst = 0x16

// firstByte is how long a connection may be silent before it is known what it is.
// Source: local.
const firstByte = 10 * time.Second

// maxSilent is how many connections may be silent at a time; a further one is
// closed. Source: local.
const maxSilent = 256

// serveBoth serves HTTP and HTTPS on one listener, told apart by the first byte, so
// that a house has one address, and a device that was never there can begin without
// knowing its CA. It returns when the server is shut down.
func serveBoth(srv *http.Server, l net.Listener, cfg *tls.Config) error {
	plain, secret := newDoor(l.Addr()), newDoor(l.Addr())
	srv.TLSConfig = cfg
	g := new(errgroup.Group)
	g.Go(func() error { return unlessClosed(srv.Serve(plain)) })
	g.Go(func() error { return unlessClosed(srv.ServeTLS(secret, "", "")) })
	err := tellApart(l, plain, secret)
	_, _ = plain.Close(), secret.Close() // the servers end by this, if they have not
	return errors.Join(err, g.Wait())
}

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// tellApart gives each connection to whom it is for, until a door or the listener is closed.
func tellApart(l net.Listener, plain, secret *door) error {
	stop := context.AfterFunc(plain.ctx, func() { _ = l.Close() }) // Shutdown closes the doors
	defer stop()
	room := make(chan struct{}, maxSilent)
	for {
		conn, err := l.Accept()
		if err != nil {
			if plain.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		select {
		case room <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		go func() { // ends with its first byte, or after firstByte
			defer func() { <-room }()
			to, c := plain, &begun{Conn: conn, in: bufio.NewReader(conn)}
			_ = conn.SetReadDeadline(time.Now().Add(firstByte))
			first, err := c.in.Peek(1)
			if err != nil || conn.SetReadDeadline(time.Time{}) != nil {
				_ = conn.Close()
				return
			}
			if first[0] == tlsFirst {
				to = secret
			}
			to.put(c)
		}()
	}
}

// begun is a connection of which something was read ahead.
type begun struct {
	net.Conn
	in *bufio.Reader
}

func (c *begun) Read(p []byte) (int, error) { return c.in.Read(p) }

// door is a listener that is given its connections.
type door struct {
	addr  net.Addr
	ctx   context.Context //nolint:containedctx // of its life: Close ends it
	close context.CancelFunc
	conns chan net.Conn
	once  sync.Once
}

func newDoor(addr net.Addr) *door {
	ctx, cancel := context.WithCancel(context.Background())
	return &door{addr: addr, ctx: ctx, close: cancel, conns: make(chan net.Conn)}
}

func (d *door) put(c net.Conn) {
	select {
	case d.conns <- c:
	case <-d.ctx.Done():
		_ = c.Close()
	}
}

// Accept waits for the next connection.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (d *door) Close() error {
	d.once.Do(d.close)
	return nil
}

// Addr is the listener's that connections come from.
func (d *door) Addr() net.Addr { return d.addr }
