package transfer

import (
	"crypto"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// ObjectClosing is DONE, CANCEL or QUERY outside a session, signed by the one
// whose word it is. Source: local, docs/spec/objects.md.
const ObjectClosing = wire.Object("closing")

// SignClosing signs a Done, Cancel or Query with the identity key of the side
// that sends it, whose certificate is leaf (DER): for couriers that carry one
// message at a time.
func SignClosing(signer crypto.Signer, leaf []byte, m Message) ([]byte, error) {
	switch m.(type) {
	case Done, Cancel, Query:
	default:
		return nil, fmt.Errorf("%w: %T is not signed", ErrMalformed, m)
	}
	payload, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, ObjectClosing, payload)
}

// ParseClosing reads a Done or Cancel that the transfer's source has signed, or a
// Query by either side. peer is the signer.
func ParseClosing(data []byte, peer *pki.Peer) (Message, error) {
	if !peer.Verified() {
		return nil, pki.ErrNotVerified
	}
	sig, err := wire.ParseSign1(data, ObjectClosing, wire.Limit{Bytes: MaxReceipt, Items: 8, Depth: 3})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	m, err := parseMarkOf(sig.Payload, peer.ID())
	if err != nil {
		return nil, err
	}
	if err := sig.Verify(peer.Public()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return m, nil
}

// parseMarkOf reads what a party may say of a transfer that it is a side of.
func parseMarkOf(payload []byte, by ident.Device) (Message, error) {
	if m, err := ParseDone(payload); err == nil && m.TID.Src == by {
		return m, nil
	}
	if m, err := ParseCancel(payload); err == nil && m.TID.Src == by {
		return m, nil
	}
	if m, err := ParseQuery(payload); err == nil && (m.TID.Src == by || m.TID.Dst == by) {
		return m, nil
	}
	return nil, fmt.Errorf("%w: nothing that %v may say", ErrMalformed, by)
}
