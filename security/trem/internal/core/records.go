package core

import (
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// Kinds of vault records that the core writes. 0x40 to 0x5f are those of
// security/sltp/transfer. Source: local, docs/spec/trem.md.
const (
	kindIdentity   = 0x01
	kindClock      = 0x02
	kindRevocation = 0x03
	kindDomain     = 0x04
	kindMember     = 0x05
	kindMembership = 0x06
	kindLicense    = 0x07
	kindState      = 0x08
	kindContent    = 0x09
	kindCame       = 0x0a
	kindPeer       = 0x0b // whom letters are sealed to
	kindAway       = 0x0c // a license moved away
	kindGone       = 0x0d // a loan is over here
	kindLost       = 0x0f // a destination is reported lost
	kindBack       = 0x1d // what was set aside for a device is given back
	kindDwell      = 0x1e // of earlier builds: a device of the house has a child without a count
	kindAside      = 0x2d // a device of the house has this child
	kindWant       = 0x2e // a device waits for what others have
	kindWanted     = 0x2f // what a device has answered of that
	kindReach      = 0x30 // a device has something of an issuer that limits them
	kindSeen       = 0x2c // until when the newest membership of a member holds
	kindRuling     = 0x1c // the arbiter's RELEASE, to be passed on
	kindExported   = 0x22 // what a request for another system was answered with
	kindPairwise   = 0x0e // an issuer's name for the house, learned from a fellow member
	kindForeign    = 0x40 // and above: transfer records
)

// recordLimit bounds every record's body.
var recordLimit = wire.Limit{Bytes: 4 << 20, Items: 65536, Depth: 16}

type identityRecord struct {
	_        struct{} `cbor:",toarray"`
	Chain    [][]byte
	Delivery []byte
	Roots    [][]byte
}

type revocationRecord struct {
	_        struct{} `cbor:",toarray"`
	Head     []byte
	Chain    [][]byte // of the state signer
	Snapshot []byte
	Twins    [][]byte // encoded offers: other states of the same epoch that its signer gave out
	Change   []byte   // the root's word on the signer; empty in generation 0
}

// domainRecord is the manager's: the household that this module founded.
type domainRecord struct {
	_          struct{} `cbor:",toarray"`
	ID         ident.Domain
	Secret     []byte // 32 bytes; pairwise IDs and hardware marks come from it
	Generation uint64
	Next       uint64 // index of the next member
}

// memberRecord is the manager's note of one admitted device.
type memberRecord struct {
	_        struct{} `cbor:",toarray"`
	Device   ident.Device
	Index    uint64
	Hardware []byte
	Removed  bool
}

// membershipRecord is a member's own credential.
type membershipRecord struct {
	_          struct{} `cbor:",toarray"`
	Membership []byte
	Manager    [][]byte
}

// licenseRecord installs a stateless license; stateful ones are installed by
// their transfer's INSTALL record.
type licenseRecord struct {
	_      struct{} `cbor:",toarray"`
	Chain  [][]byte // links, leaf first
	Bundle []byte
	Epoch  uint64 // newest revocation epoch at acceptance
}

type stateRecord struct {
	_     struct{} `cbor:",toarray"`
	Hash  [32]byte
	State []byte
	Epoch uint64 // newest revocation epoch when the license was accepted
}

// contentRecord holds the keys of one content in an input TREM.
type contentRecord struct {
	_          struct{} `cbor:",toarray"`
	Content    ident.Content
	DurationMS uint64
	Keys       []keyRecord
}

type keyRecord struct {
	_    struct{} `cbor:",toarray"`
	KID  ident.Key
	Tier uint64
	Key  [16]byte
	BPS  uint64
}

func newRecord(kind uint8, body any) (vault.Record, error) {
	b, err := wire.Marshal(body)
	return vault.Record{Kind: kind, Body: b}, err
}
