package sltp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// Suite is an EDHOC cipher suite.
type Suite = edhoc.Suite

// cidLen is the length in bytes of a connection ID. Source: local, docs/spec/sltp.md.
const cidLen = 8

type cid = [cidLen]byte

// Handle names an exchange and the session that it becomes, inside one Endpoint.
type Handle uint64

// Message is one SLTP message and the connection ID of its receiver, as a
// relay's frame carries both.
type Message struct {
	CID   []byte // 8 bytes; nil when the receiver has none yet
	Bytes []byte
}

// Endpoint is one TREM's end of any number of exchanges and sessions, in both
// roles. It is not safe for concurrent use.
type Endpoint struct {
	cfg      Config
	x5t      [wire.X5TLen]byte // of the own leaf
	cred     []byte            // CRED_x of the own leaf
	packed   edhoc.IDCred      // the own chain, packed; the zero IDCred when it is too long for that
	expiry   time.Time         // of the first of the own certificates
	last     Handle
	byHandle map[Handle]*session
	byCID    map[cid]*session
	byM1     map[[32]byte]*session
	bySID    map[[sidLen]byte]*session
	known    peers
	halfOpen int
	due      time.Time                  // no deadline is before this
	dh       bool                       // the own certificate does not say that there is no Diffie-Hellman
	triggers map[ident.Device]time.Time // sources that were never met, and when they were heard
}

// NewEndpoint checks the configuration and allocates; it starts nothing.
func NewEndpoint(cfg Config) (*Endpoint, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	expiry, err := earliest(cfg.Chain)
	if err != nil {
		return nil, fmt.Errorf("read own certificates: %w", err)
	}
	if cfg.Self, err = cfg.identity(); err != nil {
		return nil, err
	}
	sltp, err := pki.SLTPOf(cfg.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("read own certificate: %w", err)
	}
	cfg = cfg.withDefaults()
	packed, err := edhoc.PackedChain(cfg.Chain) // once, not for each exchange
	if err != nil && !errors.Is(err, edhoc.ErrTooLong) {
		return nil, fmt.Errorf("pack own certificates: %w", err)
	}
	if _, err := edhoc.NewInitiator(edhoc.Config{Suites: cfg.Suites}); err != nil {
		return nil, err
	}
	return &Endpoint{
		cfg: cfg, x5t: wire.X5T(cfg.Chain[0]), cred: edhoc.CertCred(cfg.Chain[0]), packed: packed, expiry: expiry, dh: sltp.DiffieHellman(),
		byHandle: map[Handle]*session{}, byCID: map[cid]*session{}, byM1: map[[32]byte]*session{},
		bySID: map[[sidLen]byte]*session{}, known: newPeers(cfg.MaxPeers), triggers: map[ident.Device]time.Time{},
	}, nil
}

// Format prints no key.
func (e *Endpoint) Format(w fmt.State, _ rune) {
	_, _ = fmt.Fprintf(w, "[sltp endpoint %v]", e.cfg.Self)
}

// Receive takes one message from a courier and returns what to send back and
// what happened. What is not expected gives neither. now is the trusted time.
func (e *Endpoint) Receive(m Message, now time.Time) (out []Message, ev []Event) {
	ev = e.Tick(now)
	if len(m.Bytes) == 0 || len(m.Bytes) > MaxMessage || len(m.CID) != 0 && len(m.CID) != cidLen {
		return nil, append(ev, EventDropped{Err: alert(AlertRejected, "size of the message or its connection ID")})
	}
	var more []Event
	if len(m.CID) == 0 {
		out, more = e.unaddressed(m.Bytes, now)
	} else {
		out, more = e.addressed(cid(m.CID), m.Bytes, now)
	}
	return out, append(ev, more...)
}

// unaddressed takes message_1, and the notice that a session is not known.
func (e *Endpoint) unaddressed(msg []byte, now time.Time) ([]Message, []Event) {
	if msg[0] == 0 { // METHOD 0; an error code is never 0
		return e.message1(msg, now)
	}
	if msg[0]>>5 == 4 {
		return e.byNumber(msg, now)
	}
	m, err := edhoc.ParseError(msg)
	if err != nil || Alert(m.Code) != AlertUnknownSession {
		return nil, []Event{EventDropped{Err: alert(AlertRejected, "neither a message_1 nor a notice")}}
	}
	return e.unknownSession(m)
}

// NumberLetter is the head of a letter: a signed object with its signer's
// certificates, for who is in no session. This package only tells it from
// messages that begin a session. Source: local, docs/spec/transfer.md.
const NumberLetter = -62230

// IsLetter reports whether a message without connection ID is a push or a
// letter, which Receive does not take.
func IsLetter(msg []byte) bool { return IsPush(msg) || kindOf(msg) == NumberLetter }

// kindOf is the number at the head of a message that comes without connection
// ID and is an array, else 0.
func kindOf(msg []byte) int64 {
	var n int64
	items, err := wire.Array(msg, 3, 6, bodyLimit())
	if err != nil || wire.Unmarshal(items[0], &n, wire.Limit{}) != nil {
		return 0
	}
	return n
}

func (e *Endpoint) byNumber(msg []byte, now time.Time) ([]Message, []Event) {
	switch kindOf(msg) {
	case numberR1:
		return e.takeR1(msg, now)
	case numberTrigger:
		return e.triggered(msg, now)
	case numberPush, NumberLetter:
		return nil, []Event{EventDropped{Err: alert(AlertUnsupported, "it is for no session: OpenPush takes a push, and who made it a letter")}}
	}
	return nil, []Event{EventDropped{Err: alert(AlertRejected, "no message that begins anything")}}
}

func (e *Endpoint) addressed(id cid, msg []byte, now time.Time) ([]Message, []Event) {
	major := msg[0] >> 5
	s := e.byCID[id]
	if s == nil {
		if major == 4 {
			return e.forgotten(msg)
		}
		return nil, nil
	}
	frame := sha256.Sum256(msg)
	if s.answered != nil && frame == s.answeredIn {
		return s.answered, nil
	}
	if out := s.repeated(frame); out != nil {
		return out, nil
	}
	switch {
	case major <= 1:
		return e.peerError(s, msg, now)
	case major == 2 && s.state == waitMessage2:
		return e.message2(s, msg, now)
	case major == 2 && s.state == waitMessage3:
		return e.message3(s, msg, now)
	case major == 2 && s.state == waitMessage4:
		return e.message4(s, msg, now)
	case major == 4 && s.state == established:
		return e.app(s, msg, now)
	case major == 4 && s.state == waitR2:
		return e.r2(s, msg, now)
	case major == 4 && s.state == waitR3:
		return e.r3(s, msg, now)
	case major == 4 && s.state == waitR4:
		return e.r4(s, msg, now)
	}
	return nil, nil // late, early or not ours
}

// Resend returns the last messages sent in this exchange or session, for a
// host that has no answer to them: the same bytes.
func (e *Endpoint) Resend(h Handle) ([]Message, error) {
	s := e.byHandle[h]
	if s == nil {
		return nil, ErrHandle
	}
	return s.sent, nil
}

// Close ends an exchange or session and forgets its keys. The peer is not told.
func (e *Endpoint) Close(h Handle) {
	if s := e.byHandle[h]; s != nil {
		e.end(s)
	}
}

// EpochAdvanced ends every session and forgets every certificate: the
// revocation state moved on. Exchanges go on; their peers are verified again.
func (e *Endpoint) EpochAdvanced() {
	for _, s := range e.ordered() {
		if s.state == established {
			e.end(s)
		}
	}
	e.known = newPeers(e.cfg.MaxPeers)
}

// Tick ends what is past its time. Receive, Open and OpenLegacy call it; a host
// that waits for an answer calls it when its own timer fires.
func (e *Endpoint) Tick(now time.Time) (ev []Event) {
	if len(e.byHandle) == 0 || now.Before(e.due) {
		return nil
	}
	e.due = time.Time{}
	for _, s := range e.ordered() {
		if now.Before(s.deadline) {
			e.dueBy(s.deadline)
			continue
		}
		e.end(s)
		switch s.state {
		case waitMessage2, waitMessage4, waitReply, waitR2, waitR4, waitLegacyReply:
			ev = append(ev, EventFailed{Handle: s.handle, Alert: AlertExpired, Err: alert(AlertExpired, "no answer in time")})
		case established:
			ev = append(ev, s.lost()...)
		case waitMessage3, waitR3, legacyDone:
		}
	}
	return ev
}

func (e *Endpoint) dueBy(t time.Time) {
	if e.due.IsZero() || t.Before(e.due) {
		e.due = t
	}
}

// ordered lists sessions by handle, so that nothing depends on map order.
func (e *Endpoint) ordered() []*session {
	all := make([]*session, 0, len(e.byHandle))
	for _, s := range e.byHandle {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.handle, b.handle) })
	return all
}

// newCID draws a connection ID that is not in use.
func (e *Endpoint) newCID() (id cid, err error) {
	for range 8 {
		if _, err := io.ReadFull(e.cfg.Rand, id[:]); err != nil {
			return id, fmt.Errorf("draw connection ID: %w", err)
		}
		if e.byCID[id] == nil {
			return id, nil
		}
	}
	return id, errors.New("sltp: randomness repeats itself")
}

// identity is how the own certificate is named: by hash when the peer holds it,
// by the chain packed when the peer takes that.
func (e *Endpoint) identity(byHash, packs bool) edhoc.Identity {
	id := edhoc.Identity{Signer: e.cfg.Signer, ID: edhoc.X5Chain(e.cfg.Chain), Cred: e.cred}
	switch {
	case byHash:
		id.ID = edhoc.IDCred{Hash: e.x5t[:]}
	case packs && e.packed.Packed != nil:
		id.ID = e.packed
	}
	return id
}

// holdsOurs reports whether a hash is that of the own leaf.
func (e *Endpoint) holdsOurs(x5t []byte) bool { return bytes.Equal(x5t, e.x5t[:]) }
