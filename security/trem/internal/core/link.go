package core

import (
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
)

// Link is one license of a chain with what its signature is judged by. A chain
// is a list of links, leaf first. Source: local layout, docs/spec/chain.md.
type Link struct {
	License    []byte
	Signer     [][]byte // certificates, leaf first, without the root
	Membership []byte   // the recipient's, renewed by the home server that gives the license, or the giving member's; nil otherwise

	Transfers []countersigned // TRANSFER records, oldest first; a link without any is an array of three

	// Accepted is, beside a root license that another module than its issuer's
	// hands over, the newest epoch that was known when it was accepted first: the
	// word of who gives it. 0: none is given. A link with it is an array of five.
	Accepted uint64
}

// linkWire3, linkWire4 and linkWire5 are the layouts of a link.
type linkWire3 struct {
	_          struct{} `cbor:",toarray"`
	License    []byte
	Signer     [][]byte
	Membership []byte
}

// AppendCBOR appends a link of three. It never returns an error.
func (w linkWire3) AppendCBOR(b []byte) ([]byte, error) {
	b = wire.AppendBytes(wire.AppendArray(b, 3), w.License)
	return wire.AppendBytes(wire.AppendList(b, w.Signer), w.Membership), nil
}

type linkWire4 struct {
	_          struct{} `cbor:",toarray"`
	License    []byte
	Signer     [][]byte
	Membership []byte
	Transfers  []countersigned
}

type linkWire5 struct {
	_          struct{} `cbor:",toarray"`
	License    []byte
	Signer     [][]byte
	Membership []byte
	Transfers  []countersigned
	Accepted   uint64
}

func (l *Link) encode() ([]byte, error) {
	if l.Accepted > 0 {
		return wire.Marshal(linkWire5{
			License: l.License, Signer: l.Signer, Membership: l.Membership, Transfers: append([]countersigned{}, l.Transfers...), Accepted: l.Accepted,
		})
	}
	if len(l.Transfers) == 0 {
		return wire.Marshal(linkWire3{License: l.License, Signer: l.Signer, Membership: l.Membership})
	}
	return wire.Marshal(linkWire4{License: l.License, Signer: l.Signer, Membership: l.Membership, Transfers: l.Transfers})
}

// hasTransfers tells the layouts apart by the head of the array. It is asked at
// each segment that is played, where reading a license again would cost the most.
// What is held has no epoch beside it (settle), so it has three or four elements.
func hasTransfers(data []byte) bool { return len(data) > 0 && data[0] >= 0x84 }

// decode reads a link of any layout.
func (l *Link) decode(data []byte) error {
	items, err := wire.Array(data, 3, 5, linkLimit())
	if err != nil {
		return err
	}
	if len(items) == 3 {
		var w linkWire3
		err := wire.Unmarshal(data, &w, linkLimit())
		l.License, l.Signer, l.Membership = w.License, w.Signer, w.Membership
		return err
	}
	if len(items) == 5 {
		var w linkWire5
		if err := wire.Unmarshal(data, &w, linkLimit()); err != nil {
			return err
		}
		if w.Accepted == 0 || w.Accepted >= 1<<63 || w.Transfers == nil || len(w.Transfers) > maxTransfers {
			return fmt.Errorf("%d transfer records, accepted at epoch %d", len(w.Transfers), w.Accepted)
		}
		if len(w.Transfers) == 0 {
			w.Transfers = nil
		}
		l.License, l.Signer, l.Membership, l.Transfers, l.Accepted = w.License, w.Signer, w.Membership, w.Transfers, w.Accepted
		return nil
	}
	var w linkWire4
	if err := wire.Unmarshal(data, &w, linkLimit()); err != nil {
		return err
	}
	if len(w.Transfers) == 0 || len(w.Transfers) > maxTransfers {
		return fmt.Errorf("%d transfer records", len(w.Transfers))
	}
	l.License, l.Signer, l.Membership, l.Transfers = w.License, w.Signer, w.Membership, w.Transfers
	return nil
}

func linkLimit() wire.Limit { return wire.Limit{Bytes: 48 << 10, Items: maxTransfers + 9, Depth: 6} }

func parseLink(data []byte) (*Link, *license.License, error) {
	l := new(Link)
	if err := l.decode(data); err != nil {
		return nil, nil, fmt.Errorf("license chain: %w", err)
	}
	lic, err := license.Parse(l.License)
	return l, lic, err
}

func linkMembership(data []byte) []byte {
	l, _, err := parseLink(data)
	if err != nil {
		return nil
	}
	return l.Membership
}
