package unix_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
	"github.com/lares-drm/lares/interconnect/lrp/lrptest"
	"github.com/lares-drm/lares/interconnect/lrp/unix"
)

// serve starts a server on a socket and returns its path.
func serve(t *testing.T, s *unix.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestUnix_Spec12_Conforms(t *testing.T) {
	lrptest.Run(t, lrptest.Binding{
		Serve: func(t *testing.T, a lrptest.Accepting) func(*lrp.Introduction) lrp.Exchanger {
			t.Helper()
			path := serve(t, &unix.Server{Frames: a.Frames, Wait: a.Wait})
			return func(who *lrp.Introduction) lrp.Exchanger {
				c := &unix.Client{Path: path, Who: who, Now: lrptest.Start}
				t.Cleanup(func() { _ = c.Close() })
				return c
			}
		},
		Poll: func(ctx context.Context, x lrp.Exchanger, after uint64) ([]lrp.Kept, error) {
			return x.(*unix.Client).Poll(ctx, after) //nolint:forcetypeassert,errcheck // Serve made it
		},
	})
}

func ack(_ context.Context, _ lrp.Arrival, f lrp.Frame) []lrp.Frame {
	return []lrp.Frame{lrp.Acknowledge(f)}
}

func TestUnix_Spec12_WhatIsNotARequestEndsTheConnection(t *testing.T) {
	path := serve(t, &unix.Server{Frames: ack})
	for name, data := range map[string][]byte{
		"another kind":     {'X', 0, 0, 0, 1, 0},
		"a frame too long": {'F', 0xff, 0xff, 0xff, 0xff},
		"no frame":         {'F', 0, 0, 0, 1, 0xf6},
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 8)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		_ = conn.Close()
	}
}

// A server that is gone is lost, and is found again when it is back.
func TestUnix_Spec12_AServerThatComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c := &unix.Client{Path: path}
	f := lrp.NewTransaction(lrp.Addr{1}, lrp.Addr{2}, lrptest.Start(), lrp.Life).Next(lrp.TypeSLTP, []byte{1})
	for range 2 {
		if _, err := c.Exchange(t.Context(), f); !errors.Is(err, lrp.ErrLost) {
			t.Fatalf("nobody is there: %v", err)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- (&unix.Server{Frames: ack}).Serve(ctx, l) }()
		if got, err := c.Exchange(t.Context(), f); err != nil || len(got) != 1 {
			t.Errorf("%v, %v", got, err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestUnix_Spec12_ALinkEndsWithItsConnection(t *testing.T) {
	p := lrptest.NewParty(t)
	relay := lrp.Addr{1}
	e, err := lrp.NewEndpoint(lrp.EndpointConfig{Self: relay, Known: func(lrp.Addr) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	var link atomic.Value
	closed := make(chan lrp.LinkID, 1)
	path := serve(t, &unix.Server{
		Frames: func(_ context.Context, by lrp.Arrival, f lrp.Frame) []lrp.Frame {
			link.Store(by.Link)
			return e.HandleBy(by, f, lrptest.Start(), nil)
		},
		Closed: func(id lrp.LinkID) { e.Close(id); closed <- id },
	})
	c := &unix.Client{Path: path, Who: p.Introduction(relay), Now: lrptest.Start}
	f := lrp.NewTransaction(relay, p.Addr, lrptest.Start(), lrp.Life).Next(lrp.TypeHello, mustHello(t))
	if _, err := c.Exchange(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	id, _ := link.Load().(lrp.LinkID)
	if !e.Proved(id, p.Addr, lrptest.Start()) {
		t.Fatal("not proven")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-closed; got != id || e.Proved(id, p.Addr, lrptest.Start()) {
		t.Errorf("%v ended, want %v; still proven: %v", got, id, e.Proved(id, p.Addr, lrptest.Start()))
	}
}

func mustHello(t *testing.T) []byte {
	t.Helper()
	b, err := lrp.DefaultHello().Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func Example() {
	dir, err := os.MkdirTemp("", "lrp")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of an example
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(dir, "socket"))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- (&unix.Server{Frames: ack}).Serve(ctx, l) }()
	c := &unix.Client{Path: filepath.Join(dir, "socket")}
	tx := lrp.NewTransaction(lrp.Addr{1}, lrp.Addr{2}, lrptest.Start(), lrp.Life)
	answers, err := c.Exchange(ctx, tx.Next(lrp.TypeSLTP, []byte{1}))
	fmt.Println(answers[0].Type, err)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// ACK <nil>
	// <nil>
}
