package store

import (
	"context"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	grantColumns = `domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, version, issued_at`
	sqlPutDomain = `INSERT INTO domain (domain_id, status, created_at) VALUES ($1, 'active', $2) ON CONFLICT DO NOTHING`
	sqlPutGrant  = `INSERT INTO license_grant (` + grantColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`
	sqlGrant     = `SELECT ` + grantColumns + ` FROM license_grant WHERE domain_id = $1 AND grant_id = $2`
	sqlGrantsFor = `SELECT ` + grantColumns + ` FROM license_grant WHERE domain_id = $1 AND content_id = $2 ORDER BY created_at, grant_id`
	sqlGrants    = `SELECT ` + grantColumns + ` FROM license_grant WHERE (domain_id, grant_id) > ($1, $2) ORDER BY domain_id, grant_id LIMIT $3`
	sqlRevoke    = `UPDATE license_grant SET revoked = 1 WHERE domain_id = $1 AND grant_id = $2`
	sqlDebit     = `UPDATE license_grant SET remaining = remaining - 1 WHERE domain_id = $1 AND grant_id = $2 AND remaining > 0`
	sqlCredit    = `UPDATE license_grant SET remaining = remaining + 1 WHERE domain_id = $1 AND grant_id = $2`
	sqlRenew     = `UPDATE license_grant SET terms = $4, code = $5, policy = $6, tiers = $7, expires_at = $8, issued_at = $9, version = $3
WHERE domain_id = $1 AND grant_id = $2 AND version = $3 - 1`
	sqlSeq = `INSERT INTO peer_seq (domain_id, peer, incarnation, seq) VALUES ($1, $2, $3, 1)
ON CONFLICT (domain_id, peer, incarnation) DO UPDATE SET seq = peer_seq.seq + 1 RETURNING seq`
)

// PutGrant records a grant, and its household when it is new.
func (t *tx) PutGrant(ctx context.Context, g issuer.Grant) (bool, error) {
	epoch, err := number(g.MinEpoch)
	if err != nil {
		return false, err
	}
	remaining, err := number(g.Remaining)
	if err != nil {
		return false, err
	}
	version, err := number(max(g.Version, 1))
	if err != nil {
		return false, err
	}
	revoked := int64(0)
	if g.Revoked {
		revoked = 1
	}
	if _, err := t.conn.exec(ctx, sqlPutDomain, g.Domain[:], g.Created); err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlPutGrant, g.Domain[:], g.ID[:], []byte(g.Content), g.Offer, string(g.Kind), g.Terms, notNil(g.Code), notNil(g.Policy),
		tiersText(g.Tiers), epoch, remaining, g.Expires, g.Created, revoked, version, g.IssuedAt)
}

// Grant returns one grant.
func (t *tx) Grant(ctx context.Context, key issuer.GrantKey) (issuer.Grant, error) {
	return single(t.grants(ctx, sqlGrant, key.Domain[:], key.Grant[:]))
}

// GrantsFor returns a household's grants of a content, oldest first.
func (t *tx) GrantsFor(ctx context.Context, domain ident.Domain, content ident.Content) ([]issuer.Grant, error) {
	return t.grants(ctx, sqlGrantsFor, domain[:], []byte(content))
}

// Grants returns a page of all grants.
func (t *tx) Grants(ctx context.Context, after issuer.GrantKey, limit int) ([]issuer.Grant, error) {
	return t.grants(ctx, sqlGrants, after.Domain[:], after.Grant[:], int64(limit))
}

func (t *tx) grants(ctx context.Context, sql string, args ...any) ([]issuer.Grant, error) {
	out := []issuer.Grant{}
	err := t.conn.query(ctx, grantInto(&out), sql, args...)
	return out, err
}

// grantInto reads a row of grantColumns.
func grantInto(out *[]issuer.Grant) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		var domain, id, content []byte
		var kind, tiers string
		var epoch, remaining, revoked, version int64
		var g issuer.Grant
		err := scan(&domain, &id, &content, &g.Offer, &kind, &g.Terms, &g.Code, &g.Policy, &tiers, &epoch, &remaining, &g.Expires, &g.Created, &revoked, &version, &g.IssuedAt)
		if err != nil {
			return err
		}
		f := fixed{}
		f.copy(g.Domain[:], domain)
		f.copy(g.ID[:], id)
		g.Content, g.Kind, g.Revoked = ident.Content(content), issuer.Kind(kind), revoked != 0
		g.MinEpoch, g.Remaining, g.Version = uint64(epoch), uint64(remaining), uint64(version) //nolint:gosec // checked by the table not to be negative
		if g.Tiers, err = tiersOf(tiers); err != nil {
			return err
		}
		*out = append(*out, g)
		return f.err
	}
}

// RevokeGrant ends a grant: nothing more is issued for it.
func (t *tx) RevokeGrant(ctx context.Context, key issuer.GrantKey) error {
	return t.one(ctx, sqlRevoke, key.Domain[:], key.Grant[:])
}

// RenewGrant replaces the terms of a grant.
func (t *tx) RenewGrant(ctx context.Context, g issuer.Grant) (bool, error) {
	version, err := number(g.Version)
	if err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlRenew, g.Domain[:], g.ID[:], version, g.Terms, notNil(g.Code), notNil(g.Policy), tiersText(g.Tiers), g.Expires, g.IssuedAt)
}

// Debit takes one license from a grant.
func (t *tx) Debit(ctx context.Context, key issuer.GrantKey) (bool, error) {
	return t.fresh(ctx, sqlDebit, key.Domain[:], key.Grant[:])
}

// Credit gives one license back to a grant.
func (t *tx) Credit(ctx context.Context, key issuer.GrantKey) error {
	return t.one(ctx, sqlCredit, key.Domain[:], key.Grant[:])
}

// NextSeq counts the transfers to a device.
func (t *tx) NextSeq(ctx context.Context, domain ident.Domain, peer ident.Device, in ident.Incarnation) (uint64, error) {
	var seq int64
	err := t.conn.query(ctx, func(scan func(...any) error) error { return scan(&seq) }, sqlSeq, domain[:], peer[:], in[:])
	if err == nil && seq < 1 {
		err = &engineError{fmt.Errorf("sequence %d", seq)}
	}
	return uint64(seq), err //nolint:gosec // checked above
}
