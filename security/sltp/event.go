package sltp

import (
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Event is something that happened at an Endpoint: one of the types below.
type Event interface{ event() }

// EventRequest: an authenticated destination asks. The host answers with
// Endpoint.Reply, or with Endpoint.Close to stay silent.
type EventRequest struct {
	Handle  Handle
	Peer    *pki.Peer
	Request Request
	Session bool // asked in an established session, whose handle this is
}

// EventLegacyRequest: an authenticated destination without Diffie-Hellman asks
// for a stateless license, by RSA key transport: anybody could read that. The
// host answers with Endpoint.Reply: a LICENSE or an ERROR without HEAD.
type EventLegacyRequest struct {
	Handle Handle
	Peer   *pki.Peer
	ReqID  ident.Request
	Epoch  pki.Epoch // of the asker's revocation state
	What   Reference
}

// EventTrigger: somebody says that a source wants to be asked. It is not
// authenticated; the host may Open an exchange with that source, if it would
// deal with it anyway.
type EventTrigger struct{ Trigger Trigger }

// EventReply: the authenticated source has answered; the session stands, except
// after RSA key transport, where there is none.
type EventReply struct {
	Handle Handle
	Peer   *pki.Peer
	Reply  Reply
	Status PeerStatus // what the source said of itself in message_2; zero with Session
	// Interval is from sending message_1 to receiving message_2: the source's
	// Status.TimeMS was true at some moment in it. With Session it is from first
	// asking to this reply, and holds for Reply.TimeMS.
	Interval time.Duration
	Session  bool // to Endpoint.Request
	Legacy   bool // by RSA key transport: no session follows
}

// EventApp: a message in an established session.
type EventApp struct {
	Handle    Handle
	Peer      *pki.Peer
	Body      Body
	Seq       uint64 // of this message; Endpoint.Answer takes it
	IsReply   bool
	InReplyTo uint64 // when IsReply: the Seq that Send returned
}

// EventFailed: an exchange or a session is over without what it was for. Err
// names the rule; it is for the local log.
type EventFailed struct {
	Handle Handle
	Peer   ident.Device // the verified peer; zero when it was not verified
	Alert  Alert
	Remote bool // the peer (or who pretends to be it) said so
	Err    error
	Status *PeerStatus // of an authenticated source, when it came that far
}

// EventDropped: a message was ignored and nothing changed. For the local log.
type EventDropped struct {
	Handle Handle // 0 when it belongs to none
	Err    error
}

func (EventRequest) event()       {}
func (EventLegacyRequest) event() {}
func (EventTrigger) event()       {}
func (EventReply) event()         {}
func (EventApp) event()           {}
func (EventFailed) event()        {}
func (EventDropped) event()       {}
