package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/security/trem"
)

// sharer makes the memory that a host asks for, sends it with the reply, and
// takes the files that come with segments. The module makes the memory, so that
// its length is certain: it is sealed against every change of length, by which a
// host could end the module in the middle of a write.
type sharer struct {
	trem.Patience

	conn   syscall.RawConn
	file   int // to be sent with the next reply; -1 = none
	shared []byte
	came   []*os.File // with the message that is read
}

// newSharer gives nil for a stream that cannot carry a file.
func newSharer(conn io.ReadWriter) *sharer {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return &sharer{conn: raw, file: -1}
}

// make makes and maps memory of a size in bytes, and as much for the module
// alone. Of that only what is touched is there: the heap would have all of it.
func (s *sharer) make(size int) (shared, own []byte, err error) {
	fd, err := unix.MemfdCreate("lares-buffer", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("make memory: %w", err)
	}
	err = unix.Ftruncate(fd, int64(size))
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		shared, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err == nil {
		own, err = anonymous(size)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make memory of %d bytes: %w", size, err), unix.Close(fd))
	}
	s.file, s.shared = fd, shared
	return shared, own, nil
}

// anonymous is memory for segments beside the heap: in it, a segment would count
// as what the program keeps, and as much again would be used before a collection.
func anonymous(size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}

// maxCame is the most files that are taken with one read: one more than is right,
// to be closed. Source: local.
const maxCame = trem.MaxFiles + 1

// Read reads the stream, and takes the file that comes with it.
func (s *sharer) Read(p []byte) (n int, err error) {
	var oob [64]byte // room for maxCame: a header of 16 bytes, and 4 each
	var oobn int
	from, looks := time.Now(), s.Looks() //nolint:forbidigo // it says how to wait, and decides nothing
	failed := s.conn.Read(func(fd uintptr) bool {
		for {
			flags := unix.MSG_CMSG_CLOEXEC
			if looks > 0 {
				flags |= unix.MSG_DONTWAIT
			}
			n, oobn, _, _, err = unix.Recvmsg(int(fd), p, oob[:unix.CmsgSpace(4*maxCame)], flags)
			again := errors.Is(err, unix.EAGAIN)
			if looks--; looks >= 0 && again || errors.Is(err, unix.EINTR) {
				continue
			}
			return !again
		}
	})
	s.Waited(time.Since(from)) //nolint:forbidigo // as above
	if err = errors.Join(err, failed); err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, s.take(oob[:oobn])
}

func (s *sharer) take(oob []byte) error {
	if len(oob) == 0 {
		return nil
	}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			continue // it is another kind of message
		}
		for _, fd := range fds {
			s.came = append(s.came, os.NewFile(uintptr(fd), "segment"))
		}
	}
	return nil
}

// gives reports whether memory goes with the next reply.
func (s *sharer) gives() bool { return s != nil && s.file >= 0 }

// wrote notes that replies are written, if a read waits by that.
func (s *sharer) wrote() {
	if s != nil {
		s.Wrote()
	}
}

// write writes a reply; the file that was made for it goes with its first byte.
func (s *sharer) write(conn io.Writer, m trem.Message) error {
	s.wrote()
	if !s.gives() {
		return trem.WriteMessage(conn, m)
	}
	var out bytes.Buffer
	if err := trem.WriteMessage(&out, m); err != nil {
		return err
	}
	n, err := s.send(out.Next(1))
	err = errors.Join(err, unix.Close(s.file))
	s.file = -1
	if err != nil || n != 1 {
		return fmt.Errorf("%w: send the buffer: %w", trem.ErrStream, err)
	}
	_, err = conn.Write(out.Bytes())
	return err
}

func (s *sharer) send(first []byte) (n int, err error) {
	failed := s.conn.Write(func(fd uintptr) bool {
		for {
			n, err = unix.SendmsgN(int(fd), first, unix.UnixRights(s.file), nil, 0)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	return n, errors.Join(err, failed)
}
