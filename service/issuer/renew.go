package issuer

import (
	"context"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
)

// renew replaces what a grant says by g, for the same license in the next
// version. Only a license without state is renewed so: its household asks again
// and gets it made anew, with the same ID, and the keys that its module has.
func (i *Issuer) renew(ctx context.Context, tx Tx, g Grant) error {
	have, err := tx.Grant(ctx, GrantKey{g.Domain, g.ID})
	if err != nil {
		return err
	}
	if have.Revoked {
		return fmt.Errorf("%w: the grant was revoked", ErrConflict)
	}
	info, err := g.info(i.id, ident.License{1}, 1, g.IssuedAt)
	if err != nil {
		return err
	}
	if !info.Stateless() {
		return fmt.Errorf("%w: a license that counts or that goes to another house is not renewed", ErrTerms)
	}
	g.Version, g.MinEpoch = have.Version+1, have.MinEpoch
	ok, err := tx.RenewGrant(ctx, g)
	if err == nil && !ok {
		err = ErrConflict
	}
	return err
}
