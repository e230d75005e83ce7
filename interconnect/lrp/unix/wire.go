package unix

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// The stream. Source: local, docs/spec/lrp.md section 12.
const (
	askFrame = 'F' // u32 length, frame
	askWait  = 'W' // u64 number: what waits for this connection, above it

	refused = 0xff // in place of a count of answers: nobody is proven on this connection
)

// writeItems sends a count and as many items, each with its length.
func writeItems(w io.Writer, items [][]byte) error {
	out := []byte{byte(len(items))} //nolint:gosec // at most lrp.MaxFrames
	for _, it := range items {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(it))), it...) //nolint:gosec // at most MaxFrame and a little
	}
	_, err := w.Write(out)
	return err
}

// readItems reads what writeItems sent: at most lrp.MaxFrames items, each of at most
// a frame and its record.
func readItems(r io.Reader) (items [][]byte, err error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	if n[0] == refused {
		return nil, lrp.ErrProof
	}
	if int(n[0]) > lrp.MaxFrames {
		return nil, fmt.Errorf("%w: %d items", lrp.ErrFrame, n[0])
	}
	for range n[0] {
		it, err := readItem(r)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

func readItem(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > lrp.MaxFrame+64 {
		return nil, fmt.Errorf("%w: item of %d bytes", lrp.ErrFrame, size)
	}
	it := make([]byte, size)
	_, err := io.ReadFull(r, it)
	return it, err
}

// lostOr says what a failed exchange means: what is no answer of this protocol
// stays as it is, all else may be tried again.
func lostOr(err error) error {
	if errors.Is(err, lrp.ErrFrame) || errors.Is(err, lrp.ErrProof) {
		return err
	}
	return fmt.Errorf("%w: %w", lrp.ErrLost, err)
}
