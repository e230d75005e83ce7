package unix

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Limits of the accepting side. Source: local, docs/spec/lrp.md section 12.
const (
	// MaxConns is how many connections are served at a time; a further one is closed.
	MaxConns = 64
	// Timeout is how long one request may take to come, from its first byte on, and
	// its answer to be taken.
	Timeout = 30 * time.Second
	// PollWait is how long a question for what waits is kept open.
	PollWait = 25 * time.Second
)

// Server is the accepting side.
type Server struct {
	Frames lrp.Handler // required
	// Wait is as in the HTTP binding; nil: nothing is pushed.
	Wait func(ctx context.Context, link lrp.LinkID, after uint64) ([]lrp.Kept, error)
	// Taken is as in the HTTP binding.
	Taken func(link lrp.LinkID, upTo uint64)
	// Closed is told when a link ends; nil: nobody is.
	Closed func(lrp.LinkID)
}

// Serve takes connections from l until ctx ends, closes l, and returns when all of
// them have ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	room := make(chan struct{}, MaxConns)
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("lrp: take a connection: %w", err)
		}
		select {
		case room <- struct{}{}:
		default:
			_ = conn.Close() // the peer tries again
			continue
		}
		all.Go(func() {
			defer func() { <-room }()
			s.conn(ctx, conn)
		})
	}
}

func (s *Server) conn(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close() //nolint:errcheck // nothing is left to be said
	by := lrp.Arrival{}
	defer func() {
		if s.Closed != nil && by.Link != (lrp.LinkID{}) {
			s.Closed(by.Link)
		}
	}()
	for {
		var kind [1]byte
		if _, err := io.ReadFull(conn, kind[:]); err != nil {
			return
		}
		if err := conn.SetDeadline(time.Now().Add(Timeout)); err != nil { //nolint:forbidigo // a socket deadline, not a decision
			return
		}
		var err error
		switch kind[0] {
		case askFrame:
			err = s.frame(ctx, conn, &by)
		case askWait:
			err = s.wait(ctx, conn, by.Link)
		default:
			return
		}
		if err = errors.Join(err, conn.SetDeadline(time.Time{})); err != nil {
			return
		}
	}
}

// frame serves one frame. The answer to a HELLO names the link, which is this
// connection's from then on.
func (s *Server) frame(ctx context.Context, conn net.Conn, by *lrp.Arrival) error {
	data, err := readItem(conn)
	if err != nil {
		return err
	}
	f, err := lrp.Parse(data)
	if err != nil {
		return err
	}
	answers := s.Frames(ctx, *by, f)
	if len(answers) > lrp.MaxFrames {
		return lrp.ErrFrame
	}
	out := make([][]byte, 0, len(answers))
	for _, a := range answers {
		b, err := a.Encode()
		if err != nil {
			return err
		}
		out = append(out, b)
		if h, err := lrp.ParseHello(a.Body); a.Type == lrp.TypeHello && err == nil && h.Link != nil && by.Link == (lrp.LinkID{}) {
			by.Link = lrp.LinkID(h.Link)
		}
	}
	return writeItems(conn, out)
}

func (s *Server) wait(ctx context.Context, conn net.Conn, link lrp.LinkID) error {
	var after [8]byte
	if _, err := io.ReadFull(conn, after[:]); err != nil {
		return err
	}
	if s.Wait == nil {
		_, err := conn.Write([]byte{refused})
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, PollWait)
	defer cancel()
	have := binary.BigEndian.Uint64(after[:])
	if s.Taken != nil {
		s.Taken(link, have)
	}
	kept, err := s.Wait(ctx, link, have)
	if err != nil {
		_, err := conn.Write([]byte{refused})
		return err
	}
	var out [][]byte
	for _, k := range kept[:min(len(kept), lrp.MaxFrames)] {
		b, err := k.Encode()
		if err != nil {
			return err
		}
		out = append(out, b)
	}
	return writeItems(conn, out)
}
