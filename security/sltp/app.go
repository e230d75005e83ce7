package sltp

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// appPlain is the plaintext of an APP message: [null or re, body].
type appPlain struct {
	re   *uint64 // the message that this one answers
	body Body    // checked
}

// encode checks the whole, and the body with it: the body must be one item, and
// not nested too deep for the peer.
func (p appPlain) encode() ([]byte, error) {
	if err := isArray(p.body); err != nil {
		return nil, err
	}
	if len(p.body)+messageOverhead > MaxMessage {
		return nil, ErrTooLarge
	}
	b := wire.AppendArray(make([]byte, 0, 10+len(p.body)), 2)
	if p.re == nil {
		b = wire.AppendBytes(b, nil)
	} else {
		b = wire.AppendUint(b, *p.re)
	}
	b = append(b, p.body...)
	if err := wire.Check(b, bodyLimit()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBody, err)
	}
	return b, nil
}

// parseApp reads a plaintext, of which body is a part.
func parseApp(plain []byte) (p appPlain, err error) {
	in, err := wire.ItemsOf(plain, 2, 2, bodyLimit())
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrBody, err)
	}
	if in.Null() {
		in.Raw()
	} else {
		re := in.Uint(math.MaxUint64)
		p.re = &re
	}
	p.body = Body(in.Raw())
	if in.Err() != nil {
		return p, fmt.Errorf("%w: plaintext", ErrBody)
	}
	return p, isArray(p.body)
}

// Send sends a message of one's own in an established session, in either
// direction, and returns its sequence number.
func (e *Endpoint) Send(h Handle, body []byte, now time.Time) (uint64, []Message, error) {
	s, err := e.usable(h, now)
	if err != nil {
		return 0, nil, err
	}
	if reserved(body) {
		return 0, nil, fmt.Errorf("%w: requests go by Request and Reply", ErrBody)
	}
	seq := s.channel.seq
	out, err := e.sendApp(s, nil, body)
	return seq, out, err
}

// reserved reports a body that only Request and Reply make.
func reserved(body Body) bool {
	n, ok := body.Number()
	return ok && (n == NumberRequest || n == NumberReply)
}

// Answer answers the EventApp with that Seq. A duplicate of the message gets
// the same bytes again as long as it is the last one answered.
func (e *Endpoint) Answer(h Handle, seq uint64, body []byte, now time.Time) ([]Message, error) {
	s, err := e.usable(h, now)
	if err != nil {
		return nil, err
	}
	if reserved(body) {
		return nil, fmt.Errorf("%w: requests go by Request and Reply", ErrBody)
	}
	out, err := e.sendApp(s, &seq, body)
	if err != nil {
		return nil, err
	}
	if s.waitingSeq == seq {
		s.settle(out)
	}
	return out, nil
}

func (e *Endpoint) usable(h Handle, now time.Time) (*session, error) {
	s := e.byHandle[h]
	switch {
	case s == nil:
		return nil, ErrHandle
	case s.state != established:
		return nil, ErrState
	case !e.live(s, now):
		return nil, ErrEnded
	}
	return s, nil
}

func (e *Endpoint) sendApp(s *session, re *uint64, body []byte) ([]Message, error) {
	plain, err := appPlain{re: re, body: body}.encode()
	if err != nil {
		return nil, err
	}
	msg, err := s.channel.seal(plain)
	if err != nil {
		return nil, err
	}
	s.sent = s.to(msg)
	return s.sent, nil
}

// app takes a message of an established session.
func (e *Endpoint) app(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	if !e.live(s, now) {
		out, ev := e.forgotten(msg)
		return out, append(ev, s.lost()...)
	}
	seq, plain, err := s.channel.open(msg)
	if errors.Is(err, errReplay) {
		return nil, nil
	}
	if err != nil {
		return e.notOpened(s, &AlertError{Code: AlertRejected, Err: err})
	}
	p, err := parseApp(plain)
	if err != nil {
		return e.fail(s, alert(AlertRejected, "plaintext of an APP message"), false)
	}
	if out, ev, ok := e.requestOrReply(s, msg, seq, p, now); ok {
		return out, ev
	}
	ev := EventApp{Handle: s.handle, Peer: s.peer, Body: p.body, Seq: seq}
	if p.re != nil {
		ev.IsReply, ev.InReplyTo = true, *p.re
	}
	s.pending(msg)
	s.waitingSeq = seq
	return nil, []Event{ev}
}

// requestOrReply takes the two bodies that the protocol itself reads. Only the
// Initiator asks, only the Responder replies.
func (e *Endpoint) requestOrReply(s *session, msg []byte, seq uint64, p appPlain, now time.Time) ([]Message, []Event, bool) {
	if !reserved(p.body) {
		return nil, nil, false
	}
	s.answered = nil // who sends in the session has message_4
	var out []Message
	var ev []Event
	if item, ok := inside(p.body, NumberRequest); ok && p.re == nil && s.ini == nil {
		out, ev = e.asked(s, msg, seq, item)
	} else if item, ok := inside(p.body, NumberReply); ok && p.re != nil && s.ini != nil {
		out, ev = e.answeredTo(s, *p.re, item, now)
	} else {
		out, ev = e.fail(s, alert(AlertRejected, "a request or reply that cannot be one"), false)
	}
	return out, ev, true
}

// forgotten tells the sender of an APP message that its session is not known
// here: after a restart, an advance of the epoch, or the session's end.
func (e *Endpoint) forgotten(msg []byte) ([]Message, []Event) {
	prot, _, err := wire.ParseEncrypt0(msg, bodyLimit())
	if err != nil {
		return nil, nil
	}
	_, sid, err := parseHeader(prot)
	if err != nil {
		return nil, nil
	}
	info, err := wire.Marshal(sid)
	if err != nil {
		return nil, nil
	}
	m := edhoc.ErrorMessage{Code: int(AlertUnknownSession), Info: info}
	return []Message{{Bytes: m.Encode()}}, nil
}

// unknownSession takes such a notice. It is believed only about a session in
// which something was sent, and costs at most a new exchange.
func (e *Endpoint) unknownSession(m edhoc.ErrorMessage) ([]Message, []Event) {
	var sid []byte
	if err := wire.Unmarshal(m.Info, &sid, wire.Limit{Bytes: 16}); err != nil || len(sid) != sidLen {
		return nil, nil
	}
	s := e.bySID[[sidLen]byte(sid)]
	if s == nil || s.channel.seq == 0 {
		return nil, nil
	}
	ev := EventFailed{
		Handle: s.handle, Peer: s.peer.ID(), Alert: AlertUnknownSession, Remote: true,
		Err: alert(AlertUnknownSession, "said by the peer"),
	}
	e.end(s)
	return nil, []Event{ev}
}
