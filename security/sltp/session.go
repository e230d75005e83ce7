package sltp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// This file is the third step of the standard, the session key: what both
// sides derive from the exchange, and how long it lasts.

// Labels of EDHOC_Exporter, from its range for private use; the context is
// empty. Source: local, docs/spec/sltp.md.
const (
	exportKeyIR = 62224 // 32 bytes: first chain key, Initiator to Responder
	exportKeyRI = 62225 // 32 bytes: first chain key, Responder to Initiator
	exportIVs   = 62226 // 24 bytes: IV salt of both directions, in that order
	exportSID   = 62227 // 8 bytes: session ID
)

// sidLen is the length in bytes of a session ID.
const sidLen = 8

type state uint8

const (
	waitMessage2 state = iota + 1 // Initiator
	waitMessage4
	waitMessage3 // Responder: half open
	waitReply    // Responder: the host has the request
	established
	waitR2 // the same of RSA key transport
	waitR4
	waitR3
	waitLegacyReply
	legacyDone
)

// session is one exchange and the session that it becomes. The Endpoint owns it.
type session struct {
	handle   Handle
	state    state
	own      cid // chosen here
	peerCID  cid // chosen by the peer
	deadline time.Time
	epoch    pki.Epoch // own, when the peer was verified
	peer     *pki.Peer // nil until verified
	request  Request
	packs    bool // packed chains: offered; from message_2 on, taken by both sides

	ini      *edhoc.Initiator // nil in the Responder's role
	want     ident.Device
	suites   []Suite // proposed
	have     []byte  // x5t of the peer's leaf, when it is held here
	useHash  bool    // name the own certificate by x5t
	sentAt   time.Time
	interval time.Duration
	status   *PeerStatus

	res   *edhoc.Responder // nil in the Initiator's role
	hello hello
	m1    [32]byte // SHA-256 of message_1 or R1

	sent       []Message // the last messages sent
	answered   []Message // what a duplicate of answeredIn gets
	answeredIn [32]byte
	waiting    [32]byte // SHA-256 of the message that the host has not answered yet
	waitingSeq uint64   // its sequence number, of an APP message
	failures   int

	channel *channel
	wanted  []wanted  // Initiator: requests in the session
	served  []*served // Responder: the same

	rsa  *legacy // nil but in key transport
	what Reference
}

// Format prints no key.
func (s *session) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[sltp session]") }

func (s *session) suite() Suite {
	if s.ini != nil {
		return s.ini.Suite()
	}
	return s.res.Suite()
}

// to addresses a message to the peer.
func (s *session) to(msg []byte) []Message {
	return []Message{{CID: slices.Clone(s.peerCID[:]), Bytes: msg}}
}

// answer records that out is what in gets.
func (s *session) answer(in []byte, out []Message) {
	s.answeredIn = sha256.Sum256(in)
	s.answered, s.sent = out, out
}

// pending records that the host is to answer in.
func (s *session) pending(in []byte) {
	s.waiting = sha256.Sum256(in)
	s.answered = nil
}

// settle records the host's answer to the pending message.
func (s *session) settle(out []Message) {
	s.answeredIn, s.answered, s.sent = s.waiting, out, out
}

func (e *Endpoint) newSession(now time.Time) *session {
	e.last++
	s := &session{handle: e.last, deadline: now.Add(e.cfg.TTL)}
	e.byHandle[s.handle] = s
	e.dueBy(s.deadline)
	return s
}

// room makes place for one more exchange of an authenticated party: an
// established session may be given up, since both sides can make a new one; an
// exchange under way may not. Half-open exchanges have a bound of their own.
func (e *Endpoint) room() bool {
	if len(e.byHandle)-e.halfOpen < e.cfg.MaxSessions {
		return true
	}
	var oldest *session
	for _, s := range e.byHandle {
		if (s.state == established || s.state == legacyDone) && (oldest == nil || s.handle < oldest.handle) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	e.end(oldest)
	return true
}

// slow is how old a half-open exchange is at least when a new one may take its
// place: an Initiator that is there answers in less. Source: local, docs/spec/sltp.md.
const slow = time.Second

// giveUpHalfOpen ends the oldest half-open exchange, if that is slow: who opens
// exchanges and goes on with none keeps nobody else out.
func (e *Endpoint) giveUpHalfOpen(now time.Time) bool {
	var oldest *session
	for _, s := range e.byHandle {
		if (s.state == waitMessage3 || s.state == waitR3) && (oldest == nil || s.handle < oldest.handle) {
			oldest = s
		}
	}
	if oldest == nil || now.Sub(oldest.deadline.Add(-e.cfg.TTL)) < slow {
		return false
	}
	e.end(oldest)
	return true
}

// renewCID gives the session a new connection ID.
func (e *Endpoint) renewCID(s *session) error {
	id, err := e.newCID()
	if err != nil {
		return err
	}
	if e.byCID[s.own] == s {
		delete(e.byCID, s.own)
	}
	s.own = id
	e.byCID[id] = s
	return nil
}

// end forgets a session and its keys.
func (e *Endpoint) end(s *session) {
	delete(e.byHandle, s.handle)
	if e.byCID[s.own] == s {
		delete(e.byCID, s.own)
	}
	if e.byM1[s.m1] == s {
		delete(e.byM1, s.m1)
	}
	if s.channel != nil {
		if e.bySID[s.channel.sid] == s {
			delete(e.bySID, s.channel.sid)
		}
		s.channel.wipe()
	}
	if s.state == waitMessage3 || s.state == waitR3 {
		e.halfOpen--
	}
	if s.ini != nil {
		s.ini.Close()
	}
	if s.res != nil {
		s.res.Close()
	}
	s.answered, s.sent, s.served = nil, nil, nil
}

// fail ends an exchange with an alert, which tell sends to the peer.
func (e *Endpoint) fail(s *session, err error, tell bool) ([]Message, []Event) {
	a := asAlert(err)
	e.end(s)
	ev := []Event{EventFailed{Handle: s.handle, Peer: s.peer.ID(), Alert: a.Code, Err: a, Status: s.status}}
	if !tell || s.peerCID == (cid{}) {
		return nil, ev
	}
	return s.to(wireAlert(a).Encode()), ev
}

// notOpened counts a message_3, message_4 or APP that does not open. It may be
// a stray one, so the exchange goes on, but not for ever.
func (e *Endpoint) notOpened(s *session, err error) ([]Message, []Event) {
	if errors.Is(err, edhoc.ErrStep) || errors.Is(err, edhoc.ErrOpened) || asAlert(err).Code == AlertInternal {
		return e.fail(s, err, true)
	}
	s.failures++
	if s.failures >= maxFailures {
		return e.fail(s, alert(AlertRejected, "%d messages did not open, the last one: %w", s.failures, err), true)
	}
	return nil, []Event{EventDropped{Handle: s.handle, Err: asAlert(err)}}
}

type exporter interface {
	Export(label uint64, context []byte, n int) ([]byte, error)
	TH4() [32]byte
	Close()
}

// establish turns a complete exchange into a session.
func (e *Endpoint) establish(s *session, now time.Time) error {
	var ex exporter = s.res
	if s.ini != nil {
		ex = s.ini
	}
	ch, err := newChannel(ex, s.ini != nil)
	if err != nil {
		return err
	}
	ex.Close() // the channel has what it needs
	s.deadline = now.Add(sessionLife)
	for _, t := range []time.Time{e.expiry, s.peer.Expires()} {
		if t.Before(s.deadline) {
			s.deadline = t
		}
	}
	e.dueBy(s.deadline)
	s.channel, s.state, s.failures = ch, established, 0
	e.bySID[ch.sid] = s
	e.known.learn(s.peer, s.suites)
	return nil
}

// live reports whether an established session may still be used, and ends it
// when not.
func (e *Endpoint) live(s *session, now time.Time) bool {
	if now.Before(s.deadline) && s.epoch == e.cfg.Status().Epoch && s.channel.used < maxMessages {
		return true
	}
	e.end(s)
	return false
}

// Session finds an established session with a source, for a further request.
func (e *Endpoint) Session(peer ident.Device, now time.Time) (Handle, bool) {
	for _, s := range e.ordered() {
		if s.state == established && s.ini != nil && s.peer.ID() == peer && e.live(s, now) {
			return s.handle, true
		}
	}
	return 0, false
}
