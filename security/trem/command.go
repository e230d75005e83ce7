package trem

import (
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
)

// Command is what a host asks of the module. Source: local, docs/spec/trem.md.
type Command uint8

// The commands.
const (
	CmdStatus   Command = 1
	CmdRequest  Command = 2 // certificate signing requests of the module's keys
	CmdEnroll   Command = 3
	CmdNonce    Command = 4
	CmdLearn    Command = 5
	CmdOpen     Command = 6 // SLTP, as the destination
	CmdReceive  Command = 7 // SLTP, either side
	CmdPrepare  Command = 8 // input TREM: build what answers a request
	CmdRelease  Command = 9 // input TREM: send it, after the host's commit
	CmdRefuse   Command = 10
	CmdLicenses Command = 11
	CmdEvaluate Command = 12
	CmdBegin    Command = 13
	CmdTrack    Command = 14
	CmdDecrypt  Command = 15
	CmdEnd      Command = 16
	CmdLinkKeys Command = 17
	CmdFound    Command = 18
	CmdAdmit    Command = 19
	CmdJoin     Command = 20
	CmdKeys     Command = 21 // input TREM: content keys, sealed to it
	CmdRemove   Command = 22
	CmdResend   Command = 23
	CmdPairwise Command = 24
	CmdDone     Command = 25

	CmdHandOver  Command = 26 // MOVE, COPY, LEND to a module that may be away
	CmdPost      Command = 27 // a letter that came
	CmdLetters   Command = 28 // what is worth sending now
	CmdTransfers Command = 29
	CmdCancel    Command = 30
	CmdGiveBack  Command = 31
	CmdRenewLoan Command = 32
	CmdCard      Command = 33
	CmdLost      Command = 34 // the other side of a transfer is lost
	CmdYield     Command = 35 // what was set aside for this device goes back

	CmdLink  Command = 36 // sign who is behind a link of its courier
	CmdLeave Command = 37 // leave the house

	CmdMembers Command = 52 // home server: who is of the house, and what is set aside there

	CmdBuffer Command = 39 // memory that host and module have in common

	CmdWipe Command = 57 // leave the house for good, then destroy the keys and all that is here

	CmdSunset Command = 63 // issuer: sign that its issuer sends a notice of sunset, or takes one back
)

// status of a reply.
const (
	statusOK      = 0
	statusError   = 1 // an error: [code, text]
	statusRefused = 2 // a refusal: license.Decision
)

// Code says what kind of error a module's reply is, for hosts that branch.
type Code uint8

// The error codes.
const (
	CodeInternal  Code = 1 // the module's fault; it may have stopped
	CodeMalformed Code = 2 // the command is not of the layout
	CodeState     Code = 3 // not now: not enrolled, no such session, wrong role
	CodeRejected  Code = 4 // a certificate, signature, license or head does not hold; the text names the rule
	CodeUnknown   Code = 5 // no such license, content or key
	CodeBroken    Code = 6 // the store failed; restart the module
)

// Error is a module's reply that the command failed. Its text is made in the
// module, holds no secret and names the rule that was broken.
type Error struct {
	_    struct{} `cbor:",toarray"`
	Code Code
	Text string
}

func (e *Error) Error() string { return "trem: " + e.Text }

// RefusalError carries a refusal to callers that take errors: the decision
// holds every reason and remedy.
type RefusalError struct{ Decision license.Decision }

func (e *RefusalError) Error() string {
	if len(e.Decision.Reasons) == 0 {
		return "refused"
	}
	return fmt.Sprintf("refused: %s", e.Decision.Reasons[0].Code)
}

type request struct {
	_       struct{} `cbor:",toarray"`
	Version uint
	Command Command
	Body    wire.RawMessage // read: part of the header
}

type reply struct {
	_      struct{} `cbor:",toarray"`
	Status uint
	Body   wire.RawMessage // read: part of the header
}

// NewRequest encodes a command's header.
func NewRequest(cmd Command, body any) ([]byte, error) {
	return wire.Marshal(message{head: [2]uint64{1, uint64(cmd)}, n: 2, body: body})
}

// ParseRequest reads a command's header: the module's side of Client.
func ParseRequest(header []byte) (Command, wire.RawMessage, error) {
	var r request
	if err := wire.Unmarshal(header, &r, limit); err != nil {
		return 0, nil, err
	}
	if r.Version != 1 {
		return 0, nil, fmt.Errorf("%w: version %d", wire.ErrShape, r.Version)
	}
	return r.Command, r.Body, nil
}

// ParseBody decodes a command's body.
func ParseBody(body []byte, v any) error { return wire.Unmarshal(body, v, limit) }

// NewReply encodes the module's answer: v, or the error that stands in its
// place. A *RefusalError is a refusal; an *Error keeps its code; any other
// error is CodeInternal.
func NewReply(v any, fail error) ([]byte, error) {
	status, value := uint(statusOK), v
	if list, ok := v.([]SLTPMessage); ok {
		value = SLTPMessages(list)
	}
	if fail != nil {
		status, value = failure(fail)
	}
	return wire.Marshal(message{head: [2]uint64{uint64(status)}, n: 1, body: value})
}
