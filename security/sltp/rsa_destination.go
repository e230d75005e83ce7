package sltp

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// RSAKey makes a destination a legacy one: it is provisioned, never negotiated.
type RSAKey struct {
	Key  crypto.Decrypter // RSA of kind 3; does OAEP with SHA-256
	Cert []byte           // its certificate in DER, of the same device as Chain[0]
}

func (k *RSAKey) check() error {
	pub, ok := k.Key.Public().(*rsa.PublicKey)
	if !ok || len(k.Cert) == 0 {
		return errors.New("sltp: an RSA key and its certificate are needed")
	}
	return isCertOf(k.Cert, pub)
}

// legacy is the part of a session that only key transport has.
type legacy struct {
	first []byte // R1
	th3   [32]byte
	pub   *rsa.PublicKey // at the source: whom to wrap to
	cert  []byte         // at the source: its certificate
}

// OpenLegacy asks a source for a stateless license by RSA key transport. Only
// an endpoint with Config.RSA does, and only when its certificate says that it
// has no Diffie-Hellman: a source refuses everyone else.
func (e *Endpoint) OpenLegacy(peer ident.Device, what Reference, id ident.Request, now time.Time) (Handle, []Message, error) {
	e.Tick(now)
	if e.cfg.RSA == nil || e.dh {
		return 0, nil, fmt.Errorf("%w: not provisioned for RSA key transport", ErrState)
	}
	if peer == e.cfg.Self {
		return 0, nil, fmt.Errorf("sltp: %v is this endpoint itself", peer)
	}
	if _, err := what.pair(); err != nil {
		return 0, nil, err
	}
	if !e.room() {
		return 0, nil, ErrFull
	}
	s := e.newSession(now)
	s.want, s.request, s.what, s.rsa = peer, Request{ReqID: id}, what, &legacy{}
	out, err := e.sendR1(s, now)
	if err != nil {
		e.end(s)
		return 0, nil, err
	}
	return s.handle, out, nil
}

func (e *Endpoint) sendR1(s *session, now time.Time) ([]Message, error) {
	if err := e.renewCID(s); err != nil {
		return nil, err
	}
	s.epoch = e.cfg.Status().Epoch
	h, err := hello{maxSize: MaxMessage, epoch: s.epoch}.encode()
	if err != nil {
		return nil, err
	}
	m := r1{Number: numberR1, Modes: modeRSA, Suites: []int{}, CID: s.own, Hello: h}
	if _, err := io.ReadFull(e.cfg.Rand, m.Nonce[:]); err != nil {
		return nil, fmt.Errorf("draw N_I: %w", err)
	}
	msg, err := wire.Marshal(m)
	if err != nil {
		return nil, err
	}
	s.rsa.first = msg
	s.state, s.sentAt = waitR2, now
	s.sent = []Message{{Bytes: msg}}
	return s.sent, nil
}

// r2 authenticates the source and answers with R3.
func (e *Endpoint) r2(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	m, err := parseR2(msg)
	if err != nil {
		return e.fail(s, &AlertError{Code: AlertRejected, Err: err}, false)
	}
	s.peerCID = m.CID
	out, err := e.answerR2(s, m, now)
	if err != nil {
		return e.fail(s, err, true)
	}
	s.interval = now.Sub(s.sentAt)
	s.answer(msg, out)
	return out, nil
}

// answerR2 does the checks of R2 in their order: chain, identity, signature;
// then EAD_2.
func (e *Endpoint) answerR2(s *session, m r2, now time.Time) ([]Message, error) {
	peer, err := e.verify(m.Chain, now, e.cfg.Sources)
	if err != nil {
		return nil, err
	}
	if peer.ID() != s.want {
		return nil, alert(AlertIdentity, "the source is %v, meant is %v", peer.ID(), s.want)
	}
	th2, err := m.th2(s.rsa.first)
	if err != nil {
		return nil, err
	}
	if err := wire.VerifyRaw(peer.Public(), append([]byte(rsaLabel2), th2[:]...), m.Signature[:]); err != nil {
		return nil, &AlertError{Code: AlertRejected, Err: err}
	}
	s.peer = peer
	if err := e.readStatus(s, m.Status, now); err != nil {
		return nil, err
	}
	return e.sendR3(s, th2)
}

func (e *Endpoint) sendR3(s *session, th2 [32]byte) ([]Message, error) {
	epoch, err := EpochToWire(s.epoch)
	if err != nil {
		return nil, err
	}
	what, err := s.what.pair()
	if err != nil {
		return nil, err
	}
	req, err := wire.Marshal(legacyRequest{ReqID: s.request.ReqID, Epoch: epoch, What: what})
	if err != nil {
		return nil, err
	}
	m := r3{Chain: e.cfg.Chain, Cert: e.cfg.RSA.Cert, Request: req}
	if s.rsa.th3, err = m.th3(th2); err != nil {
		return nil, err
	}
	if m.Signature, err = signLabeled(e.cfg.Signer, append([]byte(rsaLabel3), s.rsa.th3[:]...)); err != nil {
		return nil, err
	}
	msg, err := wire.Marshal(m)
	if err != nil {
		return nil, err
	}
	s.state = waitR4
	return s.to(msg), nil
}

// r4 takes the reply. There is no session after it.
func (e *Endpoint) r4(s *session, msg []byte, now time.Time) ([]Message, []Event) {
	reply, err := e.openR4(s, msg)
	if err == nil {
		err = e.stillGood(s, now)
	}
	if err != nil {
		return e.fail(s, err, true)
	}
	e.end(s)
	return nil, []Event{EventReply{Handle: s.handle, Peer: s.peer, Reply: reply, Status: *s.status, Interval: s.interval, Legacy: true}}
}

// openR4 checks the signature before the private key does anything.
func (e *Endpoint) openR4(s *session, msg []byte) (Reply, error) {
	m, err := parseR4(msg)
	if err != nil {
		return Reply{}, &AlertError{Code: AlertRejected, Err: err}
	}
	pub, ok := e.cfg.RSA.Key.Public().(*rsa.PublicKey)
	if !ok || len(m.Wrapped) != pub.Size() {
		return Reply{}, alert(AlertRejected, "W of %d bytes", len(m.Wrapped))
	}
	if err := wire.VerifyRaw(s.peer.Public(), m.signed4(s.rsa.th3), m.Signature[:]); err != nil {
		return Reply{}, &AlertError{Code: AlertRejected, Err: err}
	}
	data, err := unwrap(e.cfg.RSA.Key, s.rsa.th3, m)
	if err != nil {
		return Reply{}, &AlertError{Code: AlertRejected, Err: err}
	}
	r, err := parseReply(data)
	if err == nil {
		err = stateless(r)
	}
	if err != nil {
		return Reply{}, &AlertError{Code: AlertRejected, Err: err}
	}
	if r.ReqID != s.request.ReqID {
		return Reply{}, alert(AlertRejected, "the reply is to request %v", r.ReqID)
	}
	return r, nil
}

// stateless is what a reply of key transport may be: a LICENSE or an ERROR, and
// nothing of anybody's state.
func stateless(r Reply) error {
	n, ok := r.Body.Number()
	if !ok || n != NumberLicense && n != NumberError || r.Head != nil {
		return fmt.Errorf("%w: key transport carries a stateless license or a refusal", ErrBody)
	}
	return nil
}
