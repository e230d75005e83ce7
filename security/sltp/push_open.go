package sltp

import (
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// EventPush: a push of an authenticated source. It may be one that was taken
// before: the TID, in the transfer machine, tells.
type EventPush struct {
	Peer *pki.Peer
	Push Push
}

// IsPush reports whether a message without connection ID is a push, which
// OpenPush takes and Receive does not.
func IsPush(msg []byte) bool { return kindOf(msg) == numberPush }

// parsePush reads the message and its payload; nothing is checked.
func parsePush(msg []byte) (m pushMessage, s *wire.Sign1, p pushPayload, err error) {
	if err = wire.Unmarshal(msg, &m, bodyLimit()); err != nil || m.Number != numberPush || m.Chain == nil || len(m.Chain) > pki.MaxChain {
		return m, nil, p, fmt.Errorf("%w: push", ErrBody)
	}
	if s, err = wire.ParseSign1(m.Object, ObjectPush, bodyLimit()); err != nil {
		return m, nil, p, fmt.Errorf("%w: push", ErrBody)
	}
	if err = wire.Unmarshal(s.Payload, &p, bodyLimit()); err != nil {
		return m, nil, p, fmt.Errorf("%w: push", ErrBody)
	}
	return m, s, p, p.head().check()
}

// OpenPush checks and opens a push. quality is that of the own clock (Request).
// The error is an *AlertError; it is for the host, since there is nobody to
// tell. After AlertStaleEpoch and AlertClock the same push may be opened later,
// when the revocation state or the clock has come that far.
func (e *Endpoint) OpenPush(msg []byte, quality uint8, now time.Time) (EventPush, error) {
	if e.cfg.Delivery == nil {
		return EventPush{}, alert(AlertUnsupported, "no delivery key is configured")
	}
	if len(msg) > MaxMessage {
		return EventPush{}, alert(AlertRejected, "push of %d bytes", len(msg))
	}
	m, obj, p, err := parsePush(msg)
	if err != nil {
		return EventPush{}, &AlertError{Code: AlertRejected, Err: err}
	}
	epoch, err := e.pushIsForUs(p, now)
	if err == nil && quality >= qualitySecure && p.Time-now.UnixMilli() > maxPushSkew.Milliseconds() {
		err = alert(AlertClock, "the push is of %v", time.UnixMilli(p.Time).UTC())
	}
	if err != nil {
		return EventPush{}, err
	}
	peer, err := e.pusher(m.Chain, obj, p, now)
	if err != nil {
		return EventPush{}, err
	}
	body, err := openSealed(e.cfg.Delivery, e.cfg.DeliveryCert, p)
	if err != nil {
		return EventPush{}, &AlertError{Code: AlertRejected, Err: err}
	}
	if err := checkPushed(body, p.TID); err != nil {
		return EventPush{}, &AlertError{Code: AlertRejected, Err: err}
	}
	if quality < qualitySecure && timed(body) {
		return EventPush{}, alert(AlertClock, "a loan, or a move with an end, needs a SECURE clock")
	}
	return EventPush{Peer: peer, Push: Push{TID: p.TID, Epoch: epoch, TimeMS: p.Time, Expires: time.UnixMilli(p.Expires), Body: body}}, nil
}

// pushIsForUs does the checks that cost nothing: addressee, time, epoch.
func (e *Endpoint) pushIsForUs(p pushPayload, now time.Time) (pki.Epoch, error) {
	epoch, err := EpochFromWire(p.Epoch)
	switch {
	case err != nil:
		return epoch, &AlertError{Code: AlertRejected, Err: err}
	case p.Dst != e.cfg.Self || p.Cert != wire.X5T(e.cfg.DeliveryCert):
		return epoch, alert(AlertIdentity, "the push is for %v, certificate %x", p.Dst, p.Cert)
	case now.UnixMilli() >= p.Expires:
		return epoch, alert(AlertExpired, "the push ended at %v", time.UnixMilli(p.Expires).UTC())
	}
	if own := e.cfg.Status().Epoch; own.Compare(epoch) < 0 {
		return epoch, alert(AlertStaleEpoch, "own revocation epoch %v, the push has %v", own, epoch)
	}
	return epoch, nil
}

// pusher authenticates the source: chain, then identity, then signature.
func (e *Endpoint) pusher(chain [][]byte, obj *wire.Sign1, p pushPayload, now time.Time) (*pki.Peer, error) {
	chain, err := e.certificates(edhoc.IDCred{Chain: chain, Hash: obj.X5T[:]})
	if err != nil {
		return nil, err
	}
	peer, err := e.verify(chain, now, e.cfg.Sources)
	if err != nil {
		return nil, err
	}
	if peer.ID() != p.TID.Src || peer.X5T() != obj.X5T {
		return nil, alert(AlertIdentity, "the signer is %v, the source of the transfer is %v", peer.ID(), p.TID.Src)
	}
	if err := obj.Verify(peer.Public()); err != nil {
		return nil, &AlertError{Code: AlertRejected, Err: err}
	}
	return peer, nil
}

var errSealed = errors.New("sltp: what is sealed does not open")

func openSealed(key ecdh.KeyExchanger, cert []byte, p pushPayload) (Body, error) {
	info, err := p.head().info(cert)
	if err != nil {
		return nil, err
	}
	priv, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, errSealed
	}
	rcpt, err := hpke.NewRecipient(p.Enc[:], priv, hpke.HKDFSHA256(), hpke.AES128GCM(), info)
	if err != nil {
		return nil, errSealed
	}
	body, err := rcpt.Open(nil, p.CT)
	if err != nil {
		return nil, errSealed
	}
	return body, nil
}
