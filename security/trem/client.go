package trem

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// Client gives commands to one module over a stream. It is safe for concurrent
// use: commands are done one after another, in the order in which they were
// begun. Those of several callers are on their way at once, so that the module need
// not wait for the next one; when many are, further ones are written together, and
// who reads a reply takes those that came with it out for their callers: each write
// and each read wakes a process. A context is looked at before a command is sent,
// never while it runs, because a half-read reply would leave the stream useless.
type Client struct {
	conn io.ReadWriteCloser
	in   *bufio.Reader // of who leads

	writing sync.Mutex // held while commands are written
	waiting []byte     // guarded by writing: commands that are not written yet
	held    int        // guarded by writing: how many

	mu     sync.Mutex
	empty  sync.Cond // of mu: nobody waits for a reply
	queue  []*turn   // guarded by mu: who waits for a reply, in order; the first one leads
	flying int       // guarded by mu: commands that were written, and whose replies were not read
	err    error     // guarded by mu: set once the stream is broken
}

// NewClient takes over conn.
func NewClient(conn io.ReadWriteCloser) *Client {
	c := &Client{conn: conn, in: bufio.NewReaderSize(conn, readAhead)}
	c.empty.L = &c.mu
	return c
}

// Close ends the stream; the module exits when its stream ends.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) do(ctx context.Context, cmd Command, in any, payload []byte, out any) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	header, err := NewRequest(cmd, in)
	if err != nil {
		return nil, err
	}
	m, err := c.exchange(Message{Header: header, Payload: payload}, false, c.conn, c.in)
	if err != nil {
		return nil, err
	}
	return m.Payload, ParseReply(m.Header, out)
}

// ParseReply reads what NewReply encodes: the result into out, or the *Error or
// *RefusalError that stands in its place.
func ParseReply(header []byte, out any) error {
	var r reply
	if err := wire.Unmarshal(header, &r, limit); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	switch r.Status {
	case statusOK:
		return wire.Unmarshal(r.Body, out, limit)
	case statusRefused:
		var d license.Decision
		if err := wire.Unmarshal(r.Body, &d, limit); err != nil {
			return fmt.Errorf("%w: %w", ErrStream, err)
		}
		return &RefusalError{Decision: d}
	default:
		e := new(Error)
		if err := wire.Unmarshal(r.Body, e, limit); err != nil {
			return fmt.Errorf("%w: %w", ErrStream, err)
		}
		return e
	}
}

func failure(err error) (uint, any) {
	if refusal, ok := errors.AsType[*RefusalError](err); ok {
		return statusRefused, refusal.Decision
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return statusError, Error{Code: e.Code, Text: e.Text}
	}
	return statusError, Error{Code: CodeInternal, Text: err.Error()}
}

// call is a command without payload.
func call[Out any](ctx context.Context, c *Client, cmd Command, in any) (out Out, err error) {
	_, err = c.do(ctx, cmd, in, nil, &out)
	return out, err
}

// None is the body of commands and replies that have none: an empty array.
type None struct {
	_ struct{} `cbor:",toarray"`
}

// Status describes the module.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, CmdStatus, None{})
}

// SigningRequest asks for the module's certificate requests.
func (c *Client) SigningRequest(ctx context.Context) (SigningRequest, error) {
	return call[SigningRequest](ctx, c, CmdRequest, None{})
}

// Enroll gives the module its certificates and the roots it trusts. They must
// be for its own keys; a second enrollment must keep the roots.
func (c *Client) Enroll(ctx context.Context, e Enrollment) error {
	_, err := call[None](ctx, c, CmdEnroll, e)
	return err
}

// Nonce returns 16 fresh bytes that the next time token must repeat.
func (c *Client) Nonce(ctx context.Context) ([]byte, error) {
	return call[[]byte](ctx, c, CmdNonce, None{})
}

// Learn shows the module a revocation state or a time token. An older one than
// it knows is no error and has no effect.
func (c *Client) Learn(ctx context.Context, l Learned) error {
	_, err := call[None](ctx, c, CmdLearn, l)
	return err
}

// Open starts an SLTP exchange for a license.
func (c *Client) Open(ctx context.Context, r LicenseRequest) (Opened, error) {
	return call[Opened](ctx, c, CmdOpen, r)
}

// Receive gives the module an SLTP message from the relay.
func (c *Client) Receive(ctx context.Context, m SLTPMessage) (Received, error) {
	return call[Received](ctx, c, CmdReceive, m)
}

// Prepare builds the answer to an EventRequest. Nothing is sent.
func (c *Client) Prepare(ctx context.Context, t Terms) (Prepared, error) {
	return call[Prepared](ctx, c, CmdPrepare, t)
}

// Release sends a prepared answer, new or stored, in the session of handle.
func (c *Client) Release(ctx context.Context, handle uint64, sealed []byte) ([]SLTPMessage, error) {
	return call[SLTPMessages](ctx, c, CmdRelease, Release{Handle: handle, Sealed: sealed})
}

// Refuse answers an EventRequest with a code and, when it is worth a retry,
// after how many milliseconds.
func (c *Client) Refuse(ctx context.Context, handle uint64, code string, retryMS int64) ([]SLTPMessage, error) {
	return call[SLTPMessages](ctx, c, CmdRefuse, Refusal{Handle: handle, Code: code, RetryMS: retryMS})
}

// Done tells the destination that a transfer is closed, after the host's
// commit of its receipt. Low is the highest sequence number below which every
// transfer to that destination is closed.
func (c *Client) Done(ctx context.Context, d Done) ([]SLTPMessage, error) {
	return call[SLTPMessages](ctx, c, CmdDone, d)
}

// Done is the body of CmdDone.
type Done struct {
	Handle   uint64         `cbor:"1,keyasint"`
	Transfer ident.Transfer `cbor:"2,keyasint"`
	Low      uint64         `cbor:"3,keyasint"`
}

// Release is the body of CmdRelease.
type Release struct {
	Handle uint64 `cbor:"1,keyasint"`
	Sealed []byte `cbor:"2,keyasint"`
}

// Refusal is the body of CmdRefuse.
type Refusal struct {
	Handle  uint64 `cbor:"1,keyasint"`
	Code    string `cbor:"2,keyasint"`
	RetryMS int64  `cbor:"3,keyasint"`
}

// Licenses lists what the module holds.
func (c *Client) Licenses(ctx context.Context) ([]Held, error) {
	return call[[]Held](ctx, c, CmdLicenses, None{})
}

// Evaluate asks whether a use is allowed, and why not. It changes nothing.
func (c *Client) Evaluate(ctx context.Context, a Ask) (license.Decision, error) {
	return call[license.Decision](ctx, c, CmdEvaluate, a)
}

// Begin opens a session, or fails with a *RefusalError.
func (c *Client) Begin(ctx context.Context, a Ask) (Session, error) {
	return call[Session](ctx, c, CmdBegin, a)
}

// Track gives the session an initialization segment. It returns the track's
// number in this session and what the player gets in its place: the clear
// form, or for a link-encrypted session the segment itself.
func (c *Client) Track(ctx context.Context, session uint64, segment []byte) (track uint64, out []byte, err error) {
	out, err = c.do(ctx, CmdTrack, Part{Session: session}, segment, &track)
	return track, out, err
}

// Decrypt gives a media segment of a track to the module and returns it clear,
// or link-encrypted. It fails with a *RefusalError when the license no longer allows it.
func (c *Client) Decrypt(ctx context.Context, session, track uint64, segment []byte) ([]byte, error) {
	return c.do(ctx, CmdDecrypt, Part{Session: session, Track: track}, segment, &None{})
}

// Part is the body of CmdTrack, CmdDecrypt, CmdEnd and CmdLinkKeys.
type Part struct {
	Session uint64 `cbor:"1,keyasint"`
	Track   uint64 `cbor:"2,keyasint"`
	Bytes   uint64 `cbor:"3,keyasint,omitzero"` // CmdDecrypt: the segment is not the payload, it is so many bytes of the buffer
	At      uint64 `cbor:"4,keyasint,omitzero"` // and stands there

	More []Place `cbor:"5,keyasint,omitempty"` // CmdDecrypt: segments that follow, where each comes in a file
}

// Place is a segment's part of the buffer.
type Place struct {
	Bytes uint64 `cbor:"1,keyasint"`
	At    uint64 `cbor:"2,keyasint"`
}

// MaxFiles is the most segments of one CmdDecrypt. Source: local.
const MaxFiles = 8

// Segments is the result of a CmdDecrypt of several.
type Segments struct {
	Done uint64 `cbor:"1,keyasint"` // the first so many are in the buffer, at least one
}

// End closes a session and refunds what it did not use.
func (c *Client) End(ctx context.Context, session uint64) error {
	_, err := call[None](ctx, c, CmdEnd, Part{Session: session})
	return err
}

// LinkKeys returns the session keys of a link-encrypted session.
func (c *Client) LinkKeys(ctx context.Context, session uint64) ([]LinkKey, error) {
	return call[[]LinkKey](ctx, c, CmdLinkKeys, Part{Session: session})
}

// Found makes the module the manager of a new domain, once; later calls return
// the same domain.
func (c *Client) Found(ctx context.Context) (ident.Domain, error) {
	return call[ident.Domain](ctx, c, CmdFound, None{})
}

// Pairwise returns the domain ID that the household shows to one issuer, so
// that two issuers cannot compare their customers.
func (c *Client) Pairwise(ctx context.Context, issuer ident.Issuer) (ident.Domain, error) {
	return call[ident.Domain](ctx, c, CmdPairwise, issuer)
}

// Members lists the devices of the house.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	return call[[]Member](ctx, c, CmdMembers, None{})
}

// Admit signs a device's membership. The owner's approval comes before it.
func (c *Client) Admit(ctx context.Context, d Candidate) (Admission, error) {
	return call[Admission](ctx, c, CmdAdmit, d)
}

// Join stores the module's own membership after checking it.
func (c *Client) Join(ctx context.Context, a Admission) error {
	_, err := call[None](ctx, c, CmdJoin, a)
	return err
}

// Remove takes a device out of the domain: the generation rises and the device
// gets nothing more. What it holds offline stays playable there.
func (c *Client) Remove(ctx context.Context, d ident.Device) error {
	_, err := call[None](ctx, c, CmdRemove, d)
	return err
}

// RegisterKeys gives an input TREM content keys that were sealed to it and
// returns the content they belong to.
func (c *Client) RegisterKeys(ctx context.Context, sealed []byte) (ident.Content, error) {
	return call[ident.Content](ctx, c, CmdKeys, sealed)
}

// Resend returns the SLTP messages that close transfers left open with peer by
// a crash or a lost message: it opens a session that only exchanges transfer messages.
func (c *Client) Resend(ctx context.Context, peer ident.Device) (Opened, error) {
	return call[Opened](ctx, c, CmdResend, peer)
}
