package sltp

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/edhoc"
)

// This file is the one-pass push: a message of a transfer, sealed to the
// destination's certified delivery key and signed by its source, for who is not
// there to answer. It says nothing of the destination's state and has no
// forward secrecy against the delivery key.

// ObjectPush is the signed object "push" of docs/spec/objects.md.
const ObjectPush wire.Object = "push"

// Numbers and limits of a push. Source: local, docs/spec/sltp.md.
const (
	numberPush  = -62229
	pushVersion = 1
	pushLabel   = "SLTP-PUSH" // before the certificate's hash, in HPKE's info
	maxPushLife = 30 * 24 * time.Hour
	maxPushSkew = 24 * time.Hour // that a push may be ahead of a SECURE clock
	encLen      = 65             // bytes of an encapsulated P-256 key (RFC 9180 section 7.1)
)

// Numbers of the transfer messages that carry keys. Source: docs/spec/transfer.md.
const (
	numberXFER = 1
	numberLEND = 9
)

// qualitySecure is the clock quality SECURE of docs/spec/sltp.md.
const qualitySecure = 3

// Push is what a source pushes.
type Push struct {
	TID     ident.Transfer // whose source and destination are the two parties
	Epoch   pki.Epoch      // of the source's revocation state; set by Endpoint.Push
	TimeMS  int64          // when it was made, Unix milliseconds; set by Endpoint.Push
	Expires time.Time      // at most 30 days after that
	Body    Body           // XFER or LEND with the same TID
	Ends    bool           // every license in it has an end time (SuiteFloor); not on the wire
}

// pushHead is the payload but for what HPKE made: what its info binds.
type pushHead struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	TID     ident.Transfer
	Dst     ident.Device
	Cert    [wire.X5TLen]byte // of the destination's delivery certificate
	Epoch   uint64
	Time    int64
	Expires int64
}

type pushPayload struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	TID     ident.Transfer
	Dst     ident.Device
	Cert    [wire.X5TLen]byte
	Epoch   uint64
	Time    int64
	Expires int64
	Enc     [encLen]byte
	CT      []byte
}

type pushMessage struct {
	_      struct{} `cbor:",toarray"`
	Number int64
	Object wire.RawMessage
	Chain  [][]byte // the source's certificates; empty when the destination holds them
}

func (p pushPayload) head() pushHead {
	return pushHead{Version: p.Version, TID: p.TID, Dst: p.Dst, Cert: p.Cert, Epoch: p.Epoch, Time: p.Time, Expires: p.Expires}
}

// info binds the whole certificate and everything in the payload beside it.
func (h pushHead) info(cert []byte) ([]byte, error) {
	enc, err := wire.Marshal(h)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(cert)
	return slices.Concat([]byte(pushLabel), sum[:], enc), nil
}

// check judges what a payload says by itself.
func (h pushHead) check() error {
	life := h.Expires - h.Time
	if h.Version != pushVersion || h.Time < 0 || life <= 0 || life > maxPushLife.Milliseconds() || h.TID.Dst != h.Dst {
		return fmt.Errorf("%w: push", ErrBody)
	}
	_, err := EpochFromWire(h.Epoch)
	return err
}

// deliveryVerifier is the further ability of a Verifier that pushing needs.
// *pki.Verifier has it.
type deliveryVerifier interface {
	VerifyDelivery(peer *pki.Peer, leaf []byte, now time.Time) (*ecdh.PublicKey, error)
}

// Push seals and signs a push for a destination that the host has verified, and
// whose delivery certificate is cert. The message travels without connection
// ID, with the own chain when withChain.
func (e *Endpoint) Push(to *pki.Peer, cert []byte, p Push, withChain bool, now time.Time) (Message, error) {
	v, ok := e.cfg.Verifier.(deliveryVerifier)
	if !ok {
		return Message{}, errors.New("sltp: the Verifier knows no delivery keys")
	}
	pub, err := v.VerifyDelivery(to, cert, now)
	if err != nil {
		return Message{}, fmt.Errorf("push to %v: %w", to.ID(), err)
	}
	if p.TID.Src != e.cfg.Self || p.TID.Dst != to.ID() || to.ID() == e.cfg.Self {
		return Message{}, fmt.Errorf("sltp: transfer %v is not from here to %v", p.TID, to.ID())
	}
	if err := checkPushed(p.Body, p.TID); err != nil {
		return Message{}, err
	}
	if err := e.endless(to, edhoc.Suite2, !p.Ends, p.Body); err != nil {
		return Message{}, err
	}
	epoch, err := EpochToWire(e.cfg.Status().Epoch)
	if err != nil {
		return Message{}, err
	}
	h := pushHead{
		Version: pushVersion, TID: p.TID, Dst: p.TID.Dst, Cert: wire.X5T(cert), Epoch: epoch,
		Time: now.UnixMilli(), Expires: p.Expires.UnixMilli(),
	}
	if err := h.check(); err != nil {
		return Message{}, err
	}
	return e.signPush(h, pub, cert, p.Body, withChain)
}

func (e *Endpoint) signPush(h pushHead, pub *ecdh.PublicKey, cert []byte, body Body, withChain bool) (Message, error) {
	info, err := h.info(cert)
	if err != nil {
		return Message{}, err
	}
	to, err := hpke.NewDHKEMPublicKey(pub)
	if err != nil {
		return Message{}, fmt.Errorf("push to %v: %w", h.Dst, err)
	}
	enc, sender, err := hpke.NewSender(to, hpke.HKDFSHA256(), hpke.AES128GCM(), info)
	if err != nil {
		return Message{}, fmt.Errorf("push to %v: %w", h.Dst, err)
	}
	ct, err := sender.Seal(nil, body)
	if err != nil {
		return Message{}, fmt.Errorf("push to %v: %w", h.Dst, err)
	}
	payload, err := wire.Marshal(pushPayload{
		Version: h.Version, TID: h.TID, Dst: h.Dst, Cert: h.Cert, Epoch: h.Epoch, Time: h.Time, Expires: h.Expires,
		Enc: [encLen]byte(enc), CT: ct,
	})
	if err != nil {
		return Message{}, err
	}
	obj, err := wire.NewSign1(e.cfg.Signer, e.cfg.Chain[0], ObjectPush, payload)
	if err != nil {
		return Message{}, err
	}
	m := pushMessage{Number: numberPush, Object: obj, Chain: [][]byte{}}
	if withChain {
		m.Chain = e.cfg.Chain
	}
	msg, err := wire.Marshal(m)
	if err == nil && len(msg) > MaxMessage {
		err = ErrTooLarge
	}
	return Message{Bytes: msg}, err
}

// checkPushed: a push carries XFER or LEND of its own transfer, nothing else.
func checkPushed(body Body, tid ident.Transfer) error {
	if err := checkBody(body); err != nil {
		return err
	}
	items, err := wire.Array(body, 2, 256, bodyLimit())
	n, ok := body.Number()
	if err != nil || !ok || n != numberXFER && n != numberLEND {
		return fmt.Errorf("%w: a push carries XFER or LEND", ErrBody)
	}
	var in ident.Transfer
	if err := wire.Unmarshal(items[1], &in, wire.Limit{Bytes: 128}); err != nil || in != tid {
		return fmt.Errorf("%w: the body is of another transfer", ErrBody)
	}
	return nil
}

// timed reports whether a body may be taken under a SECURE clock only: a LEND,
// and a MOVE that an arbiter may release after a time. What cannot be read
// counts as one.
func timed(body Body) bool {
	if n, ok := body.Number(); !ok || n != numberXFER {
		return true
	}
	items, err := wire.Array(body, 6, 6, bodyLimit())
	if err != nil {
		return true
	}
	var inner []byte
	if err := wire.Unmarshal(items[4], &inner, bodyLimit()); err != nil {
		return true
	}
	parts, err := wire.Array(inner, 6, 6, bodyLimit())
	if err != nil {
		return true
	}
	return !bytes.Equal(parts[4], []byte{0xf6}) // hold_until is null
}
