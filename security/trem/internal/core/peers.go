package core

import (
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// peerRecord is whom something was handed over to by letter: what sealing the
// next letter needs.
type peerRecord struct {
	_        struct{} `cbor:",toarray"`
	Device   ident.Device
	Chain    [][]byte
	Delivery []byte
}

// pushLife is how long a pushed letter may wait. Source: local, docs/spec/sltp.md.
const pushLife = 30 * 24 * time.Hour

// push seals a message of an open transfer to its destination.
func (c *Core) push(tid ident.Transfer, m transfer.Message, r Reading) (trem.Letter, error) {
	p, ok := c.peers[tid.Dst]
	if !ok {
		return trem.Letter{}, &trem.Error{Code: trem.CodeUnknown, Text: "the certificates of the other side are not known here: it has to come by itself"}
	}
	to, err := c.verifier.Verify(p.Chain, c.certTime(r))
	if err != nil {
		return trem.Letter{}, rejected(err)
	}
	body, err := m.Encode()
	if err != nil {
		return trem.Letter{}, err
	}
	now := c.certTime(r)
	msg, err := c.sltp.Push(to, p.Delivery, sltp.Push{TID: tid, Expires: now.Add(pushLife - time.Hour), Body: body, Ends: ends(body)}, true, now)
	if err != nil {
		return trem.Letter{}, rejected(err)
	}
	return trem.Letter{To: tid.Dst, Topic: topic(tid, "source"), Bytes: msg.Bytes, Says: says(m)}, nil
}

// card is this module's own card, or that of a member: its membership without
// what only its issuers should know.
func (c *Core) card(in trem.Card, r Reading) (trem.Card, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return trem.Card{}, err
	}
	if len(in.Chain) == 0 {
		out := trem.Card{Chain: c.identity.Chain, Delivery: c.identity.Delivery, Membership: c.membershipBytes}
		if c.domain != nil && in.Issuer != "" {
			out.Issuer, out.Domain, out.Generation = in.Issuer, c.domain.pairwise(in.Issuer), c.domain.Generation
		}
		return out, nil
	}
	peer, err := c.verifier.Verify(in.Chain, c.certTime(r), pki.Device)
	if err != nil {
		return trem.Card{}, rejected(err)
	}
	m, ok := c.members[peer.ID()]
	if c.domain == nil || !ok || m.Removed {
		return trem.Card{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such member"}
	}
	if _, err := c.verifier.VerifyDelivery(peer, in.Delivery, c.certTime(r)); err != nil {
		return trem.Card{}, rejected(err)
	}
	in.Membership, err = c.signMembership(m, nil, r)
	return in, err
}
