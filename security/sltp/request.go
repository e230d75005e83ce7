package sltp

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// This file is session reuse: a further request of the destination and its
// reply, in one round trip inside an established session. A request is known by
// its ID; the same one asked again gets the same reply.

// Limits of requests in a session. Source: local, docs/spec/sltp.md.
const (
	maxOpen = 8       // requests without a reply; also how many replies are remembered
	maxKept = 1 << 17 // bytes of replies that are remembered
)

// wanted is a request that waits for its reply, at the Initiator.
type wanted struct {
	id          ident.Request
	digest      [32]byte
	first, last uint64 // sequence numbers of the APP messages that carried it
	at          time.Time
}

// served is a request that was taken, at the Responder.
type served struct {
	id     ident.Request
	digest [32]byte
	seq    uint64    // of the newest APP message that carried it
	frame  [32]byte  // SHA-256 of that message
	reply  []byte    // encoded; nil until the host has answered
	done   bool      // the reply is what was asked for; another may change
	out    []Message // what a duplicate of that message gets
}

// digest is of what makes two requests the same one: all but the asker's clock
// and revocation state, which move on between two attempts.
func (r Request) digest() [32]byte {
	return sha256.Sum256(append([]byte{byte(r.Purpose)}, r.Body...))
}

func encodeIn(number uint64, item []byte) Body {
	b := wire.AppendUint(wire.AppendArray(make([]byte, 0, 4+len(item)), 2), number)
	return append(b, item...)
}

// inside is the one item of a body [number, item].
func inside(body Body, number uint64) (wire.RawMessage, bool) {
	in, err := wire.ItemsOf(body, 2, 2, bodyLimit())
	if err != nil || in.Uint(number) != number {
		return nil, false
	}
	return in.Raw(), in.Err() == nil
}

// Request asks once more in an established session, as its Initiator; the
// reply comes as EventReply. Who has no reply to it calls Request again with
// the same ReqID, after the session's end Open. Dst and Epoch are set here.
func (e *Endpoint) Request(h Handle, req Request, now time.Time) ([]Message, error) {
	s, err := e.usable(h, now)
	if err != nil {
		return nil, err
	}
	if s.ini == nil {
		return nil, ErrState // a source is asked, it does not ask
	}
	req.Dst, req.Epoch = s.peer.ID(), s.epoch
	enc, err := req.encode()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.wanted, func(w wanted) bool { return w.id == req.ReqID })
	switch {
	case i >= 0 && s.wanted[i].digest != req.digest():
		return nil, fmt.Errorf("%w: this request ID is another request's", ErrState)
	case i < 0 && len(s.wanted) >= maxOpen:
		return nil, ErrFull
	}
	seq := s.channel.seq
	out, err := e.sendApp(s, nil, encodeIn(NumberRequest, enc))
	if err != nil {
		return nil, err
	}
	if i < 0 {
		s.wanted = append(s.wanted, wanted{id: req.ReqID, digest: req.digest(), first: seq, last: seq, at: now})
	} else {
		s.wanted[i].last = seq
	}
	return out, nil
}

// asked takes a request in a session, at the Responder. What was granted before
// is answered alike, without the host.
func (e *Endpoint) asked(s *session, msg []byte, seq uint64, item wire.RawMessage) ([]Message, []Event) {
	req, err := e.requestForUs(item)
	if err != nil {
		return e.fail(s, err, false)
	}
	i := slices.IndexFunc(s.served, func(v *served) bool { return v.id == req.ReqID })
	if i < 0 {
		if !s.makeRoom() {
			return nil, []Event{EventDropped{Handle: s.handle, Err: alert(AlertBusy, "%d requests wait for the host", maxOpen)}}
		}
		s.served = append(s.served, &served{id: req.ReqID, digest: req.digest(), seq: seq, frame: sha256.Sum256(msg)})
		return nil, []Event{EventRequest{Handle: s.handle, Peer: s.peer, Request: req, Session: true}}
	}
	v := s.served[i]
	if v.digest != req.digest() {
		return e.conflict(s, seq, req.ReqID)
	}
	v.seq, v.frame, v.out = seq, sha256.Sum256(msg), nil
	if v.reply == nil {
		return nil, nil // the host has it; its answer goes to the newest message
	}
	if !v.done { // refused, or put off: asking again may help
		v.reply = nil
		return nil, []Event{EventRequest{Handle: s.handle, Peer: s.peer, Request: req, Session: true}}
	}
	out, err := e.sendReply(s, v)
	if err != nil {
		return nil, []Event{EventDropped{Handle: s.handle, Err: asAlert(err)}}
	}
	return out, nil
}

// conflict answers a request whose ID was used for another one.
func (e *Endpoint) conflict(s *session, seq uint64, id ident.Request) ([]Message, []Event) {
	body, err := ErrorBody{Code: ErrorConflict}.Encode()
	if err == nil {
		body, err = Reply{ReqID: id, Status: StatusRefused, Body: body}.encode()
	}
	var out []Message
	if err == nil {
		out, err = e.sendReply(s, &served{seq: seq, reply: body})
	}
	if err != nil {
		return nil, []Event{EventDropped{Handle: s.handle, Err: asAlert(err)}}
	}
	return out, nil
}

// makeRoom forgets the oldest replies until one more request can be taken.
func (s *session) makeRoom() bool {
	for {
		size, oldest := 0, -1
		for i, v := range s.served {
			size += len(v.reply)
			if oldest < 0 && v.reply != nil {
				oldest = i
			}
		}
		if len(s.served) < maxOpen && size <= maxKept {
			return true
		}
		if oldest < 0 {
			return false
		}
		s.served = slices.Delete(s.served, oldest, oldest+1)
	}
}

// repeated is the answer that a duplicate of an APP message gets.
func (s *session) repeated(frame [32]byte) []Message {
	for _, v := range s.served {
		if v.frame == frame {
			return v.out
		}
	}
	return nil
}

// replyInSession answers a request of a session: the one with the reply's
// ReqID, or the only one that waits when that is zero.
func (e *Endpoint) replyInSession(s *session, r Reply, now time.Time) ([]Message, error) {
	if !e.live(s, now) {
		return nil, ErrEnded
	}
	var v *served
	for _, w := range s.served {
		if w.reply != nil || r.ReqID != (ident.Request{}) && w.id != r.ReqID {
			continue
		}
		if v != nil {
			return nil, ErrState // which one is meant?
		}
		v = w
	}
	if v == nil {
		return nil, ErrState
	}
	r.ReqID = v.id
	body, err := e.encodeReply(s, r)
	if err != nil {
		return nil, err
	}
	v.reply, v.done = body, r.Status == StatusDone
	out, err := e.sendReply(s, v)
	switch {
	case err != nil:
		v.reply = nil
	case s.channel.used >= maxMessages:
		e.end(s) // no message of it is taken any more: who lost this reply asks in a new exchange, with the same request ID
	}
	return out, err
}

func (e *Endpoint) sendReply(s *session, v *served) ([]Message, error) {
	out, err := e.sendApp(s, &v.seq, encodeIn(NumberReply, v.reply))
	if err != nil {
		return nil, err
	}
	v.out = out
	return out, nil
}

// answeredTo takes a reply in a session, at the Initiator.
func (e *Endpoint) answeredTo(s *session, re uint64, item wire.RawMessage, now time.Time) ([]Message, []Event) {
	r, err := parseReply(item)
	if err != nil {
		return e.fail(s, &AlertError{Code: AlertRejected, Err: err}, false)
	}
	i := slices.IndexFunc(s.wanted, func(w wanted) bool { return w.id == r.ReqID })
	if i < 0 || re < s.wanted[i].first || re > s.wanted[i].last {
		return nil, []Event{EventDropped{Handle: s.handle, Err: alert(AlertRejected, "a reply to no request that waits")}}
	}
	at := s.wanted[i].at
	s.wanted = slices.Delete(s.wanted, i, i+1)
	return nil, []Event{EventReply{Handle: s.handle, Peer: s.peer, Reply: r, Session: true, Interval: now.Sub(at)}}
}

// lost reports a session that ended with requests open.
func (s *session) lost() []Event {
	if len(s.wanted) == 0 {
		return nil
	}
	return []Event{EventFailed{Handle: s.handle, Peer: s.peer.ID(), Alert: AlertExpired, Err: alert(AlertExpired, "the session ended with %d requests open", len(s.wanted))}}
}
