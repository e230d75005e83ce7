package edhoc

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
)

// Errors of this package. A rejected message carries no detail that the peer
// could learn from; what is wrapped is for the local log.
var (
	// ErrMalformed: the message is not what RFC 9528 says it looks like.
	ErrMalformed = errors.New("edhoc: malformed message")
	// ErrRejected: the message is well formed and does not hold: a tag, a
	// signature, a key, a method or a credential type.
	ErrRejected = errors.New("edhoc: message rejected")
	// ErrOpened: the tag of the message holds and what is in it does not, so it
	// is the peer's own, and the exchange is over. Another one of these is in it.
	ErrOpened = errors.New("edhoc: opened")
	// ErrTooLong: more bytes than the protocol can carry.
	ErrTooLong = errors.New("edhoc: too long")
	// ErrStep: the call is not the next step of this exchange, or an earlier
	// step failed. The exchange is over only in the second case.
	ErrStep = errors.New("edhoc: not the next step")
)

// SuiteError reports a message_1 that selected the wrong suite. The answer is
// an error message with code ErrCodeSuites and these suites.
type SuiteError struct {
	Suites []Suite // SUITES_R
	CID    []byte  // C_I, to address the answer
}

func (e *SuiteError) Error() string {
	return fmt.Sprintf("edhoc: wrong selected suite; supported are %v", e.Suites)
}

// Error codes of RFC 9528 section 6.
const (
	ErrCodeUnspecified = 1 // with text
	ErrCodeSuites      = 2 // with SUITES_R
	ErrCodeCredential  = 3 // unknown credential referenced; with true
)

// ErrorMessage is an EDHOC error message. It is never authenticated.
type ErrorMessage struct {
	Code   int
	Text   string  // of ErrCodeUnspecified
	Suites []Suite // of ErrCodeSuites
	Info   []byte  // of every other code: one encoded CBOR item; nil stands for true
}

// maxErrorText is the longest diagnostic text in bytes. Source: local.
const maxErrorText = 256

// Encode returns the message as a CBOR sequence.
func (e ErrorMessage) Encode() []byte {
	info := e.Info
	switch {
	case e.Code == ErrCodeUnspecified:
		info = encode(e.Text)
	case e.Code == ErrCodeSuites:
		info = encodeSuites(e.Suites)
	case info == nil:
		info = encode(true)
	}
	return slices.Concat(appendInt(nil, int64(e.Code)), info)
}

// IsError reports whether a message that is no message_1 is an error message:
// it starts with an integer, and messages 2 to 4 with a byte string.
func IsError(msg []byte) bool { return len(msg) > 0 && msg[0]>>5 <= 1 }

// ParseError reads an error message.
func ParseError(msg []byte) (ErrorMessage, error) {
	items, rest, err := take(msg, 2)
	if err != nil {
		return ErrorMessage{}, err
	}
	var e ErrorMessage
	if err := wire.Unmarshal(items[0], &e.Code, wire.Limit{}); err != nil || e.Code == 0 || len(rest) > 0 {
		return ErrorMessage{}, fmt.Errorf("%w: error message", ErrMalformed)
	}
	switch e.Code {
	case ErrCodeUnspecified:
		if err := wire.Unmarshal(items[1], &e.Text, wire.Limit{Bytes: maxErrorText}); err != nil {
			return ErrorMessage{}, fmt.Errorf("%w: error message", ErrMalformed)
		}
	case ErrCodeSuites:
		e.Suites, err = parseSuites(items[1])
	default:
		if e.Info = items[1]; len(e.Info) == 1 && e.Info[0] == 0xf5 {
			e.Info = nil
		}
	}
	return e, err
}
