package license

import (
	"fmt"

	"github.com/lares-drm/lares/security/pki"
)

// Verify checks that the license stands under the peer's certificate: the
// signature, the role and, for a root license, the issuer ID. A root license is
// a license issuer's whose certificate asserts the issuer ID, or a home
// server's for an own film of its household (issuer ID = domain ID = subject). A
// derived license is a home server's or a device's. Every failure wraps ErrSigner.
//
// It does not judge a derived license against its parent, and not whether a home
// server manages the domain that it names: VerifyChain does.
func (l *License) Verify(peer *pki.Peer) error {
	if !peer.Verified() {
		return fmt.Errorf("%w: not verified", ErrSigner)
	}
	if l.sig.X5T != peer.X5T() {
		return fmt.Errorf("%w: license %v names another certificate", ErrSigner, l.info.ID)
	}
	if err := l.sig.Verify(peer.Public()); err != nil {
		return fmt.Errorf("%w: license %v: %w", ErrSigner, l.info.ID, err)
	}
	role := peer.Role()
	if l.Derived() {
		if role != pki.HomeServer && role != pki.Device {
			return fmt.Errorf("%w: a %v may not derive a license", ErrSigner, role)
		}
		return nil
	}
	switch {
	case role == pki.HomeServer:
		return l.ownForm()
	case role != pki.LicenseIssuer:
		return fmt.Errorf("%w: a %v may not issue a license", ErrSigner, role)
	case peer.Issuer() != l.info.Issuer:
		return fmt.Errorf("%w: the certificate does not assert the issuer ID of license %v", ErrSigner, l.info.ID)
	}
	return nil
}

// VerifyChain checks a chain, leaf first and root last, at most MaxChain long:
// each license under the signer of the same place, each child against its
// parent by hash and Narrower, and an own film of a house by what this module knows
// of houses.
func VerifyChain(chain []*License, signers []*pki.Peer, houses Houses) error {
	if len(chain) == 0 || len(chain) > MaxChain || len(chain) != len(signers) {
		return fmt.Errorf("%w: chain of %d licenses, %d signers", ErrSigner, len(chain), len(signers))
	}
	for i, l := range chain {
		if err := l.Verify(signers[i]); err != nil {
			return err
		}
		root := i == len(chain)-1
		if root == l.Derived() {
			return fmt.Errorf("%w: chain does not end at the root license", ErrSigner)
		}
		if root {
			break
		}
		parent := chain[i+1]
		if l.info.Parent.Hash != parent.Hash() {
			return fmt.Errorf("%w: license %v is of another parent", ErrSigner, l.info.ID)
		}
		if err := Narrower(&l.info, &parent.info); err != nil {
			return err
		}
		if l.info.Parent.Kind == KindRebind {
			if err := CheckRebind(l, parent); err != nil {
				return err
			}
		}
	}
	if signers[len(signers)-1].Role() == pki.HomeServer {
		return houses.judge(chain, signers)
	}
	return nil
}
