package sltp

import (
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// rsaVerifier is the further ability of a Verifier that key transport needs at
// a source. *pki.Verifier has it.
type rsaVerifier interface {
	VerifyRSA(peer *pki.Peer, leaf []byte, now time.Time) (*rsa.PublicKey, error)
}

// takeR1 answers a legacy destination, where policy has key transport at all.
func (e *Endpoint) takeR1(msg []byte, now time.Time) ([]Message, []Event) {
	hash := sha256.Sum256(msg)
	if s := e.byM1[hash]; s != nil {
		if s.state == waitR3 {
			return s.sent, nil
		}
		return nil, nil // the exchange has gone on
	}
	m, err := parseR1(msg)
	if err != nil {
		return nil, []Event{EventDropped{Err: &AlertError{Code: AlertRejected, Err: err}}}
	}
	h, err := parseHello(m.Hello)
	switch {
	case err != nil:
		err = &AlertError{Code: AlertRejected, Err: err}
	case e.cfg.AllowRSA == nil:
		err = alert(AlertMode, "RSA key transport is off")
	case m.Modes != modeRSA || len(m.Suites) > 0:
		err = alert(AlertMode, "the destination has Diffie-Hellman: modes %d, suites %v", m.Modes, m.Suites)
	case e.halfOpen >= e.cfg.MaxHalfOpen && !e.giveUpHalfOpen(now):
		err = alert(AlertBusy, "%d exchanges are half open", e.halfOpen)
	}
	if err != nil {
		a := asAlert(err)
		return []Message{{CID: m.CID[:], Bytes: wireAlert(a).Encode()}}, []Event{EventDropped{Err: a}}
	}
	s := e.newSession(now)
	s.rsa, s.state, s.m1, s.hello, s.peerCID = &legacy{first: slices.Clone(msg)}, waitR3, hash, h, m.CID
	e.halfOpen++
	e.byM1[hash] = s
	out, err := e.sendR2(s, now)
	if err != nil {
		return e.fail(s, err, true)
	}
	return out, nil
}

func (e *Endpoint) sendR2(s *session, now time.Time) ([]Message, error) {
	if err := e.renewCID(s); err != nil {
		return nil, err
	}
	m := r2{CID: s.own, Chain: e.cfg.Chain}
	if _, err := io.ReadFull(e.cfg.Rand, m.Nonce[:]); err != nil {
		return nil, fmt.Errorf("draw N_R: %w", err)
	}
	var err error
	if m.Status, err = e.ownStatus(s.hello, now); err != nil {
		return nil, err
	}
	th2, err := m.th2(s.rsa.first)
	if err != nil {
		return nil, err
	}
	if m.Signature, err = signLabeled(e.cfg.Signer, append([]byte(rsaLabel2), th2[:]...)); err != nil {
		return nil, err
	}
	msg, err := wire.Marshal(m)
	if err != nil {
		return nil, err
	}
	if uint64(len(msg)) > s.hello.maxSize {
		return nil, alert(AlertRejected, "R2 is larger than the destination takes")
	}
	s.rsa.th3 = th2 // until R3 comes
	s.sent = s.to(msg)
	return s.sent, nil
}

// r3 authenticates the destination and gives its request to the host.
func (e *Endpoint) r3(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	req, err := e.readR3(s, msg, now)
	if err == nil && !e.room() {
		err = alert(AlertBusy, "%d exchanges are open", len(e.byHandle))
	}
	if err != nil {
		return e.fail(s, err, true)
	}
	e.halfOpen--
	s.state, s.epoch = waitLegacyReply, e.cfg.Status().Epoch
	s.pending(msg)
	return nil, []Event{EventLegacyRequest{Handle: s.handle, Peer: s.peer, ReqID: s.request.ReqID, Epoch: req, What: s.what}}
}

// readR3 does the checks of R3 in their order: form, chain, mode, RSA key,
// signature, policy; then EAD_3.
func (e *Endpoint) readR3(s *session, msg []byte, now time.Time) (epoch pki.Epoch, err error) {
	m, err := parseR3(msg)
	if err != nil {
		return epoch, &AlertError{Code: AlertRejected, Err: err}
	}
	peer, err := e.verify(m.Chain, now, e.cfg.Destinations)
	if err != nil {
		return epoch, err
	}
	if peer.DiffieHellman() {
		return epoch, alert(AlertMode, "the destination's certificate does not say that it lacks Diffie-Hellman")
	}
	if s.rsa.pub, err = e.verifyRSA(peer, m.Cert, now); err != nil {
		return epoch, err
	}
	th3, err := m.th3(s.rsa.th3)
	if err != nil {
		return epoch, err
	}
	if err := wire.VerifyRaw(peer.Public(), append([]byte(rsaLabel3), th3[:]...), m.Signature[:]); err != nil {
		return epoch, &AlertError{Code: AlertRejected, Err: err}
	}
	s.peer, s.rsa.th3, s.rsa.cert = peer, th3, m.Cert
	if e.cfg.AllowRSA == nil || !e.cfg.AllowRSA(peer) {
		return epoch, alert(AlertMode, "RSA key transport is off for class %v", peer.Class())
	}
	return s.readLegacy(m.Request)
}

func (s *session) readLegacy(data []byte) (epoch pki.Epoch, err error) {
	var req legacyRequest
	if err := wire.Unmarshal(data, &req, wire.Limit{Bytes: 256, Items: 3, Depth: 2}); err != nil {
		return epoch, alert(AlertRejected, "EAD_3 of key transport")
	}
	if s.what, err = req.What.reference(); err == nil {
		epoch, err = EpochFromWire(req.Epoch)
	}
	if err != nil {
		return epoch, &AlertError{Code: AlertRejected, Err: err}
	}
	s.request.ReqID = req.ReqID
	return epoch, nil
}

func (e *Endpoint) verifyRSA(peer *pki.Peer, cert []byte, now time.Time) (*rsa.PublicKey, error) {
	v, ok := e.cfg.Verifier.(rsaVerifier)
	if !ok {
		return nil, errors.New("sltp: the Verifier knows no RSA keys")
	}
	pub, err := v.VerifyRSA(peer, cert, now)
	if err != nil {
		return nil, &AlertError{Code: AlertCertificate, Err: err}
	}
	return pub, nil
}

// replyLegacy answers with R4.
func (e *Endpoint) replyLegacy(s *session, r Reply, now time.Time) ([]Message, error) {
	if err := stateless(r); err != nil {
		return nil, err
	}
	r.ReqID = s.request.ReqID
	body, err := r.encode()
	if err != nil {
		return nil, err
	}
	if n := len(body) + messageOverhead + s.rsa.pub.Size(); n > MaxMessage || uint64(n) > s.hello.maxSize { //nolint:gosec // a sum of lengths
		return nil, ErrTooLarge
	}
	msg, err := e.makeR4(s, body, now)
	if err != nil {
		e.end(s)
		return nil, err
	}
	s.settle(s.to(msg))
	s.state = legacyDone
	return s.sent, nil
}

func (e *Endpoint) makeR4(s *session, body []byte, now time.Time) ([]byte, error) {
	if err := e.stillGood(s, now); err != nil {
		return nil, err
	}
	m, err := wrap(s.rsa.pub, s.rsa.th3, body)
	if err != nil {
		return nil, err
	}
	if m.Signature, err = signLabeled(e.cfg.Signer, m.signed4(s.rsa.th3)); err != nil {
		return nil, err
	}
	return wire.Marshal(m)
}
