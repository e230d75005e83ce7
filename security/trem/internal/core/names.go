package core

import (
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// pairwise is the domain that this module shows to an issuer.
func (c *Core) pairwise(issuer ident.Issuer) (ident.Domain, uint64, bool) {
	if c.domain != nil {
		return c.domain.pairwise(issuer), c.domain.Generation, true
	}
	if c.membership == nil {
		return ident.Domain{}, 0, false
	}
	if d := c.membership.Domain; issuer == ident.Issuer(d[:]) {
		return d, c.membership.Generation, true
	}
	id, ok := c.membership.Pairwise[issuer]
	if !ok {
		id, ok = c.told[pairName{c.membership.Domain, issuer}]
	}
	return id, c.membership.Generation, ok
}

// meet checks the membership of a fellow member, and learns from it the name by
// which an issuer knows the house: its server has signed it for both.
func (c *Core) meet(peer *pki.Peer, membership []byte, issuer ident.Issuer, r Reading) error {
	if c.unseen(r) != nil { // when the house has seen it, it may come
		return transfer.ErrLater
	}
	m, err := c.isFellow(peer, membership, r)
	if err != nil || c.membership == nil {
		return err
	}
	_, _, known := c.pairwise(issuer)
	id, tells := m.Pairwise[issuer]
	if known || !tells {
		return nil
	}
	return c.keepName(pairwiseRecord{House: m.Domain, Issuer: issuer, Domain: id})
}

func (c *Core) keepName(rec pairwiseRecord) error {
	data, err := newRecord(kindPairwise, rec)
	if err != nil {
		return err
	}
	c.along(true, data)
	c.told[rec.name()] = rec.Domain
	return nil
}

// keepNames keeps the names of the house that its next membership does not say any
// more: the server has none of that issuer's licenses now, and this module may.
func (c *Core) keepNames(next *Membership) error {
	if next.Domain != c.membership.Domain {
		return nil
	}
	for issuer, id := range c.membership.Pairwise {
		name := pairName{next.Domain, issuer}
		if _, said := next.Pairwise[issuer]; said || c.told[name] == id {
			continue
		}
		if err := c.keepName(pairwiseRecord{House: next.Domain, Issuer: issuer, Domain: id}); err != nil {
			return err
		}
	}
	return nil
}

// pairwiseRecord is the name by which an issuer knows a house, as a fellow
// member's membership says it.
type pairwiseRecord struct {
	_      struct{} `cbor:",toarray"`
	House  ident.Domain
	Issuer ident.Issuer
	Domain ident.Domain
}

type pairName struct {
	house  ident.Domain
	issuer ident.Issuer
}

func (r pairwiseRecord) name() pairName { return pairName{r.House, r.Issuer} }

func (c *Core) pairwiseFor(issuer ident.Issuer) (ident.Domain, error) {
	id, _, ok := c.pairwise(issuer)
	if !ok {
		return id, stateError("this module has no domain for that issuer")
	}
	return id, nil
}

func (c *Core) snapshotNames(s *log) {
	for name, id := range c.told {
		s.add(kindPairwise, pairwiseRecord{House: name.house, Issuer: name.issuer, Domain: id})
	}
}
