package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lares-drm/lares/security/trem"
)

// sharer makes the memory that a host asks for, and sends it with the reply. The
// module makes it, so that its length is certain: it is sealed against every
// change of length, by which a host could end the module in the middle of a write.
type sharer struct {
	conn syscall.RawConn
	file int // to be sent with the next reply; -1 = none
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
		own, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make memory of %d bytes: %w", size, err), unix.Close(fd))
	}
	s.file = fd
	return shared, own, nil
}

// write writes a reply; the file that was made for it goes with its first byte.
func (s *sharer) write(conn io.Writer, m trem.Message) error {
	if s == nil || s.file < 0 {
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
