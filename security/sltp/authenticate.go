package sltp

import (
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// This file is the second step of the standard, mutual authentication: each
// side has signed a transcript that holds the other's fresh key share, the
// challenge. Nothing that a peer said is acted on before its chain and then its
// signature hold.

// message2 authenticates the Responder and answers with message_3.
func (e *Endpoint) message2(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	claim, err := s.ini.Message2(msg)
	if err != nil {
		return e.fail(s, err, false)
	}
	if len(claim.CID) != cidLen {
		return e.fail(s, alert(AlertRejected, "connection ID of %d bytes in message_2", len(claim.CID)), false)
	}
	s.peerCID = cid(claim.CID)
	chain, err := e.claimed(s, claim.ID)
	if err != nil {
		return e.lostChain(s, err, now)
	}
	if err := e.authenticateResponder(s, claim.ID, chain, now); err != nil {
		return e.fail(s, err, true)
	}
	s.interval = now.Sub(s.sentAt)
	out, err := e.sendMessage3(s)
	if err != nil {
		return e.fail(s, err, true)
	}
	s.answer(msg, out)
	return out, nil
}

// lostChain asks once more when the Responder, told that its certificate is
// held here, named it by a hash that is not (any more).
func (e *Endpoint) lostChain(s *session, err error, now time.Time) ([]Message, []Event) {
	a := asAlert(err)
	if a.Code != AlertSendChain || s.have == nil {
		return e.fail(s, err, true)
	}
	tell := s.to(wireAlert(a).Encode())
	s.have = nil
	out, ev := e.again(s, now)
	return append(tell, out...), ev
}

// authenticateResponder does the checks of message_2 in their order: chain,
// identity, suite, signature; then EAD_2.
func (e *Endpoint) authenticateResponder(s *session, id edhoc.IDCred, chain [][]byte, now time.Time) error {
	peer, err := e.verify(chain, now, e.cfg.Sources)
	if err == nil {
		err = e.allowed(peer, s.ini.Suite())
	}
	if err != nil {
		return err
	}
	if peer.ID() != s.want {
		return alert(AlertIdentity, "the Responder is %v, meant is %v", peer.ID(), s.want)
	}
	ead, err := s.ini.Authenticate(edhoc.CertCred(chain[0]), peer.Public())
	if err != nil {
		return err
	}
	s.peer = peer
	data, err := pick(ead, labelStatus)
	if err != nil {
		return err
	}
	said, err := takesPacked(ead)
	if err != nil {
		return err
	}
	s.packs = s.packs && (said || id.Packed != nil)
	return e.readStatus(s, data, now)
}

// readStatus takes what an authenticated source says of itself.
func (e *Endpoint) readStatus(s *session, data []byte, now time.Time) error {
	st, err := parseStatus(data)
	if err != nil {
		return &AlertError{Code: AlertRejected, Err: err}
	}
	s.status = &st
	if s.epoch.Compare(st.MinEpoch) < 0 {
		return alert(AlertStaleEpoch, "own revocation epoch %v, the source demands %v", s.epoch, st.MinEpoch)
	}
	if len(st.Proof) > 0 && e.cfg.Proven != nil {
		if err := e.cfg.Proven(s.peer, st.Proof, now); err != nil {
			return &AlertError{Code: AlertCertificate, Err: err}
		}
	}
	return nil
}

// message3 authenticates the Initiator and gives its request to the host.
func (e *Endpoint) message3(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	claim, err := s.res.Message3(msg)
	if err != nil {
		return e.notOpened(s, err)
	}
	chain, err := e.claimed(s, claim.ID)
	if err != nil {
		return e.fail(s, err, true)
	}
	ead, err := e.authenticateInitiator(s, chain, now)
	if err != nil {
		return e.fail(s, err, true)
	}
	req, err := e.readRequest(ead)
	if err == nil && !e.room() {
		err = alert(AlertBusy, "%d exchanges are open", len(e.byHandle))
	}
	if err != nil {
		return e.fail(s, err, true)
	}
	e.halfOpen--
	s.state, s.request, s.epoch = waitReply, req, e.cfg.Status().Epoch
	s.pending(msg)
	return nil, []Event{EventRequest{Handle: s.handle, Peer: s.peer, Request: req}}
}

// authenticateInitiator does the checks of message_3 in their order: chain,
// identity, suite, signature. Only then is EAD_3 given out.
func (e *Endpoint) authenticateInitiator(s *session, chain [][]byte, now time.Time) ([]edhoc.EAD, error) {
	peer, err := e.verify(chain, now, e.cfg.Destinations)
	if err == nil {
		err = e.allowed(peer, s.res.Suite())
	}
	if err != nil {
		return nil, err
	}
	ead, err := s.res.Authenticate(edhoc.CertCred(chain[0]), peer.Public())
	if err != nil {
		return nil, err
	}
	s.peer = peer
	return ead, nil
}

// verify checks a chain, and that its party is somebody else.
func (e *Endpoint) verify(chain [][]byte, now time.Time, roles []pki.Role) (*pki.Peer, error) {
	peer, err := e.cfg.Verifier.Verify(chain, now, roles...)
	if err != nil {
		return nil, &AlertError{Code: AlertCertificate, Err: err}
	}
	if !peer.Verified() {
		return nil, alert(AlertCertificate, "verifier gave no peer")
	}
	if peer.ID() == e.cfg.Self {
		return nil, alert(AlertIdentity, "the peer is this endpoint itself")
	}
	return peer, nil
}

// allowed asks policy whether it accepts the suite from this peer.
func (e *Endpoint) allowed(peer *pki.Peer, suite Suite) error {
	if e.cfg.Allow != nil && !e.cfg.Allow(peer, suite) {
		return alert(AlertSuiteFloor, "%v is below the floor for class %v", suite, peer.Class())
	}
	return nil
}

// stillGood verifies the peer again when the revocation state moved on since.
func (e *Endpoint) stillGood(s *session, now time.Time) error {
	epoch := e.cfg.Status().Epoch
	if epoch == s.epoch {
		return nil
	}
	roles := e.cfg.Destinations
	if s.ini != nil || s.state == waitR4 {
		roles = e.cfg.Sources
	}
	peer, err := e.verify(s.peer.Chain(), now, roles)
	if err == nil && s.rsa == nil {
		err = e.allowed(peer, s.suite())
	}
	if err == nil && s.state == waitLegacyReply {
		s.rsa.pub, err = e.verifyRSA(peer, s.rsa.cert, now)
	}
	if err != nil {
		return err
	}
	s.peer, s.epoch = peer, epoch
	return nil
}
