package revocation

import (
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// MaxOffer is the longest encoded offer in bytes: a snapshot, and what shows it.
// Source: docs/spec/revocation.md.
const MaxOffer = MaxSnapshot + 1<<16

// offerRecord is an offer as it travels in a file.
type offerRecord struct {
	_        struct{} `cbor:",toarray"`
	Version  uint64
	Head     []byte
	Chain    [][]byte
	Change   []byte // empty in generation 0
	Snapshot []byte
}

const offerVersion = 1

// Encode writes an offer that has its snapshot, so that a state can travel with
// content: a device that was offline for years learns from a film who was revoked
// before it was packed.
func (o Offer) Encode() ([]byte, error) {
	if len(o.Head) != HeadLen || len(o.Snapshot) == 0 || len(o.Chain) == 0 {
		return nil, fmt.Errorf("%w: an offer has head, chain and snapshot", ErrMalformed)
	}
	change := o.Change
	if change == nil {
		change = []byte{}
	}
	return wire.Marshal(offerRecord{Version: offerVersion, Head: o.Head, Chain: o.Chain, Change: change, Snapshot: o.Snapshot})
}

// ParseOffer reads what Encode wrote. It is shown, not believed: Watch.Take
// judges it.
func ParseOffer(data []byte) (Offer, error) {
	var r offerRecord
	if err := wire.Unmarshal(data, &r, wire.Limit{Bytes: MaxOffer, Items: 16, Depth: 2}); err != nil {
		return Offer{}, fmt.Errorf("%w: offer: %w", ErrMalformed, err)
	}
	if r.Version != offerVersion || len(r.Head) != HeadLen || len(r.Chain) == 0 || len(r.Snapshot) == 0 {
		return Offer{}, fmt.Errorf("%w: offer", ErrMalformed)
	}
	o := Offer{Head: r.Head, Chain: r.Chain, Snapshot: r.Snapshot}
	if len(r.Change) > 0 {
		o.Change = r.Change
	}
	return o, nil
}
