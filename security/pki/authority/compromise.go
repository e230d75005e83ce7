package authority

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// ErrCompromise is returned for a stolen key of nobody known, or since an epoch
// that has not been.
var ErrCompromise = errors.New("authority: this key cannot have been compromised")

// Compromise revokes the places of a party that signs licenses for an issuer, and
// says since which epoch others had its key: what modules accepted before stands,
// and goes on. It takes effect by Publish. The epoch can be set to an earlier one
// later, never to a later one.
func (a *Authority) Compromise(id ident.Issuer, places []pki.Member, since uint64) error {
	if a.issuer(id) < 0 {
		return fmt.Errorf("%w: no issuer %v was certified here", ErrCompromise, id)
	}
	if since == 0 || since > a.rec.Epoch+1 {
		return fmt.Errorf("%w: epoch %d, the next one is %d", ErrCompromise, since, a.rec.Epoch+1)
	}
	if err := a.draftIssuers(); err != nil {
		return err
	}
	for _, m := range places {
		if m.Index >= a.rec.Next[uint32(m.Class)] {
			return fmt.Errorf("%w: %v was never issued", ErrCompromise, m)
		}
		if err := a.draft.Compromise(id, m, since); err != nil {
			return err
		}
	}
	return nil
}
