package core

import (
	"crypto/x509"
	"errors"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
)

// A revocation for key compromise names an epoch. What an issuer signed with the
// key and a module accepted before that epoch stands, here and wherever it goes;
// what was accepted at it or later does not. So a license carries the epoch of its
// first acceptance on its way from one module to another (chain.md), and the
// module that receives it takes the giver's word for that, as for its state.

// vouched puts the epoch of an instance's acceptance beside the root license of
// the chain in which it, or what derives from it, is handed over.
func (i *instance) vouched(chain [][]byte) ([][]byte, error) {
	return withEpoch(chain, i.epoch)
}

// behind is a chain that begins with this link, as it is handed over.
func (i *instance) behind(first *Link, rest [][]byte) ([][]byte, error) {
	data, err := first.encode()
	if err != nil {
		return nil, err
	}
	return i.vouched(append([][]byte{data}, rest...))
}

// withEpoch is a chain with this epoch beside its root license; 0 is none.
func withEpoch(chain [][]byte, epoch uint64) ([][]byte, error) {
	last := len(chain) - 1
	l, _, err := parseLink(chain[last])
	if err != nil || l.Accepted == epoch {
		return chain, err
	}
	l.Accepted = epoch
	root, err := l.encode()
	return append(append([][]byte{}, chain[:last]...), root), err
}

// settle takes the epoch from beside the root license: what is held has it in its
// record.
func (i *instance) settle() (err error) {
	i.links, err = withEpoch(i.links, 0)
	return err
}

// handedOver reports whether who gives a license is another module than its
// issuer's.
func handedOver(from party) bool { return from.peer.Role() != pki.LicenseIssuer }

// rootVerifier judges who signed a root license that was accepted at an epoch, as
// who gives it says; 0: it says nothing.
func (c *Core) rootVerifier(accepted uint64, from party) *pki.Verifier {
	if c.revoked == nil || accepted == 0 || !handedOver(from) {
		return c.verifier
	}
	v := *c.verifier
	v.Status = stood{c.verifier.Status, c.revoked, accepted}
	return &v
}

// stood is a revocation state for what was accepted at an epoch: a key that others
// had later only is in good standing.
type stood struct {
	pki.Status
	state    *revocation.State
	accepted uint64
}

func (s stood) Check(class pki.Class, index, svn uint32) error {
	err := s.Status.Check(class, index, svn)
	if errors.Is(err, pki.ErrRevoked) {
		if since, ok := s.state.Compromised(pki.Member{Class: class, Index: index}); ok && s.accepted < since {
			return nil
		}
	}
	return err
}

// compromised is the epoch since which others had the key that signed an
// instance's root license; 0: nobody had it. Whose key that is, is read once.
func (c *Core) compromised(inst *instance) uint64 {
	if c.revoked == nil || !c.revoked.AnyCompromised() {
		return 0
	}
	if inst.signer == nil {
		inst.signer = new(pki.Member)
		if l, _, err := parseLink(inst.links[len(inst.links)-1]); err == nil && len(l.Signer) > 0 {
			if leaf, err := x509.ParseCertificate(l.Signer[0]); err == nil {
				_, *inst.signer, _ = pki.SplitSerial(leaf.SerialNumber)
			}
		}
	}
	since, _ := c.revoked.Compromised(*inst.signer)
	return since
}
