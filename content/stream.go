package content

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// maxBehind is how much of a stream is kept for what comes later: boxes that
// describe samples, and descriptions that lie among them. Source: local.
const maxBehind = 48 << 20 // bytes

// stream lets a View read what can be read once and forward only: it keeps what
// it has read until that is released.
type stream struct {
	r    io.Reader
	kept []byte
	at   int64 // of kept in the stream
}

// OpenStream is Open for a file that cannot be read at any place, such as a pipe.
// Only WriteTo reads it. A progressive file must have its movie box first.
func OpenStream(r io.Reader, cfg ViewConfig) (*View, error) {
	return Open(&stream{r: r}, math.MaxInt64, cfg)
}

func (s *stream) ReadAt(p []byte, off int64) (int, error) {
	if off < s.at {
		return 0, fmt.Errorf("%w: what comes later in the stream describes what came before: it must be a file", ErrUnsupported)
	}
	for have := s.at + int64(len(s.kept)); off+int64(len(p)) > have; {
		if off+int64(len(p))-s.at > maxBehind {
			return 0, fmt.Errorf("%w: what comes over %d bytes later in the stream is needed now: it must be a file", ErrUnsupported, maxBehind)
		}
		from := len(s.kept)
		s.kept = append(s.kept, make([]byte, min(window, off+int64(len(p))-have))...)
		n, err := io.ReadFull(s.r, s.kept[from:])
		s.kept, have = s.kept[:from+n], have+int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return copy(p, s.kept[min(int64(len(s.kept)), off-s.at):]), io.EOF
		}
		if err != nil {
			return 0, err
		}
	}
	return copy(p, s.kept[off-s.at:]), nil
}

// release forgets what lies before a place.
func (s *stream) release(to int64) {
	if n := min(to-s.at, int64(len(s.kept))); n > 0 {
		s.kept = s.kept[:copy(s.kept, s.kept[n:])]
		s.at += n
	}
}

// Clear copies a file decrypted: same length, same byte ranges. in is for
// files without an init segment of their own; nil else.
func Clear(dst io.Writer, src io.Reader, in *Init, keys Keys) error {
	f, err := OpenStream(src, ViewConfig{Init: in, Keys: keys})
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteTo(dst)
	return err
}
