package sltp

import (
	"time"

	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// This file is the fourth step of the standard, the delivery of the license:
// the request in message_3, and the reply in message_4, which also proves to
// the destination that the source has the keys.

// sendMessage3 sends the request to the authenticated source.
func (e *Endpoint) sendMessage3(s *session) ([]Message, error) {
	body, err := s.request.encode()
	if err != nil {
		return nil, err
	}
	msg, err := s.ini.Message3(e.identity(s.useHash, s.packs), []edhoc.EAD{{Label: labelRequest, Value: body}})
	if err != nil {
		return nil, err
	}
	s.state = waitMessage4
	return s.to(msg), nil
}

// readRequest reads EAD_3 and checks that it is meant for this endpoint.
func (e *Endpoint) readRequest(ead []edhoc.EAD) (Request, error) {
	data, err := pick(ead, labelRequest)
	if err != nil {
		return Request{}, err
	}
	return e.requestForUs(data)
}

// requestForUs parses a request and checks that it is meant for this endpoint.
func (e *Endpoint) requestForUs(data []byte) (Request, error) {
	req, err := parseRequest(data)
	if err != nil {
		return Request{}, &AlertError{Code: AlertRejected, Err: err}
	}
	if req.Dst != e.cfg.Self {
		return Request{}, alert(AlertIdentity, "the request is for %v", req.Dst)
	}
	return req, nil
}

// replyOverhead bounds what message_4 has beyond the reply: two CBOR heads, the
// label and the tag.
const replyOverhead = 64

// Reply answers an EventRequest, with message_4 or in the session, and an
// EventLegacyRequest with R4. After ErrTooLarge, ErrBody, ErrSuiteFloor and
// ErrState another reply may be tried; every other failure has ended the exchange.
func (e *Endpoint) Reply(h Handle, r Reply, now time.Time) ([]Message, error) {
	s := e.byHandle[h]
	if s == nil {
		return nil, ErrHandle
	}
	if s.state == established {
		return e.replyInSession(s, r, now)
	}
	if s.state != waitReply && s.state != waitLegacyReply {
		return nil, ErrState
	}
	if !now.Before(s.deadline) {
		e.end(s)
		return nil, ErrEnded
	}
	if s.rsa != nil {
		return e.replyLegacy(s, r, now)
	}
	r.ReqID = s.request.ReqID
	body, err := e.encodeReply(s, r)
	if err != nil {
		return nil, err
	}
	if err := e.stillGood(s, now); err != nil {
		e.end(s)
		return nil, err
	}
	msg, err := s.res.Message4([]edhoc.EAD{{Label: labelReply, Value: body}})
	if err == nil {
		err = e.establish(s, now)
	}
	if err != nil {
		e.end(s)
		return nil, err
	}
	s.settle(s.to(msg))
	return s.sent, nil
}

// encodeReply encodes a reply that may go to this peer in this suite.
func (e *Endpoint) encodeReply(s *session, r Reply) ([]byte, error) {
	body, err := r.encode()
	if err != nil {
		return nil, err
	}
	if len(body)+replyOverhead > MaxMessage || uint64(len(body)+replyOverhead) > s.hello.maxSize {
		return nil, ErrTooLarge
	}
	return body, e.floor(s, r)
}

// message4 takes the reply.
func (e *Endpoint) message4(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	ead, err := s.ini.Message4(msg)
	if err != nil {
		return e.notOpened(s, err)
	}
	reply, err := readReply(ead, s.request)
	if err == nil {
		err = e.stillGood(s, now)
	}
	if err == nil {
		err = e.establish(s, now)
	}
	if err != nil {
		return e.fail(s, err, true)
	}
	s.sent, s.answered = nil, nil
	return nil, []Event{EventReply{Handle: s.handle, Peer: s.peer, Reply: reply, Status: *s.status, Interval: s.interval}}
}

func readReply(ead []edhoc.EAD, req Request) (Reply, error) {
	data, err := pick(ead, labelReply)
	if err != nil {
		return Reply{}, err
	}
	defer clear(data) // it carries keys, and what is returned is a copy
	r, err := parseReply(data)
	if err != nil {
		return Reply{}, &AlertError{Code: AlertRejected, Err: err}
	}
	if r.ReqID != req.ReqID {
		return Reply{}, alert(AlertRejected, "the reply is to request %v", r.ReqID)
	}
	return r, nil
}
