package httpd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// from is a listener whose connections say where they come from in their first line,
// as if they came from there.
type from struct{ net.Listener }

func (l from) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	var where string
	line := make([]byte, 0, 64)
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := c.Read(b); err != nil || b[0] == '\n' {
			break
		}
	}
	where = string(line)
	return &fromConn{c.(*net.TCPConn), where}, nil
}

type fromConn struct {
	*net.TCPConn
	where string
}

func (c *fromConn) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", c.where)
	return a
}

// boundServer serves with places for six connections, three of one network, and a
// quarter of a second for the head of a request.
func boundServer(t *testing.T, plain bool) (open func(where string) net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }), ReadHeaderTimeout: 250 * time.Millisecond,
	}
	go srv.Serve((&Bound{All: 6, From: 3}).Listener(from{l}, plain)) //nolint:errcheck // ends with Close
	t.Cleanup(func() { srv.Close() })
	return func(where string) net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "%s\n", where)
		return c
	}
}

// ask says a whole request on a connection.
func ask(c net.Conn) (*http.Response, error) {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(c), nil)
}

// Who opens connections and sends the head of a request slowly, or not at all, is
// bounded by network and in all: others are served, and who is turned away is told
// when to come again. What was half open ends, and there is room again.
func TestBound_API9_HalfOpenConnections(t *testing.T) {
	open := boundServer(t, true)
	var held []net.Conn
	for range 3 {
		c := open("192.0.2.1:1000")
		io.WriteString(c, "GET / HT") //nolint:errcheck // it will be cut
		held = append(held, c)
	}
	res, err := ask(open("192.0.2.1:1001"))
	if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "2" {
		t.Fatalf("the fourth of a network: %+v, %v", res, err)
	}
	for _, other := range []string{"192.0.2.2:1000", "[2001:db8::1]:1000", "127.0.0.1:1000"} {
		if res, err := ask(open(other)); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s beside it: %+v, %v", other, res, err)
		}
	}
	for i := range 3 { // two of one household's 64 bits, and this machine
		held = append(held, open([]string{"[2001:db8::1]:1", "[2001:db8::2]:1", "127.0.0.1:1"}[i]))
	}
	if res, err := ask(open("198.51.100.1:1")); err != nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the seventh in all: %+v, %v", res, err)
	}
	for _, c := range held { // the server ends each of them
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Logf("ended: %v", err)
		}
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if res, err := ask(open("192.0.2.1:2000")); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("afterwards: %+v, %v", res, err)
			}
		})
	}
	wg.Wait()
}

// Where nothing can be said, the connection ends.
func TestBound_API9_TLS(t *testing.T) {
	open := boundServer(t, false)
	for range 3 {
		open("192.0.2.1:1000")
	}
	c := open("192.0.2.1:1001")
	c.SetDeadline(time.Now().Add(5 * time.Second)) //nolint:errcheck // it is open
	if data, err := io.ReadAll(c); len(data) > 0 {
		t.Errorf("%q, %v", data, err)
	}
}

// A listener that is bound serves as any other.
func TestBound_API9_Serves(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }))
	srv.Listener = new(Bound).Listener(srv.Listener, false)
	srv.StartTLS()
	defer srv.Close()
	for range 300 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
}
