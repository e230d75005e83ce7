package core

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// fellow reports whether peer belongs to the house that this module manages or
// is a member of.
func (c *Core) fellow(peer *pki.Peer, membership []byte, r Reading) bool {
	switch {
	case c.domain != nil:
		m, ok := c.members[peer.ID()]
		return ok && !m.Removed
	case c.membership == nil:
		return false
	}
	if x := peer.X5T(); slices.Equal(x[:], c.membership.Manager) {
		return true
	}
	_, err := c.isFellow(peer, membership, r)
	return err == nil
}

// isFellow checks the membership that a device of this module's house shows, and
// that it is not over: for the manager by its own list, which knows of renewals.
func (c *Core) isFellow(peer *pki.Peer, membership []byte, r Reading) (*Membership, error) {
	var manager any
	var domain ident.Domain
	var generation uint64
	switch {
	case c.domain != nil:
		manager, domain, generation = c.signer.Public(), c.domain.ID, c.domain.Generation
		if m, ok := c.members[peer.ID()]; !ok || m.Removed {
			return nil, fmt.Errorf("membership: %v is not of this house", peer.ID())
		} else if c.lapsed(m.Device, r) {
			return nil, fmt.Errorf("membership: %v was not seen since %s", peer.ID(), dayOf(c.until[m.Device]-membershipLife))
		}
	case c.membership != nil:
		pub, err := c.managerKey()
		if err != nil {
			return nil, err
		}
		manager, domain, generation = pub, c.membership.Domain, c.membership.Generation
	default:
		return nil, fmt.Errorf("membership: this module is in no house")
	}
	m, err := parseMembership(membership, manager)
	if err != nil {
		return nil, err
	}
	if m.Device != peer.ID() || m.Domain != domain || m.Generation < generation {
		return nil, fmt.Errorf("membership: not of this house, or of an older generation")
	}
	if c.domain == nil && c.clock.judge(r).Est >= m.NotAfter {
		return nil, fmt.Errorf("membership: of %v, has lapsed", peer.ID())
	}
	return m, nil
}
