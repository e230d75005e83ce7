package sltp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// This file is the first step of the standard, the exchange of certificates:
// message_1, message_2, the choice between a chain and its hash, the choice of
// a suite, and the two errors that lead to a second attempt.

// Open starts an exchange as Initiator with the source whose ID is peer. The
// request travels in message_3, after the source has proven its identity. Dst
// and Epoch of the request are set here.
func (e *Endpoint) Open(peer ident.Device, req Request, now time.Time) (Handle, []Message, error) {
	e.Tick(now)
	if peer == e.cfg.Self {
		return 0, nil, fmt.Errorf("sltp: %v is this endpoint itself", peer)
	}
	req.Dst = peer
	enc, err := req.encode()
	if err != nil {
		return 0, nil, err
	}
	if len(enc)+e.chainLen()+messageOverhead > MaxMessage {
		return 0, nil, ErrTooLarge
	}
	if !e.room() {
		return 0, nil, ErrFull
	}
	s := e.newSession(now)
	s.want, s.request = peer, req
	s.suites = e.cfg.Suites[:1]
	if k := e.known.byID[peer]; k != nil {
		s.useHash, s.have = k.holdsOurs, k.x5t[:]
		if k.suites != nil {
			s.suites = k.suites
		}
	}
	out, err := e.sendMessage1(s, now)
	if err != nil {
		e.end(s)
		return 0, nil, err
	}
	return s.handle, out, nil
}

// messageOverhead bounds what a message has beyond its bodies and certificates.
const messageOverhead = 512

func (e *Endpoint) chainLen() (n int) {
	for _, der := range e.cfg.Chain {
		n += len(der) + 8
	}
	return n
}

// sendMessage1 makes message_1 with a new key share and a new connection ID.
func (e *Endpoint) sendMessage1(s *session, now time.Time) ([]Message, error) {
	s.epoch = e.cfg.Status().Epoch
	s.request.Epoch = s.epoch
	h, err := hello{maxSize: MaxMessage, epoch: s.epoch, have: s.have}.encode()
	if err != nil {
		return nil, err
	}
	if s.ini, err = edhoc.NewInitiator(edhoc.Config{Suites: e.cfg.Suites, Ephemeral: e.cfg.Ephemeral}); err != nil {
		return nil, err
	}
	if err := e.renewCID(s); err != nil {
		return nil, err
	}
	ead := []edhoc.EAD{{Label: labelHello, Value: h}}
	// Where both sides go by hash there is no chain to pack.
	if s.packs = !e.cfg.PlainChains && (s.have == nil || !s.useHash); s.packs {
		ead = append(ead, edhoc.EAD{Label: labelPacked})
	}
	msg, err := s.ini.Message1(s.suites, s.own[:], ead)
	if err != nil {
		return nil, err
	}
	s.state, s.sentAt = waitMessage2, now
	s.answered = nil
	s.sent = []Message{{Bytes: msg}}
	return s.sent, nil
}

// again makes the one further attempt that an unauthenticated error may cause.
func (e *Endpoint) again(s *session, now time.Time) ([]Message, []Event) {
	s.ini.Close()
	s.peer, s.status = nil, nil
	out, err := e.sendMessage1(s, now)
	if err != nil {
		return e.fail(s, err, false)
	}
	return out, nil
}

// message1 answers a new Initiator. Nothing is known of it yet.
func (e *Endpoint) message1(msg []byte, now time.Time) ([]Message, []Event) {
	hash := sha256.Sum256(msg)
	if s := e.byM1[hash]; s != nil {
		if s.state == waitMessage3 {
			return s.sent, nil
		}
		return nil, nil // the exchange has gone on
	}
	res, err := edhoc.NewResponder(edhoc.Config{Suites: e.cfg.Suites, Ephemeral: e.cfg.Ephemeral})
	if err != nil {
		return nil, []Event{EventDropped{Err: err}}
	}
	start, err := res.Message1(msg)
	if err != nil {
		return refuse1(err)
	}
	if len(start.CID) != cidLen {
		return nil, []Event{EventDropped{Err: alert(AlertRejected, "connection ID of %d bytes in message_1", len(start.CID))}}
	}
	h, packs, err := readHello(start.EAD)
	if err == nil && e.halfOpen >= e.cfg.MaxHalfOpen && !e.giveUpHalfOpen(now) {
		err = alert(AlertBusy, "%d exchanges are half open", e.halfOpen)
	}
	if err != nil {
		a := asAlert(err)
		return []Message{{CID: start.CID, Bytes: wireAlert(a).Encode()}}, []Event{EventDropped{Err: a}}
	}
	s := e.newSession(now)
	s.res, s.state, s.m1, s.hello = res, waitMessage3, hash, h
	s.peerCID, s.packs = cid(start.CID), packs && !e.cfg.PlainChains
	e.halfOpen++
	e.byM1[hash] = s
	out, err := e.sendMessage2(s, now)
	if err != nil {
		return e.fail(s, err, true)
	}
	return out, nil
}

// refuse1 answers a message_1 that cannot be read; only a wrong suite can be
// answered at all.
func refuse1(err error) ([]Message, []Event) {
	se, ok := errors.AsType[*edhoc.SuiteError](err)
	if !ok || len(se.CID) != cidLen {
		return nil, []Event{EventDropped{Err: asAlert(err)}}
	}
	a := &AlertError{Code: AlertSuite, Err: se}
	return []Message{{CID: se.CID, Bytes: wireAlert(a).Encode()}}, []Event{EventDropped{Err: a}}
}

// readHello also says whether the Initiator takes packed chains.
func readHello(ead []edhoc.EAD) (h hello, packs bool, err error) {
	data, err := pick(ead, labelHello)
	if err != nil {
		return h, false, err
	}
	if h, err = parseHello(data); err != nil {
		return h, false, &AlertError{Code: AlertRejected, Err: err}
	}
	packs, err = takesPacked(ead)
	return h, packs, err
}

// sendMessage2 names the own certificate by hash when the Initiator says that
// it has it, and states the own revocation state and time. A packed chain says
// by itself that packed ones are taken.
func (e *Endpoint) sendMessage2(s *session, now time.Time) ([]Message, error) {
	if err := e.renewCID(s); err != nil {
		return nil, err
	}
	status, err := e.ownStatus(s.hello, now)
	if err != nil {
		return nil, err
	}
	id := e.identity(e.holdsOurs(s.hello.have), s.packs)
	ead := []edhoc.EAD{{Label: labelStatus, Value: status}}
	if s.packs && id.ID.Packed == nil {
		ead = append(ead, edhoc.EAD{Label: labelPacked})
	}
	msg, err := s.res.Message2(s.own[:], id, ead)
	if err != nil {
		return nil, err
	}
	if uint64(len(msg)) > s.hello.maxSize {
		return nil, alert(AlertRejected, "message_2 is larger than the Initiator takes")
	}
	s.sent = s.to(msg)
	return s.sent, nil
}

// ownStatus is EAD_2. The proof is for an asker that says that its own state is
// older: to another one it says nothing new. It is left out where the asker would
// not take so long a message.
func (e *Endpoint) ownStatus(asker hello, now time.Time) ([]byte, error) {
	st := e.cfg.Status()
	if asker.epoch.Compare(st.Epoch) >= 0 || uint64(len(st.Proof)+e.chainLen()+messageOverhead) > asker.maxSize { //nolint:gosec // a sum of lengths
		st.Proof = nil
	}
	return PeerStatus{Epoch: st.Epoch, Head: st.Head, TimeMS: now.UnixMilli(), MinEpoch: st.MinEpoch, Proof: st.Proof}.encode()
}

// claimed are the certificates that the peer names as its own. A packed chain is
// taken only where both sides have said that they take one.
func (e *Endpoint) claimed(s *session, id edhoc.IDCred) ([][]byte, error) {
	if id.Packed != nil && !s.packs {
		return nil, alert(AlertRejected, "a packed chain that was not asked for")
	}
	return e.certificates(id)
}

// certificates are those that a name of a credential stands for.
func (e *Endpoint) certificates(id edhoc.IDCred) ([][]byte, error) {
	switch {
	case len(id.Chain) > 0:
		return id.Chain, nil
	case len(id.Hash) > 0:
		if chain := e.known.chain(id.Hash); chain != nil {
			return chain, nil
		}
		return nil, alert(AlertSendChain, "certificate named by x5t is not held")
	}
	return nil, alert(AlertRejected, "credential is neither x5chain nor x5t")
}

// peerError takes an error message addressed to a session. It is never
// authenticated: it ends an attempt or causes one other, and changes nothing else.
func (e *Endpoint) peerError(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	m, err := edhoc.ParseError(msg)
	if err != nil {
		return nil, []Event{EventDropped{Handle: s.handle, Err: asAlert(err)}}
	}
	code := Alert(m.Code)
	switch s.state {
	case waitMessage2:
		if next := edhoc.Propose(e.cfg.Suites, m.Suites); code == AlertSuite && len(next) > len(s.suites) {
			s.suites = next
			return e.again(s, now)
		}
	case waitMessage4:
		if (code == AlertSendChain || code == AlertCredential) && s.useHash {
			s.useHash = false
			return e.again(s, now)
		}
	case waitMessage3, waitR2, waitR4, waitR3:
	default:
		return nil, nil // a session is not ended by what anybody could have written
	}
	ev := EventFailed{Handle: s.handle, Alert: code, Remote: true, Status: s.status, Err: &AlertError{Code: code, Err: errors.New("said by the peer")}}
	ev.Peer = s.peer.ID()
	e.end(s)
	return nil, []Event{ev}
}
