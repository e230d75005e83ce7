package trem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// BufferOrder is the body of CmdBuffer.
type BufferOrder struct {
	Bytes uint64 `cbor:"1,keyasint"` // at least 1, at most MaxPayload
}

// Buffer is its result. The file descriptor of the memory comes with the first
// byte of the reply (SCM_RIGHTS).
type Buffer struct {
	Bytes uint64 `cbor:"1,keyasint"`
}

// Buffer asks the module for memory that both have in common, once a stream, and
// maps it. A segment in it is decrypted where it lies (DecryptBuffer), so that
// no byte of it goes through the stream. A module that has none says so by an
// *Error; then Decrypt is the way. The memory stays mapped as long as this
// process runs.
func (c *Client) Buffer(ctx context.Context, size int) ([]byte, error) {
	conn, ok := c.conn.(syscall.Conn)
	if !ok || size <= 0 || size > MaxPayload {
		return nil, &Error{Code: CodeState, Text: fmt.Sprintf("no buffer of %d bytes on this stream", size)}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	header, err := NewRequest(CmdBuffer, BufferOrder{Bytes: uint64(size)})
	if err != nil {
		return nil, err
	}
	in := &rightsReader{conn: conn, rest: c.in}
	defer in.close()
	m, err := c.exchange(Message{Header: header}, true, c.conn, in)
	if err != nil {
		return nil, err
	}
	var b Buffer
	if err := ParseReply(m.Header, &b); err != nil {
		return nil, err
	}
	if len(in.files) != 1 || b.Bytes < uint64(size) || b.Bytes > MaxPayload {
		return nil, fmt.Errorf("%w: a buffer of %d bytes came with %d files", ErrStream, b.Bytes, len(in.files))
	}
	return mapFile(in.files[0], int(b.Bytes))
}

// mapFile maps memory that a module gave. A file that is shorter than it says
// would end this process at the first touch.
func mapFile(f *os.File, size int) ([]byte, error) {
	info, err := f.Stat()
	if err == nil && info.Size() < int64(size) {
		err = fmt.Errorf("%w: a buffer of %d bytes is %d bytes long", ErrStream, size, info.Size())
	}
	if err != nil {
		return nil, err
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the module's buffer: %w", err)
	}
	return mem, nil
}

// DecryptBuffer decrypts n bytes of the buffer, a media segment of a track, where
// they lie: at this place. It fails as Decrypt does. Meanwhile the host may use the
// rest of the buffer, to read the next segment.
func (c *Client) DecryptBuffer(ctx context.Context, session, track uint64, at, n int) error {
	_, err := c.do(ctx, CmdDecrypt, Part{Session: session, Track: track, Bytes: uint64(n), At: uint64(at)}, nil, &None{}) //nolint:gosec // places in memory
	return err
}

// SegmentFile is a segment that stands in a file, from its position on.
type SegmentFile struct {
	*os.File
	At, Bytes int // its place in the buffer, and its length
}

// DecryptFile is DecryptBuffer for a segment of n bytes that stands in a file,
// from its position on: the module reads it into the buffer itself. So its bytes
// do not pass from one processor to another before they are decrypted.
func (c *Client) DecryptFile(ctx context.Context, session, track uint64, f *os.File, at, n int) error {
	_, err := c.DecryptFiles(ctx, session, track, SegmentFile{File: f, At: at, Bytes: n})
	return err
}

// DecryptFiles is DecryptFile for at most MaxFiles segments that follow each other,
// in one command: to wake two processes costs as much as to decrypt half a
// megabyte. It says how many were done, which is at least one without an error; who
// asks for the rest is told what is wrong with the next.
func (c *Client) DecryptFiles(ctx context.Context, session, track uint64, segments ...SegmentFile) (int, error) {
	conn, ok := c.conn.(syscall.Conn)
	if !ok || len(segments) == 0 || len(segments) > MaxFiles {
		return 0, &Error{Code: CodeState, Text: fmt.Sprintf("%d files do not go with this stream", len(segments))}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	first, out := segments[0].place(), &rightsWriter{conn: conn, rest: c.conn}
	order := Part{Session: session, Track: track, Bytes: first.Bytes, At: first.At}
	for i, s := range segments {
		out.files = append(out.files, s.File)
		if i > 0 {
			order.More = append(order.More, s.place())
		}
	}
	header, err := NewRequest(CmdDecrypt, order)
	if err != nil {
		return 0, err
	}
	m, err := c.exchange(Message{Header: header}, true, out, c.in)
	if err != nil {
		return 0, err
	}
	if len(segments) == 1 {
		return 1, ParseReply(m.Header, &None{})
	}
	var done Segments
	if err := ParseReply(m.Header, &done); err != nil {
		return 0, err
	}
	if done.Done < 1 || done.Done > uint64(len(segments)) {
		return 0, fmt.Errorf("%w: %d of %d segments are done", ErrStream, done.Done, len(segments))
	}
	return int(done.Done), nil //nolint:gosec // bounded above
}

func (s SegmentFile) place() Place {
	return Place{Bytes: uint64(s.Bytes), At: uint64(s.At)} //nolint:gosec // places in memory: the module refuses what is outside of it
}

// rightsWriter writes a message and sends files with its first byte.
type rightsWriter struct {
	conn  syscall.Conn
	rest  io.Writer
	files []*os.File // nil when they are sent
}

func (w *rightsWriter) Write(p []byte) (n int, err error) {
	if w.files == nil || len(p) == 0 {
		return w.rest.Write(p)
	}
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	fds := make([]int, len(w.files))
	for i, f := range w.files {
		fds[i] = int(f.Fd())
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for {
			n, failed = syscall.SendmsgN(int(fd), p, syscall.UnixRights(fds...), nil, 0)
			if failed != syscall.EINTR {
				return failed != syscall.EAGAIN
			}
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return n, err
	}
	w.files = nil
	if n == len(p) {
		return n, nil
	}
	more, err := w.rest.Write(p[n:])
	return n + more, err
}

// rightsReader reads a message and takes the files that come with its first byte.
type rightsReader struct {
	conn  syscall.Conn
	rest  io.Reader
	files []*os.File
	begun bool
}

// maxRights is the most files that are looked for, one more than is right.
const maxRights = 2

func (r *rightsReader) Read(p []byte) (n int, err error) {
	if r.begun {
		return r.rest.Read(p)
	}
	r.begun = true
	raw, err := r.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	oob := make([]byte, syscall.CmsgSpace(4*maxRights))
	var oobn int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, _, failed = syscall.Recvmsg(int(fd), p, oob, syscall.MSG_CMSG_CLOEXEC)
			if failed != syscall.EINTR {
				return failed != syscall.EAGAIN
			}
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, r.take(oob[:oobn])
}

// take opens the files of control messages.
func (r *rightsReader) take(oob []byte) error {
	list, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range list {
		fds, err := syscall.ParseUnixRights(&list[i])
		if err != nil {
			return err
		}
		for _, fd := range fds {
			r.files = append(r.files, os.NewFile(uintptr(fd), "buffer"))
		}
	}
	return nil
}

// close closes the files: memory stays mapped without them.
func (r *rightsReader) close() {
	for _, f := range r.files {
		_ = f.Close()
	}
}
