package issuer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/lares-drm/lares/license/ident"
)

// GrantID names a grant within its household: random, or derived from a
// caller's idempotency key.
type GrantID [16]byte

// NewGrantID returns a random grant ID.
func NewGrantID() (id GrantID) {
	rand.Read(id[:]) // never returns an error
	return id
}

func (id GrantID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText prints the ID for JSON.
func (id GrantID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (id *GrantID) UnmarshalText(s []byte) error {
	b, err := hex.DecodeString(string(s))
	if err != nil || len(b) != len(id) {
		return errors.New("issuer: a grant ID is 32 hexadecimal digits")
	}
	*id = GrantID(b)
	return nil
}

// Grant is the issuer's record that a household may have licenses of a
// content. What a license is made of stands here as it will be encoded, so a
// later version of this program makes the same license.
type Grant struct {
	ID       GrantID       `json:"id"`
	Domain   ident.Domain  `json:"domain"` // pairwise: what this household is to this issuer
	Content  ident.Content `json:"content"`
	Offer    string        `json:"offer,omitempty"` // that it came from; empty = from terms
	Kind     Kind          `json:"kind"`
	Terms    string        `json:"terms"` // text form, to be read by people
	Code     []byte        `json:"-"`     // permission code: field 7 of the license
	Policy   []byte        `json:"-"`     // field 8, CBOR; where there is a field 13, an array of the two
	Tiers    []uint64      `json:"tiers"` // granted; empty = all
	MinEpoch uint64        `json:"min_epoch"`
	// Remaining is how many licenses may still be issued. A stateless license
	// is issued once and repeated.
	Remaining uint64 `json:"remaining"`
	Expires   int64  `json:"expires_at"` // Unix ms from which nothing is issued; 0 = never
	Created   int64  `json:"created_at"` // Unix ms
	Revoked   bool   `json:"revoked"`
	Version   uint64 `json:"version"`   // of its stateless license: a renewal has one more
	IssuedAt  int64  `json:"issued_at"` // Unix ms: issued at, of this version of a stateless license
}

// LicenseState says what became of an issued license.
type LicenseState string

// The states of a license at its issuer.
const (
	Issued    LicenseState = "issued"    // committed here, not yet confirmed by the household
	Delivered LicenseState = "delivered" // the household's TREM holds it
	Returned  LicenseState = "returned"  // the household's TREM refused it; the grant has its count back
)

// License is an issued license: its digest, never its body.
type License struct {
	Domain   ident.Domain  `json:"domain"`
	ID       ident.License `json:"id"`
	Device   ident.Device  `json:"device"` // the home server's TREM
	Grant    GrantID       `json:"grant"`
	Request  ident.Request `json:"request"`
	State    LicenseState  `json:"state"`
	Version  uint64        `json:"version"`
	IssuedAt int64         `json:"issued_at"` // Unix ms
	Digest   [32]byte      `json:"-"`         // license hash
}

// TransferState is a transfer's state at the source.
type TransferState string

// The states of a transfer. Source: docs/spec/transfer.md.
const (
	Escrow TransferState = "escrow" // committed, maybe sent, not confirmed
	Closed TransferState = "closed" // the receipt is in; the sealed body is erased
)

// Transfer is the hand-over of one stateful license.
type Transfer struct {
	Domain   ident.Domain
	ID       ident.Transfer
	License  ident.License
	State    TransferState
	XferHash [32]byte
	Sealed   []byte // opens only in the issuer's TREM; empty when closed
}

// Claim is a request that was answered: the same key with the same hash gets
// the same answer, with another hash none.
type Claim struct {
	Domain   ident.Domain
	Request  ident.Request // the household's req_id
	Hash     [32]byte      // SHA-256 of the request's body
	License  ident.License
	Transfer ident.Transfer // zero for a stateless license
	At       int64          // Unix ms
}

// Content is a content whose keys the issuer's TREM holds.
type Content struct {
	ID     ident.Content `json:"content"`
	Digest [32]byte      `json:"-"` // SHA-256 of the sealed keys as registered last
	At     int64         `json:"registered_at"`
}

// GrantKey is the place of a grant in their order.
type GrantKey struct {
	Domain ident.Domain
	Grant  GrantID
}
