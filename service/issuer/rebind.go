package issuer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"

	"github.com/lares-drm/lares/license/ident"
)

// GrantKeyed is the ID of the grant that an idempotency key names.
func GrantKeyed(key string) GrantID {
	sum := sha256.Sum256([]byte("lares/1/grant " + key))
	return GrantID(sum[:16])
}

// RevokeHousehold ends all grants of a household, and returns how many it has.
func (i *Issuer) RevokeHousehold(ctx context.Context, domain ident.Domain) (n int, err error) {
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		n = 0
		for key := (GrantKey{Domain: domain}); ; {
			page, err := tx.Grants(ctx, key, pageSize)
			if err != nil {
				return err
			}
			for _, g := range page {
				if g.Domain != domain {
					return some(n)
				}
				key = GrantKey{g.Domain, g.ID}
				if err := tx.RevokeGrant(ctx, key); err != nil {
					return err
				}
				n++
			}
			if len(page) < pageSize {
				return some(n)
			}
		}
	})
	return n, err
}

// some says that a household without grants is none of this issuer.
func some(n int) error {
	if n == 0 {
		return fmt.Errorf("household: %w", ErrNotFound)
	}
	return nil
}

// Rebind gives a license to another household: that of the same people, whose
// house was lost with its keys. The old grant ends, and the new household gets
// one with the same terms: for what was left of the old one and for this
// license. The content is not needed. What the old house still has plays by its
// own rules, which is why two operators decide. A repetition changes nothing.
func (i *Issuer) Rebind(ctx context.Context, domain ident.Domain, id ident.License, to ident.Domain) (g Grant, err error) {
	if to == (ident.Domain{}) || to == domain {
		return g, fmt.Errorf("%w: a license is bound to another household than its own", ErrTerms)
	}
	sum := sha256.Sum256(slices.Concat([]byte("lares/1/rebind"), domain[:], id[:], to[:]))
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		l, err := tx.License(ctx, domain, id)
		if err != nil {
			return fmt.Errorf("license %v: %w", id, err)
		}
		old, err := tx.Grant(ctx, GrantKey{domain, l.Grant})
		if err != nil {
			return err
		}
		if have, err := tx.Grant(ctx, GrantKey{to, GrantID(sum[:16])}); err == nil {
			g = have
			return nil
		}
		switch {
		case old.Revoked:
			return fmt.Errorf("%w: the grant was revoked", ErrConflict)
		case old.Kind == Loan:
			return fmt.Errorf("%w: a library's copy is lent anew", ErrConflict)
		case l.State == Returned:
			return fmt.Errorf("%w: the household does not have this license", ErrConflict)
		}
		g = old
		g.ID, g.Domain, g.Created, g.Remaining = GrantID(sum[:16]), to, i.cfg.Now().UnixMilli(), old.Remaining+1
		if err := tx.RevokeGrant(ctx, GrantKey{domain, old.ID}); err != nil {
			return err
		}
		_, err = tx.PutGrant(ctx, g)
		return err
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "license bound anew", slog.Any("license", id), slog.Any("domain", domain), slog.Any("to", to), slog.Any("grant", g.ID))
	}
	return g, err
}
