package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/trembench"
)

// subject is the module that is judged, as its host knows it.
type subject struct {
	*trem.Client
	dial func(context.Context) (io.ReadWriteCloser, error)
	conn io.ReadWriteCloser
	host *trembench.Host

	last    uint64 // newest session handle that was seen
	session trem.Session
	track   uint64
}

// connect opens a new stream, and ends the one before.
func (s *subject) connect(ctx context.Context) error {
	_ = s.close() // it may be broken
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("reach the module: %w", err)
	}
	s.conn = watched(conn, s.host)
	s.Client = trem.NewClient(s.conn)
	return nil
}

func (s *subject) close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}

// raw sends a header and a payload as they are, and gives the reply's payload
// and its meaning.
func (s *subject) raw(header, payload []byte) ([]byte, error) {
	if err := trem.WriteMessage(s.conn, trem.Message{Header: header, Payload: payload}); err != nil {
		return nil, err
	}
	m, err := trem.ReadMessage(s.conn)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it has ended", trem.ErrStream)
	}
	if err != nil {
		return nil, err
	}
	var result wire.RawMessage
	return m.Payload, trem.ParseReply(m.Header, &result)
}

// order sends a command whose error is looked for, with what no command has: the
// payload of its reply.
func (s *subject) order(cmd trem.Command, body any, payload []byte) ([]byte, error) {
	header, err := trem.NewRequest(cmd, body)
	if err != nil {
		return nil, err
	}
	return s.raw(header, payload)
}

// alive holds a module to answering STATUS.
func (s *subject) alive(ctx context.Context) error {
	if _, err := s.Status(ctx); err != nil {
		return fmt.Errorf("STATUS after that: %w", err)
	}
	return nil
}

// wantCode holds an answer to an error of one of some codes, whose text says why.
func wantCode(what string, err error, codes ...trem.Code) error {
	e, ok := errors.AsType[*trem.Error](err)
	switch {
	case !ok && err == nil:
		return fmt.Errorf("%s: it was done; want %s", what, names(codes))
	case !ok:
		return fmt.Errorf("%s: %w; want %s", what, err, names(codes))
	case !slices.Contains(codes, e.Code):
		return fmt.Errorf("%s: %s (%q); want %s", what, names([]trem.Code{e.Code}), e.Text, names(codes))
	case e.Text == "":
		return fmt.Errorf("%s: the error has no text", what)
	}
	return nil
}

// wantNothing is wantCode for an answer that could carry a segment.
func wantNothing(what string, payload []byte, err error, codes ...trem.Code) error {
	if len(payload) > 0 {
		return errors.Join(wantCode(what, err, codes...), fmt.Errorf("%s: %d bytes came with the error", what, len(payload)))
	}
	return wantCode(what, err, codes...)
}

func names(codes []trem.Code) string {
	text := []string{"code 0", "INTERNAL", "MALFORMED", "STATE", "REJECTED", "UNKNOWN", "BROKEN"}
	var out []string
	for _, c := range codes {
		if int(c) < len(text) {
			out = append(out, text[c])
		} else {
			out = append(out, fmt.Sprintf("code %d", c))
		}
	}
	return strings.Join(out, " or ")
}

// stream looks for title keys in all that a module says.
type stream struct {
	io.ReadWriteCloser
	host *trembench.Host
	tail []byte // the end of what came before
}

// socket is a stream that can carry a file.
type socket struct {
	*stream
	syscall.Conn
}

func watched(conn io.ReadWriteCloser, host *trembench.Host) io.ReadWriteCloser {
	s := &stream{ReadWriteCloser: conn, host: host}
	if c, ok := conn.(syscall.Conn); ok {
		return socket{s, c}
	}
	return s
}

func (w *stream) Read(p []byte) (int, error) {
	n, err := w.ReadWriteCloser.Read(p)
	seen := append(w.tail, p[:n]...)
	if holds, failed := w.host.Holds(seen); holds || failed != nil {
		return 0, errors.Join(failed, fmt.Errorf("%w: the module sent a title key", trem.ErrStream))
	}
	w.tail = bytes.Clone(seen[max(0, len(seen)-15):])
	return n, err
}
