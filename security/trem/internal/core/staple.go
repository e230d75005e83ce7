package core

import (
	"time"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// staple shows peers that know less that this module's certificate stands.
type staple struct {
	state *revocation.State // of which it was cut
	peer  *pki.Peer
	data  []byte
}

// stapled is the staple of the state that is held, cut once; nil without one.
func (c *Core) stapled() []byte {
	if c.staple.state == c.revoked && c.staple.peer == c.peer {
		return c.staple.data
	}
	c.staple = staple{state: c.revoked, peer: c.peer}
	if c.revoked == nil {
		return nil
	}
	proof, err := c.revoked.Proof(c.peer.Members()...)
	if err != nil {
		return nil // the state has no such member: peers that know it say so
	}
	c.staple.data, _ = revocation.Staple{Proof: proof, Chain: c.state.Chain, Change: c.state.Change}.Encode() // bytes always encode
	return c.staple.data
}

// proven judges a source by its staple, when that is of a newer epoch than the
// state held: so a module that was offline refuses who was revoked since, and
// deals with others at the epoch that they have proven. The state that is held
// stays: a proof is no state. What is of an epoch that is known, the verifier has
// judged already.
func (c *Core) proven(peer *pki.Peer, data []byte, now time.Time) error {
	s, err := revocation.ParseStaple(data)
	if err != nil {
		return err
	}
	head, err := s.Head()
	if err != nil {
		return err
	}
	if c.revoked != nil && head.Epoch.Compare(c.revoked.Epoch()) <= 0 {
		return nil
	}
	trust := c.verifier.Trust
	proof, err := s.Open(&pki.Verifier{Trust: trust}, time.Time{})
	if err != nil {
		return err
	}
	_, err = (&pki.Verifier{Trust: trust, Status: proof}).Verify(peer.Chain(), now)
	return err
}
