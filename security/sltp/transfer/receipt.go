package transfer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// The signed objects of this package. Source: local, docs/spec/objects.md.
const (
	ObjectReceipt = wire.Object("receipt")
	ObjectClosed  = wire.Object("closed")
	ObjectHead    = wire.Object("head")
)

// Verdict is what a destination says became of a transfer. Source: local,
// docs/spec/transfer.md.
type Verdict uint8

// The verdicts.
const (
	Installed Verdict = 1 // the right is here, durably
	Refused   Verdict = 2 // it is not here and will never be
	Unknown   Verdict = 3 // closed long ago, the outcome is no longer kept (CLOSED only)
)

func (v Verdict) String() string {
	switch v {
	case Installed:
		return "INSTALLED"
	case Refused:
		return "REFUSED"
	case Unknown:
		return "UNKNOWN"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// Reasons of a refusal that this package gives itself. Others come from the
// caller's judge. Source: local, docs/spec/transfer.md.
const (
	ReasonRolledBack   = "ROLLED_BACK"  // from an older incarnation of the source
	ReasonCancelled    = "CANCELLED"    // the source took it back in time
	ReasonMalformed    = "MALFORMED"    // the body cannot be read
	ReasonUnacceptable = "UNACCEPTABLE" // the judge gave no reason of its own
	ReasonReleased     = "RELEASED"     // by the arbiter: it is the source's again
)

// MaxReason is the longest reason, in bytes. Source: local, docs/spec/transfer.md.
const MaxReason = 48

// MaxReceipt is the longest RECEIPT or CLOSED, in bytes. Source: local, docs/spec/transfer.md.
const MaxReceipt = 1024

// ErrReceipt is returned for a receipt that does not hold.
var ErrReceipt = errors.New("transfer: the receipt does not hold")

// Statement is what a destination's records say of a transfer: what SignReceipt
// signs. Verdict, Reason and XferHash are the same whenever it is asked again; Head
// and Epoch, which the caller fills in, are the newest.
type Statement struct {
	TID      ident.Transfer
	Verdict  Verdict
	Reason   string            // of a refusal; empty otherwise
	XferHash [sha256.Size]byte // zero when no body was seen
	Head     []byte            // the destination's signed vault HEAD; nil when it has none
	Epoch    uint64            // revocation epoch the destination knows, as on the wire
	Closed   bool              // the transfer is at or below the watermark: CLOSED, not RECEIPT
	Low      uint64            // of CLOSED: the destination's watermark
}

type receiptWire struct {
	_       struct{} `cbor:",toarray"`
	Type    uint8
	TID     ident.Transfer
	Verdict Verdict
	Reason  string
	Hash    [sha256.Size]byte
	Head    []byte
	Epoch   uint64
}

type closedWire struct {
	_       struct{} `cbor:",toarray"`
	Type    uint8
	TID     ident.Transfer
	Verdict Verdict
	Hash    [sha256.Size]byte
	Low     uint64
}

func (s Statement) payload() (wire.Object, []byte, error) {
	if err := s.check(); err != nil {
		return "", nil, err
	}
	if s.Closed {
		data, err := wire.Marshal(closedWire{Type: typeClosed, TID: s.TID, Verdict: s.Verdict, Hash: s.XferHash, Low: s.Low})
		return ObjectClosed, data, err
	}
	data, err := wire.Marshal(receiptWire{Type: typeReceipt, TID: s.TID, Verdict: s.Verdict, Reason: s.Reason, Hash: s.XferHash, Head: orNil(s.Head), Epoch: s.Epoch})
	return ObjectReceipt, data, err
}

func (s Statement) check() error {
	if err := checkID(s.TID, s.Low); err != nil {
		return err
	}
	ok := s.Verdict == Installed || s.Verdict == Refused || s.Closed && s.Verdict == Unknown
	if s.Closed {
		ok = ok && s.Reason == "" && s.Head == nil && s.Epoch == 0 && s.Low >= s.TID.Seq
	} else {
		ok = ok && s.Low == 0 && (s.Verdict == Refused) == (s.Reason != "") && len(s.Reason) <= MaxReason && len(s.Head) <= MaxHead
	}
	if zero := s.XferHash == [sha256.Size]byte{}; s.Verdict == Unknown && !zero || s.Verdict == Installed && zero {
		ok = false
	}
	if !ok {
		return fmt.Errorf("%w: receipt", ErrMalformed)
	}
	return nil
}

// SignReceipt signs a statement as RECEIPT or CLOSED with the destination's
// identity key, whose certificate is leaf (DER).
func SignReceipt(signer crypto.Signer, leaf []byte, s Statement) ([]byte, error) {
	if s.Closed {
		s.Head, s.Epoch = nil, 0 // CLOSED carries neither
	}
	obj, payload, err := s.payload()
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, obj, payload)
}

// Receipt is a RECEIPT or CLOSED whose signature was checked: only
// ParseReceipt and ParseRevokedReceipt make one.
type Receipt struct {
	Statement
	raw     []byte // as received
	revoked bool
}

// ParseReceipt reads a RECEIPT or CLOSED that peer, the transfer's
// destination, has signed.
func ParseReceipt(data []byte, peer *pki.Peer) (*Receipt, error) {
	if !peer.Verified() {
		return nil, pki.ErrNotVerified
	}
	return parseReceipt(data, peer.ID(), peer.Public())
}

// ParseRevokedReceipt reads the same from a destination that is revoked, which
// has no Peer any more: the transfer's ID itself says which key may sign it.
// Of such a receipt only INSTALLED counts.
func ParseRevokedReceipt(data []byte, pub *ecdsa.PublicKey) (*Receipt, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	r, err := parseReceipt(data, ident.DeviceOf(spki), pub)
	if err != nil {
		return nil, err
	}
	r.revoked = true
	return r, nil
}

func parseReceipt(data []byte, signer ident.Device, pub *ecdsa.PublicKey) (*Receipt, error) {
	s, sig, err := readReceipt(data)
	if err != nil {
		return nil, err
	}
	if s.TID.Dst != signer {
		return nil, fmt.Errorf("%w: signed by %v, which is not the destination", ErrReceipt, signer)
	}
	if err := sig.Verify(pub); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return &Receipt{Statement: s, raw: bytes.Clone(data)}, nil
}

func readReceipt(data []byte) (s Statement, sig *wire.Sign1, err error) {
	lim := wire.Limit{Bytes: MaxReceipt, Items: 8, Depth: 3}
	if sig, err = wire.ParseSign1(data, ObjectReceipt, lim); err == nil {
		var w receiptWire
		if err := unmarshal(sig.Payload, &w, &w.Type, typeReceipt); err != nil {
			return s, nil, err
		}
		if w.Head != nil && len(w.Head) == 0 {
			return s, nil, fmt.Errorf("%w: receipt", ErrMalformed)
		}
		s = Statement{TID: w.TID, Verdict: w.Verdict, Reason: w.Reason, XferHash: w.Hash, Head: w.Head, Epoch: w.Epoch}
		return s, sig, s.check()
	}
	if sig, err = wire.ParseSign1(data, ObjectClosed, lim); err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var w closedWire
	if err := unmarshal(sig.Payload, &w, &w.Type, typeClosed); err != nil {
		return s, nil, err
	}
	s = Statement{TID: w.TID, Verdict: w.Verdict, XferHash: w.Hash, Low: w.Low, Closed: true}
	return s, sig, s.check()
}

// Installed reports whether the right is durably at the destination.
func (r *Receipt) Installed() bool { return r.Verdict == Installed }

// Bytes is the signed object as received: evidence.
func (r *Receipt) Bytes() []byte { return bytes.Clone(r.raw) }

// Closes judges a receipt against what the source sent: Installed (commit),
// Refused (abort), or Unknown: the receipt decides nothing, and the right is
// quarantined. It is for a source that keeps its transfers in a store of its
// own; Source uses it too. ErrNeedsRelease says that a revoked destination's
// refusal does not count.
func (r *Receipt) Closes(tid ident.Transfer, hash [sha256.Size]byte) (Verdict, error) {
	if r == nil || r.raw == nil {
		return 0, ErrReceipt
	}
	if r.TID != tid {
		return 0, fmt.Errorf("%w: it is of another transfer", ErrReceipt)
	}
	blind := r.Verdict == Refused && r.XferHash == [sha256.Size]byte{} // CANCEL came first
	switch {
	case r.Verdict == Unknown, r.XferHash != hash && !blind:
		return Unknown, nil
	case r.Verdict == Refused && r.revoked:
		return 0, ErrNeedsRelease
	}
	return r.Verdict, nil
}
