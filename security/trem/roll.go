package trem

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// CmdRoll is the command of an issuer that manages domains (IEC TS 62579).
const CmdRoll Command = 54

// RollOp says what a domain's manager does with its roll. Source: local,
// docs/spec/membership.md, A domain that an issuer manages.
type RollOp uint8

// The operations.
const (
	RollCreate RollOp = 1 // a new domain; with a roll of before the database was lost, the same one, empty
	RollAdmit  RollOp = 2
	RollRemove RollOp = 3
	RollLetter RollOp = 4 // a member's LEFT or HERE
	RollSeen   RollOp = 5 // a member has asked for something: it is there
	RollCard   RollOp = 6 // its membership, for who gives something to it
)

// RollOrder is an operation on one domain. Roll is what the module answered last: the
// host keeps it, and only the module changes it.
type RollOrder struct {
	Op       RollOp       `cbor:"1,keyasint"`
	Roll     []byte       `cbor:"2,keyasint,omitempty"`
	Devices  uint64       `cbor:"3,keyasint,omitzero"` // CREATE: how many at a time, 1 to 64
	NewAYear uint64       `cbor:"4,keyasint,omitzero"` // CREATE: how many new ones in 365 days, at most 64; 0 = no limit
	Who      *Candidate   `cbor:"5,keyasint,omitempty"`
	Device   ident.Device `cbor:"6,keyasint,omitzero"` // REMOVE, SEEN, CARD
	Letter   []byte       `cbor:"7,keyasint,omitempty"`
}

// Rolled is a domain after an operation.
type Rolled struct {
	Roll       []byte       `cbor:"1,keyasint"`
	Domain     ident.Domain `cbor:"2,keyasint"`
	Generation uint64       `cbor:"3,keyasint"`
	Members    []RollMember `cbor:"4,keyasint,omitempty"` // by index

	// Of the device that it is about, unless it is out now.
	Device     ident.Device `cbor:"5,keyasint,omitzero"`
	Membership []byte       `cbor:"6,keyasint,omitempty"`
	Manager    [][]byte     `cbor:"7,keyasint,omitempty"` // leaf first

	Replaced ident.Device `cbor:"8,keyasint,omitzero"` // ADMIT: whose place it has
	Letters  []Letter     `cbor:"9,keyasint,omitempty"`
}

// RollMember is a device of a domain.
type RollMember struct {
	_      struct{}     `cbor:",toarray"`
	Device ident.Device `json:"device"`
	Index  uint64       `json:"index"`
	Since  int64        `json:"since"`  // Unix ms: when it came first
	Until  int64        `json:"until"`  // Unix ms: the end of its newest membership
	Lapsed bool         `json:"lapsed"` // it is over
}

// Roll does one operation on a domain that this issuer manages. What it puts out is
// durable in the module before it answers: an older roll does not bring it back. A
// limit of the domain is a *RefusalError.
func (c *Client) Roll(ctx context.Context, o RollOrder) (Rolled, error) {
	return call[Rolled](ctx, c, CmdRoll, o)
}
