package core

import (
	"crypto/ecdh"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
)

// endpoint is this module's side of SLTP: its identity, whom it deals with by
// its own role, and what it says of its revocation state.
func (c *Core) endpoint(delivery ecdh.KeyExchanger) sltp.Config {
	cfg := sltp.Config{
		Signer: c.signer, Chain: c.identity.Chain, Verifier: c.verifier, Proven: c.proven, Self: c.self,
		Sources:      sources(),
		Destinations: destinations(c.peer.Role()),
		Delivery:     delivery, DeliveryCert: c.identity.Delivery,
		Status: func() sltp.Status {
			if c.revoked == nil {
				return sltp.Status{}
			}
			return sltp.Status{Epoch: c.revoked.Epoch(), Head: c.revoked.Head().Hash(), Proof: c.stapled()}
		},
	}
	if c.peer.Role() == pki.LicenseIssuer { // whom everybody may ask
		cfg.MaxHalfOpen, cfg.MaxSessions = issuerHalfOpen, issuerSessions
	}
	return cfg
}

// Bounds of an issuer's module, which is asked by strangers: some MB in all.
// Source: local, docs/spec/sltp.md.
const (
	issuerHalfOpen = 1024
	issuerSessions = 4096
)

// sources are the roles that a module takes licenses from: a home server from
// issuers, a device from its home server or from the issuer that manages its domain,
// and both from each other by what a license lets its holder do. mayGive says which
// license.
func sources() []pki.Role { return []pki.Role{pki.LicenseIssuer, pki.HomeServer, pki.Device} }

// destinations are the roles that a module of role gives licenses to. An issuer's
// requested says which devices.
func destinations(role pki.Role) []pki.Role {
	if role == pki.LicenseIssuer {
		return []pki.Role{pki.HomeServer, pki.Device}
	}
	return []pki.Role{pki.Device}
}
