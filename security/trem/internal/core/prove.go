package core

import (
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// proveLink signs that this module is behind a link. It says so of itself only and
// of nothing else, so a host that asks for too many gains what it has: the module.
func (c *Core) proveLink(in trem.LinkOrder) (trem.LinkProof, error) {
	if err := c.need(pki.HomeServer, pki.Device, pki.LicenseIssuer); err != nil {
		return trem.LinkProof{}, err
	}
	signed, err := pki.SignLink(c.signer, c.identity.Chain[0], pki.LinkStatement{Link: in.Link, Relay: in.Relay, Hello: in.Hello})
	return trem.LinkProof{Leaf: c.identity.Chain[0], Statement: signed}, err
}
