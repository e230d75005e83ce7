package trem

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/internal/wire"
)

// Limits of the stream between host and module. Source: local, docs/spec/trem.md.
const (
	// MaxHeader is the largest CBOR header of one message, in bytes.
	MaxHeader = 4 << 20
	// MaxPayload is the largest raw payload (a fragment or a snapshot) of one message, in bytes.
	MaxPayload = 64 << 20
)

// ErrStream is returned when the other side of the stream is gone or does not
// speak this layout; the connection is then useless.
var ErrStream = errors.New("trem: the module's stream is broken")

// limit bounds every header.
var limit = wire.Limit{Bytes: MaxHeader, Items: 4096, Depth: 16}

// Message is one message of the stream: a header, which is one CBOR item, and
// raw bytes that need no decoding.
type Message struct {
	Header  []byte
	Payload []byte
}

// AppendHead appends a message without its payload: lengths (two big-endian u32) and
// header. Some headers have keys: an array that it leaves is cleared, so that b is not
// to be used again.
func AppendHead(b []byte, m Message) ([]byte, error) {
	if len(m.Header) > MaxHeader || len(m.Payload) > MaxPayload {
		return b, fmt.Errorf("trem: message of %d + %d bytes: %w", len(m.Header), len(m.Payload), wire.ErrTooLarge)
	}
	b = wire.Room(b, 8+len(m.Header))
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Header)))  //nolint:gosec // bounded above
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Payload))) //nolint:gosec // bounded above
	return append(b, m.Header...), nil
}

// WriteMessage writes lengths, header and payload.
func WriteMessage(w io.Writer, m Message) error {
	head, err := AppendHead(nil, m)
	if err != nil {
		return err
	}
	defer clear(head)
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	if len(m.Payload) == 0 {
		return nil
	}
	if _, err := w.Write(m.Payload); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	return nil
}

// ReadMessage reads one message, and nothing beyond it. io.EOF is returned only
// between messages.
func ReadMessage(r io.Reader) (Message, error) { return (&Reader{in: r}).Read() }

// Reader reads messages, and their payloads into memory that it keeps: a payload
// is valid until the next message is read.
type Reader struct {
	Make func(size int) ([]byte, error) // makes memory for payloads; nil = make
	Free func([]byte) error             // takes it back; nil = nothing to do

	in      io.Reader
	ahead   *bufio.Reader // in, if it reads ahead
	payload []byte
}

// readAhead is as much as a Reader asks for at once, in bytes: a dozen of the
// messages of which there are many. Source: local, `lares bench issuer`.
const readAhead = 16 << 10

// NewReader reads a stream of which nobody else reads.
func NewReader(r io.Reader) *Reader {
	ahead := bufio.NewReaderSize(r, readAhead)
	return &Reader{in: ahead, ahead: ahead}
}

// More reports whether a further message has come, whole, and can be read without
// waiting.
func (r *Reader) More() bool { return r.ahead != nil && whole(r.ahead) }

// whole reports whether a message stands in what was read ahead.
func whole(in *bufio.Reader) bool {
	have := in.Buffered()
	if have < 8 {
		return false
	}
	head, err := in.Peek(8)
	return err == nil && uint64(binary.BigEndian.Uint32(head[:4]))+uint64(binary.BigEndian.Uint32(head[4:]))+8 <= uint64(have)
}

// maxKept is the largest payload whose memory a Reader keeps, in bytes. Source: local.
const maxKept = 16 << 20

// Read reads one message. io.EOF is returned only between messages.
func (r *Reader) Read() (Message, error) {
	var head [8]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return Message{}, io.EOF
		}
		return Message{}, fmt.Errorf("%w: %w", ErrStream, err)
	}
	n, p := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
	if n > MaxHeader || p > MaxPayload {
		return Message{}, fmt.Errorf("%w: message of %d + %d bytes", ErrStream, n, p)
	}
	payload, err := r.room(int(p))
	if err != nil {
		return Message{}, err
	}
	m := Message{Header: make([]byte, n), Payload: payload}
	for _, b := range [][]byte{m.Header, m.Payload} {
		if _, err := io.ReadFull(r.in, b); err != nil {
			return Message{}, fmt.Errorf("%w: %w", ErrStream, err)
		}
	}
	return m, nil
}

// room is memory for a payload. What stood in it is written over by whoever
// sends the next one; more than is kept is given back.
func (r *Reader) room(n int) ([]byte, error) {
	if n <= cap(r.payload) && (cap(r.payload) <= maxKept || n > maxKept) {
		return r.payload[:n:n], nil
	}
	if r.payload != nil && r.Free != nil {
		if err := r.Free(r.payload[:cap(r.payload)]); err != nil {
			return nil, err
		}
	}
	r.payload = nil
	if r.Make == nil {
		r.payload = make([]byte, n)
		return r.payload, nil
	}
	var err error
	r.payload, err = r.Make(n)
	return r.payload, err
}
