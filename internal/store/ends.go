package store

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	sqlPutRenewal = `INSERT INTO renewal (domain_id, license_id, tid, version, issued_at, digest)
VALUES ($1, $2, $3, $4, $5, $6)`
	sqlRenewal     = `SELECT tid, version, issued_at, digest FROM renewal WHERE domain_id = $1 AND license_id = $2`
	sqlDropRenewal = `DELETE FROM renewal WHERE domain_id = $1 AND license_id = $2`
	sqlPutEnd      = `INSERT INTO license_end (domain_id, license_id, how, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	sqlEnd         = `SELECT how, at FROM license_end WHERE domain_id = $1 AND license_id = $2`
	sqlMark        = `SELECT mark FROM store_mark WHERE device_id = $1`
	sqlPutMark     = `INSERT INTO store_mark (device_id, mark) VALUES ($1, $2)
ON CONFLICT (device_id) DO UPDATE SET mark = excluded.mark`
)

// PutRenewal records the renewal of a license that is on its way; there is one at most.
func (t *tx) PutRenewal(ctx context.Context, r issuer.Renewal) error {
	version, err := number(r.Version)
	if err != nil {
		return err
	}
	return t.one(ctx, sqlPutRenewal, r.Domain[:], r.License[:], tidBytes(r.Transfer), version, r.IssuedAt, r.Digest[:])
}

// Renewal returns the renewal of a license that is on its way.
func (t *tx) Renewal(ctx context.Context, domain ident.Domain, id ident.License) (issuer.Renewal, error) {
	var out []issuer.Renewal
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		r := issuer.Renewal{Domain: domain, License: id}
		var tid, digest []byte
		var version int64
		if err := scan(&tid, &version, &r.IssuedAt, &digest); err != nil {
			return err
		}
		f := fixed{}
		f.copy(r.Digest[:], digest)
		r.Transfer, r.Version = f.tid(tid), uint64(version) //nolint:gosec // checked by the table to be positive
		out = append(out, r)
		return f.err
	}, sqlRenewal, domain[:], id[:])
	return single(out, err)
}

// DropRenewal forgets a renewal that is closed.
func (t *tx) DropRenewal(ctx context.Context, domain ident.Domain, id ident.License) error {
	return t.one(ctx, sqlDropRenewal, domain[:], id[:])
}

// PutEnd records how a license ended before the end of its terms, once.
func (t *tx) PutEnd(ctx context.Context, e issuer.End) (bool, error) {
	return t.fresh(ctx, sqlPutEnd, e.Domain[:], e.License[:], string(e.How), e.At)
}

// End returns how a license ended.
func (t *tx) End(ctx context.Context, domain ident.Domain, id ident.License) (issuer.End, error) {
	var out []issuer.End
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		e := issuer.End{Domain: domain, License: id}
		var how string
		err := scan(&how, &e.At)
		e.How = issuer.EndKind(how)
		out = append(out, e)
		return err
	}, sqlEnd, domain[:], id[:])
	return single(out, err)
}

// Mark returns the mark that a module has set last.
func (t *tx) Mark(ctx context.Context, module ident.Device) (issuer.Mark, error) {
	var out []issuer.Mark
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var b []byte
		if err := scan(&b); err != nil {
			return err
		}
		var m issuer.Mark
		f := fixed{}
		f.copy(m[:], b)
		out = append(out, m)
		return f.err
	}, sqlMark, module[:])
	return single(out, err)
}

// PutMark sets a module's mark.
func (t *tx) PutMark(ctx context.Context, module ident.Device, m issuer.Mark) error {
	return t.one(ctx, sqlPutMark, module[:], m[:])
}
