package lrp

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// ErrLost is returned by a binding when a request or its answer did not arrive
// whole: the same frame may be sent again.
var ErrLost = errors.New("lrp: request or answer lost")

// Code says why a frame was not served. Source: local, docs/spec/lrp.md.
type Code uint8

// The codes of an ERROR frame. They may cause a retry, never a change of policy:
// nothing authenticates them.
const (
	CodeMalformed   Code = 1  // the body is not of its type's layout
	CodeVersion     Code = 2  // no common version
	CodeUnsupported Code = 3  // this module does not serve the type
	CodeUnknownDst  Code = 4  // nobody here has the address
	CodeExpired     Code = 5  // the frame's time is over
	CodeHops        Code = 6  // it would cross more than MaxHops relays
	CodeFull        Code = 7  // a limit of this peer is reached
	CodeBusy        Code = 8  // the same frame is being served; ask again
	CodeStale       Code = 9  // a newer frame of the transaction was served
	CodeUnknownTx   Code = 10 // RESUME: nothing is held for it
	CodeInternal    Code = 11 // the module behind does not work now
	CodeUnproven    Code = 12 // the source has not proven itself on this link: HELLO first
)

var codeNames = [...]string{
	"", "MALFORMED", "VERSION", "UNSUPPORTED", "UNKNOWN_DST", "EXPIRED", "HOPS", "FULL", "BUSY", "STALE", "UNKNOWN_TX", "INTERNAL", "UNPROVEN",
}

func (c Code) String() string {
	if c >= CodeMalformed && c <= CodeUnproven {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// Retry reports whether the same frame may be served later.
func (c Code) Retry() bool { return c == CodeFull || c == CodeBusy || c == CodeInternal }

// Error is the body of a frame of TypeError, and the Go error of a caller who
// got one.
type Error struct {
	_       struct{} `cbor:",toarray"`
	Code    Code
	RetryMS uint32 // ms after which to ask again; 0 = no advice
}

func (e *Error) Error() string { return "lrp: the peer answered " + e.Code.String() }

// ParseError reads the body of a frame of TypeError.
func ParseError(body []byte) (*Error, error) {
	e := new(Error)
	if err := wire.Unmarshal(body, e, wire.Limit{Bytes: 16, Items: 2, Depth: 1}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if e.Code == 0 {
		return nil, fmt.Errorf("%w: error without code", ErrFrame)
	}
	return e, nil
}

// Encode returns the body.
func (e Error) Encode() ([]byte, error) { return wire.Marshal(e) }

// ErrorFrame answers f with an error, to its source, in its transaction.
func ErrorFrame(f Frame, code Code, retryMS uint32) Frame {
	body, err := Error{Code: code, RetryMS: retryMS}.Encode()
	if err != nil {
		panic(err) //nolint:forbidigo // two integers always encode
	}
	return reply(f, TypeError, body)
}

// reply is a frame from f's destination to its source with f's number.
func reply(f Frame, t Type, body []byte) Frame {
	return Frame{Version: Version, Type: t, Dst: f.Src, Src: f.Dst, Tx: f.Tx, Seq: f.Seq, Expires: f.Expires, Body: body}
}
