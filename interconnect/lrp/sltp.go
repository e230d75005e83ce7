package lrp

import (
	"bytes"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// CIDLen is the length in bytes of an SLTP connection ID. Source: docs/spec/sltp.md.
const CIDLen = 8

// SLTP is the body of a frame of TypeSLTP: one message, opaque here, and the
// connection ID of its receiver, nil where it has none yet.
type SLTP struct {
	_       struct{} `cbor:",toarray"`
	CID     []byte
	Message []byte
}

// AppendCBOR appends [connection ID, message]. It never returns an error.
func (s SLTP) AppendCBOR(b []byte) ([]byte, error) {
	return wire.AppendBytes(wire.AppendBytes(wire.AppendArray(b, 2), s.CID), s.Message), nil
}

// ReadCBOR reads what AppendCBOR appends.
func (s *SLTP) ReadCBOR(from *wire.Items) {
	r := from.Array(2, 2)
	s.CID, s.Message = bytes.Clone(r.OptionalBytes()), bytes.Clone(r.OptionalBytes())
	from.Done(r)
}

// Encode returns the body.
func (s SLTP) Encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return wire.Marshal(s)
}

// ParseSLTP reads the body of a frame of TypeSLTP.
func ParseSLTP(body []byte) (SLTP, error) {
	var s SLTP
	if err := wire.Unmarshal(body, &s, wire.Limit{Bytes: MaxBody, Items: 2, Depth: 1}); err != nil {
		return SLTP{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if err := s.check(); err != nil {
		return SLTP{}, err
	}
	return s, nil
}

func (s SLTP) check() error {
	if s.CID != nil && len(s.CID) != CIDLen {
		return fmt.Errorf("%w: connection ID of %d bytes", ErrFrame, len(s.CID))
	}
	if len(s.Message) == 0 {
		return fmt.Errorf("%w: empty SLTP message", ErrFrame)
	}
	return nil
}
