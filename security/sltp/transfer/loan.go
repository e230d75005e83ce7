package transfer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Types of the messages of a loan. Source: local, docs/spec/transfer.md.
const (
	typeLend     = 9
	typeReturned = 10
)

// Guard is how long after a loan's end, in ms of proven time, its lender waits
// before the right is its own again. GuardHome is the same where the lender's
// manager is the borrower's time source. Source: local, docs/spec/transfer.md.
const (
	Guard     = 10 * 60_000
	GuardHome = 30_000
)

// MaxRenewals is the highest number of a loan's message: the first is 1, each
// renewal one more. Source: local, docs/spec/transfer.md.
const MaxRenewals = 1 << 32

// ObjectReturned is the borrower's statement that a loan is over. Source: local, docs/spec/objects.md.
const ObjectReturned = wire.Object("returned")

// Lend carries a loan, or its renewal, from lender to borrower. Like an XFER it
// is authenticated by the session or the push that it comes in.
type Lend struct {
	TID    ident.Transfer
	Low    uint64 // every sequence number up to it is closed at the lender
	Child  ident.License
	Number uint64   // 1, and one more with each renewal
	Until  int64    // Unix ms, > 0: the child is dead from then on
	Chain  [][]byte // license chain, the child first, 2 to 4 links
	Bundle []byte   // encoded key bundle
}

type lendWire struct {
	_      struct{} `cbor:",toarray"`
	Type   uint8
	TID    ident.Transfer
	Low    uint64
	Child  ident.License
	Number uint64
	Until  int64
	Chain  [][]byte
	Bundle []byte
}

// Hash is the xfer_hash that a RECEIPT of this message names: SHA-256 of its
// encoding with low 0, so that a repetition has the same.
func (m *Lend) Hash() [sha256.Size]byte {
	w := m.wire()
	w.Low = 0
	data, err := wire.Marshal(w)
	if err != nil {
		panic(err) //nolint:forbidigo // byte strings and numbers always encode
	}
	return sha256.Sum256(data)
}

func (m *Lend) wire() lendWire {
	return lendWire{Type: typeLend, TID: m.TID, Low: m.Low, Child: m.Child, Number: m.Number, Until: m.Until, Chain: m.Chain, Bundle: m.Bundle}
}

// Encode returns the message's bytes.
func (m *Lend) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return wire.Marshal(m.wire())
}

// ParseLend reads a LEND. The licenses and the bundle in it are not looked at.
func ParseLend(data []byte) (*Lend, error) {
	var w lendWire
	if err := unmarshal(data, &w, &w.Type, typeLend); err != nil {
		return nil, err
	}
	m := &Lend{TID: w.TID, Low: w.Low, Child: w.Child, Number: w.Number, Until: w.Until, Chain: w.Chain, Bundle: w.Bundle}
	return m, m.check()
}

func (m *Lend) check() error {
	if err := checkID(m.TID, m.Low); err != nil {
		return err
	}
	size := len(m.Bundle)
	ok := len(m.Chain) >= 2 && len(m.Chain) <= MaxChain && len(m.Bundle) > 0
	for _, link := range m.Chain {
		ok = ok && len(link) > 0
		size += len(link)
	}
	if !ok || size > MaxBody || m.Child == (ident.License{}) || m.Number == 0 || m.Number > MaxRenewals || m.Until <= 0 || m.Until > maxTime {
		return fmt.Errorf("%w: LEND", ErrMalformed)
	}
	return nil
}

// maxTime bounds times of messages, Unix ms. Source: license.md.
const maxTime = 1<<53 - 1

// Return is what a borrower says of a loan that is over: what SignReturn signs.
type Return struct {
	TID    ident.Transfer
	Child  ident.License
	Number uint64 // of the LEND that it answers
	Spent  uint64 // plays that were used
}

type returnWire struct {
	_      struct{} `cbor:",toarray"`
	Type   uint8
	TID    ident.Transfer
	Child  ident.License
	Number uint64
	Spent  uint64
}

func (r Return) check() error {
	if err := checkID(r.TID, 0); err != nil {
		return err
	}
	if r.Child == (ident.License{}) || r.Number == 0 || r.Number > MaxRenewals || r.Spent > maxTime {
		return fmt.Errorf("%w: RETURNED", ErrMalformed)
	}
	return nil
}

// SignReturn signs RETURNED with the borrower's identity key, whose certificate
// is leaf (DER).
func SignReturn(signer crypto.Signer, leaf []byte, r Return) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	payload, err := wire.Marshal(returnWire{Type: typeReturned, TID: r.TID, Child: r.Child, Number: r.Number, Spent: r.Spent})
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, ObjectReturned, payload)
}

// Returned is a RETURNED whose signature was checked: only ParseReturned makes one.
type Returned struct {
	Return
	verified bool
}

// ParseReturned reads a RETURNED that peer, the loan's borrower, has signed. A
// revoked borrower has no Peer: its word ends no loan, the end of the loan does.
func ParseReturned(data []byte, peer *pki.Peer) (*Returned, error) {
	if !peer.Verified() {
		return nil, pki.ErrNotVerified
	}
	return parseReturned(data, peer.Public())
}

func parseReturned(data []byte, pub *ecdsa.PublicKey) (*Returned, error) {
	sig, err := wire.ParseSign1(data, ObjectReturned, wire.Limit{Bytes: MaxReceipt, Items: 8, Depth: 3})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var w returnWire
	if err := unmarshal(sig.Payload, &w, &w.Type, typeReturned); err != nil {
		return nil, err
	}
	r := Return{TID: w.TID, Child: w.Child, Number: w.Number, Spent: w.Spent}
	if err := r.check(); err != nil {
		return nil, err
	}
	if err := signedBy(sig, r.TID.Dst, pub); err != nil {
		return nil, err
	}
	return &Returned{Return: r, verified: true}, nil
}

// signedBy checks that id's key, and no other, made the signature.
func signedBy(sig *wire.Sign1, id ident.Device, pub *ecdsa.PublicKey) error {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if signer := ident.DeviceOf(spki); signer != id {
		return fmt.Errorf("%w: signed by %v, not by %v", ErrReceipt, signer, id)
	}
	if err := sig.Verify(pub); err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return nil
}
