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

// DecryptFile is DecryptBuffer for a segment of n bytes that stands in a file,
// from its position on: the module reads it into the buffer itself. So its bytes
// do not pass from one processor to another before they are decrypted.
func (c *Client) DecryptFile(ctx context.Context, session, track uint64, f *os.File, at, n int) error {
	conn, ok := c.conn.(syscall.Conn)
	if !ok {
		return &Error{Code: CodeState, Text: "no file goes with this stream"}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	header, err := NewRequest(CmdDecrypt, Part{Session: session, Track: track, Bytes: uint64(n), At: uint64(at)}) //nolint:gosec // places in memory
	if err != nil {
		return err
	}
	m, err := c.exchange(Message{Header: header}, true, &rightsWriter{conn: conn, rest: c.conn, file: f}, c.in)
	if err != nil {
		return err
	}
	return ParseReply(m.Header, &None{})
}

// rightsWriter writes a message and sends a file with its first byte.
type rightsWriter struct {
	conn syscall.Conn
	rest io.Writer
	file *os.File // nil when it is sent
}

func (w *rightsWriter) Write(p []byte) (n int, err error) {
	if w.file == nil || len(p) == 0 {
		return w.rest.Write(p)
	}
	raw, err := w.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for {
			n, failed = syscall.SendmsgN(int(fd), p, syscall.UnixRights(int(w.file.Fd())), nil, 0)
			if failed != syscall.EINTR {
				return failed != syscall.EAGAIN
			}
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return n, err
	}
	w.file = nil
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
