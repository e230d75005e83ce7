package bench

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"time"
)

// tlsFlow is mutual TLS 1.3 of crypto/tls with the certificates of the SLTP
// flows: a full handshake, a request and a reply of the same sizes, in memory.
//
// Each end is a coroutine that gives the processor back when it has nothing to
// read, so that the work of each side can be timed by itself, as in the flows
// of SLTP, and nothing is paid for a scheduler.
type tlsFlow struct {
	w       *sltpWorld
	curve   tls.CurveID
	tickets bool
	server  *tls.Config
	client  []*tls.Config // of each home
	ends    [2][]*tlsEnd
}

// tlsFlow is TLS with or without session tickets. Without them is how a
// tls.Config comes: a client that has no ClientSessionCache does not ask for any,
// and then the server sends none.
func (w *sltpWorld) tlsFlow(name string, curve tls.CurveID, tickets bool) (*flow, error) {
	t := &tlsFlow{w: w, curve: curve, tickets: tickets}
	var err error
	if t.server, err = t.config(w.issuer); err != nil {
		return nil, err
	}
	t.server.ClientAuth = tls.RequireAnyClientCert // and verified below, as the client's
	for _, home := range w.homes {
		c, err := t.config(home)
		if err != nil {
			return nil, err
		}
		t.client = append(t.client, c)
	}
	f := &flow{name: name, begin: t.begin, bytes: t.bytes}
	for _, s := range []side{initiator, responder, initiator, responder, initiator} {
		f.steps = append(f.steps, step{s, func(i int) error { return t.ends[s][i].resume() }})
	}
	return f, nil
}

// config verifies the peer's chain with crypto/x509: the EKUs of these
// certificates are private, so crypto/tls cannot do it by itself.
func (t *tlsFlow) config(p *sltpParty) (*tls.Config, error) {
	leaf, err := x509.ParseCertificate(p.chain[0])
	if err != nil {
		return nil, fmt.Errorf("read leaf: %w", err)
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{t.curve},
		Certificates:       []tls.Certificate{{Certificate: p.chain, PrivateKey: p.key, Leaf: leaf}},
		Time:               func() time.Time { return t.w.now },
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it
		VerifyConnection:   func(cs tls.ConnectionState) error { return t.w.dom.verifyX509(cs.PeerCertificates, t.w.now) },
	}
	if t.tickets {
		c.ClientSessionCache = neverMet{}
	}
	return c, nil
}

// neverMet takes tickets and has none: every session is a first meeting.
type neverMet struct{}

func (neverMet) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (neverMet) Put(string, *tls.ClientSessionState)        {}

// verifyX509 is what crypto/x509 does for a chain of the domain.
func (d *sltpDomain) verifyX509(chain []*x509.Certificate, now time.Time) error {
	cas := x509.NewCertPool()
	for _, c := range chain[1:] {
		cas.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: d.roots, Intermediates: cas, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func (t *tlsFlow) begin(n int) error {
	t.close()
	for i := range n {
		client, server := newTLSEnds()
		client.start(func() error { return clientSide(tls.Client(client, t.client[i])) })
		server.start(func() error { return serverSide(tls.Server(server, t.server)) })
		t.ends[initiator] = append(t.ends[initiator], client)
		t.ends[responder] = append(t.ends[responder], server)
	}
	return nil
}

func (t *tlsFlow) close() {
	for s := range t.ends {
		for _, e := range t.ends[s] {
			e.stop()
		}
		t.ends[s] = nil
	}
}

func (t *tlsFlow) bytes() int {
	return t.ends[initiator][0].sent + t.ends[responder][0].sent
}

func clientSide(c *tls.Conn) error {
	if _, err := c.Write(make([]byte, requestBytes)); err != nil { // which does the handshake first
		return err
	}
	_, err := io.ReadFull(c, make([]byte, replyBytes))
	return err
}

func serverSide(c *tls.Conn) error {
	if _, err := io.ReadFull(c, make([]byte, requestBytes)); err != nil {
		return err
	}
	_, err := c.Write(make([]byte, replyBytes))
	return err
}

// tlsEnd is one end of a connection in memory and the coroutine at it.
type tlsEnd struct {
	net.Conn // nil: what is not below is not called
	peer     *tlsEnd
	inbox    []byte
	sent     int
	next     func() (error, bool)
	stop     func()
	wait     func(error) bool
}

func newTLSEnds() (a, b *tlsEnd) {
	a, b = &tlsEnd{}, &tlsEnd{}
	a.peer, b.peer = b, a
	return a, b
}

// start makes the coroutine; resume runs it until it has nothing to read, or
// to its end. What it yields is an error.
func (e *tlsEnd) start(do func() error) {
	e.next, e.stop = iter.Pull(func(yield func(error) bool) {
		e.wait = yield
		yield(do())
	})
}

func (e *tlsEnd) resume() error {
	err, ok := e.next()
	if !ok {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (e *tlsEnd) Read(b []byte) (int, error) {
	for len(e.inbox) == 0 {
		if !e.wait(nil) {
			return 0, os.ErrClosed
		}
	}
	n := copy(b, e.inbox)
	e.inbox = e.inbox[n:]
	return n, nil
}

func (e *tlsEnd) Write(b []byte) (int, error) {
	e.peer.inbox = append(e.peer.inbox, b...)
	e.sent += len(b)
	return len(b), nil
}

// RemoteAddr is what crypto/tls files tickets under.
func (e *tlsEnd) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "peer", Net: "unix"} }

func (e *tlsEnd) SetDeadline(time.Time) error      { return nil }
func (e *tlsEnd) SetReadDeadline(time.Time) error  { return nil }
func (e *tlsEnd) SetWriteDeadline(time.Time) error { return nil }
func (e *tlsEnd) Close() error                     { return nil }
