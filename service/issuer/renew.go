package issuer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
)

// Renew lets a grant whose terms have an end go on until a later one, also after
// that end has come. Its household asks again and gets the same license in the
// next version; the content is not needed for it, here or there.
func (i *Issuer) Renew(ctx context.Context, key GrantKey, until int64) (g Grant, err error) {
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		if g, err = tx.Grant(ctx, key); err != nil {
			return fmt.Errorf("grant %v: %w", key.Grant, err)
		}
		loans, err := tx.Loans(ctx, g.Content)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(loans, func(l CopyLoan) bool { return l.Domain == key.Domain && l.Grant == key.Grant }) {
			return fmt.Errorf("%w: it is a library's copy, which is renewed as one", ErrConflict)
		}
		same, err := g.extend(until)
		if err != nil || same {
			return err
		}
		if err := i.complete(&g); err != nil {
			return err
		}
		if err := i.renew(ctx, tx, g); err != nil {
			return err
		}
		g, err = tx.Grant(ctx, key)
		return err
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "grant renewed", slog.Any("grant", key.Grant), slog.Any("domain", key.Domain), slog.Uint64("version", g.Version))
	}
	return g, err
}

// extend moves the end of the grant's terms; same is true when it is there already.
func (g *Grant) extend(until int64) (same bool, err error) {
	t, err := parseTerms(g.Terms)
	if err != nil {
		return false, err
	}
	same = true
	for n := range t.units.Usage {
		u := &t.units.Usage[n]
		switch {
		case u.EndTime == 0:
			return false, fmt.Errorf("%w: the grant has no end to move", ErrTerms)
		case u.EndTime > until:
			return false, fmt.Errorf("%w: the grant goes on longer than that", ErrTerms)
		}
		same = same && u.EndTime == until
		u.EndTime = until
	}
	g.Terms = t.join()
	if g.Expires != 0 {
		g.Expires = max(g.Expires, until)
	}
	return same, nil
}

// renew replaces what a grant says by g, for the same license in the next
// version. Its household asks again: a license without state is made anew, with the
// same ID; one that counts comes by a transfer, to the module that has it, and takes
// the place of the version before with what was used of it.
func (i *Issuer) renew(ctx context.Context, tx Tx, g Grant) error {
	have, err := tx.Grant(ctx, GrantKey{g.Domain, g.ID})
	if err != nil {
		return err
	}
	if have.Revoked {
		return fmt.Errorf("%w: the grant was revoked", ErrConflict)
	}
	g.Version, g.MinEpoch = have.Version+1, have.MinEpoch
	ok, err := tx.RenewGrant(ctx, g)
	if err == nil && !ok {
		err = ErrConflict
	}
	return err
}
