package bench

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// direct carries the requests of one household, which asks for one thing after
// another: on one connection to each server, written and read by who asks. The
// transport of net/http has two goroutines for each connection, and to wake them costs
// half as much as all else that a client does here: it would be measured with the
// issuer, on the same processors.
type direct struct {
	mu    sync.Mutex // held during a request
	conns map[string]*directConn
}

type directConn struct {
	net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	used bool
}

// RoundTrip does one request and reads its answer whole. A server may have closed a
// connection on which nothing was asked for a while: then it is asked on a new one.
func (d *direct) RoundTrip(req *http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		c := d.conns[req.URL.Host]
		if c == nil {
			conn, err := dialCounted(req.Context(), "tcp", req.URL.Host)
			if err != nil {
				return nil, err
			}
			c = &directConn{Conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}
			if d.conns == nil {
				d.conns = map[string]*directConn{}
			}
			d.conns[req.URL.Host] = c
		}
		res, began, err := c.ask(req)
		if err == nil && !res.Close {
			c.used = true
			return res, nil
		}
		delete(d.conns, req.URL.Host)
		err = errors.Join(err, c.Close())
		if err == nil || !c.used || began || req.GetBody == nil && req.Body != nil {
			return res, err
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// ask writes a request and reads the answer. began says that some of it came.
func (c *directConn) ask(req *http.Request) (res *http.Response, began bool, err error) {
	if at, ok := req.Context().Deadline(); ok {
		if err := c.SetDeadline(at); err != nil {
			return nil, false, err
		}
	}
	if err := errors.Join(req.Write(c.out), c.out.Flush()); err != nil {
		return nil, false, err
	}
	if _, err := c.in.Peek(1); err != nil {
		return nil, false, err
	}
	if res, err = http.ReadResponse(c.in, req); err != nil {
		return nil, true, err
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, true, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, true, nil
}
