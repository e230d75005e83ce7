package content

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Part is a piece of a file that is worked on whole.
type Part struct {
	Kind PartKind
	At   int64 // of Data in the file
	Data []byte
}

// PartKind says what a Part is.
type PartKind uint8

// The kinds of parts.
const (
	InitPart     PartKind = iota + 1 // everything up to and with the movie box
	FragmentPart                     // a moof box and the mdat boxes behind it
	OtherPart                        // an index, a styp box and the like
)

// Scanner cuts a file into parts, one in memory at a time.
type Scanner struct {
	r     *bufio.Reader
	at    int64
	moved bool // the movie box was seen
}

// NewScanner reads a file from its begin: an init segment with its fragments,
// or, without an init segment, fragments only.
func NewScanner(r io.Reader) *Scanner { return &Scanner{r: bufio.NewReaderSize(r, 1<<16)} }

// Next returns the next part, or io.EOF behind the last one. Data is the caller's.
func (s *Scanner) Next() (*Part, error) {
	p := &Part{Kind: OtherPart, At: s.at}
	for {
		typ, size, err := s.peek()
		if errors.Is(err, io.EOF) && len(p.Data) > 0 {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case typ == cc("moof") && len(p.Data) > 0, typ == cc("styp") && len(p.Data) > 0,
			p.Kind == FragmentPart && typ != cc("mdat"):
			return p, nil
		case typ == cc("moov") && s.moved:
			return nil, fmt.Errorf("%w: two moov boxes", ErrMalformed)
		case typ == cc("mdat") && p.Kind != FragmentPart:
			return nil, fmt.Errorf("%w: not a fragmented file", ErrUnsupported)
		}
		limit := MaxFragment
		if typ == cc("moov") {
			limit = MaxInit
		}
		if size > uint64(limit-min(limit, len(p.Data))) { //nolint:gosec // not negative
			return nil, fmt.Errorf("%w: %v box of %d bytes", ErrMalformed, typ, size)
		}
		if err := s.take(p, int(size)); err != nil { //nolint:gosec // bounded
			return nil, err
		}
		switch typ {
		case cc("moof"):
			p.Kind = FragmentPart
		case cc("moov"):
			s.moved = true
			p.Kind = InitPart
			return p, nil
		}
	}
}

// take appends the next n bytes of the file to a part. It allocates as it
// reads: a size is a claim until the bytes are there.
func (s *Scanner) take(p *Part, n int) error {
	for n > 0 {
		step := min(n, 1<<20)
		from := len(p.Data)
		p.Data = append(p.Data, make([]byte, step)...)
		if _, err := io.ReadFull(s.r, p.Data[from:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("%w: file ends within a box", ErrMalformed)
			}
			return fmt.Errorf("read content: %w", err)
		}
		s.at += int64(step)
		n -= step
	}
	return nil
}

// peek reads the next box's type and size.
func (s *Scanner) peek() (fourCC, uint64, error) {
	b, err := s.r.Peek(16)
	if len(b) == 0 && errors.Is(err, io.EOF) {
		return 0, 0, io.EOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, fmt.Errorf("read content: %w", err)
	}
	if len(b) < 8 {
		return 0, 0, fmt.Errorf("%w: file ends within a box", ErrMalformed)
	}
	size, least := uint64(binary.BigEndian.Uint32(b)), uint64(8)
	if size == 1 && len(b) == 16 {
		size, least = binary.BigEndian.Uint64(b[8:]), 16
	}
	if size < least {
		return 0, 0, fmt.Errorf("%w: box of %d bytes", ErrMalformed, size)
	}
	return fourCC(binary.BigEndian.Uint32(b[4:])), size, nil
}

// Clear copies a file decrypted: same length, same byte ranges. in is for
// files without an init segment of their own; nil else.
func Clear(dst io.Writer, src io.Reader, in *Init, keys Keys) error {
	s := NewScanner(src)
	for {
		p, err := s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out := p.Data
		switch p.Kind {
		case InitPart:
			if in, err = ParseInit(p.Data); err == nil {
				out, err = in.Clear(p.Data)
			}
		case FragmentPart:
			err = in.clear(p, keys)
		default: // the rest stays as it is
		}
		if err != nil {
			return err
		}
		if _, err := dst.Write(out); err != nil {
			return fmt.Errorf("write clear content: %w", err)
		}
	}
}

func (in *Init) clear(p *Part, keys Keys) error {
	if in == nil {
		return fmt.Errorf("%w: fragments without an init segment", ErrMalformed)
	}
	f, err := in.FragmentAt(p.Data, p.At)
	if err != nil {
		return err
	}
	return f.Decrypt(keys)
}
