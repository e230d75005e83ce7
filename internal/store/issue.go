package store

import (
	"context"
	"errors"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	sqlClaimWhole = `INSERT INTO idem (domain_id, request_id, req_sha256, license_id, tid, at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	sqlDebitIf    = `UPDATE license_grant SET remaining = remaining - 1
WHERE domain_id = $1 AND grant_id = $2 AND remaining > 0 AND revoked = 0 AND version = $3 AND (expires_at = 0 OR expires_at > $4)`
	sqlSeqIf = `INSERT INTO peer_seq (domain_id, peer, incarnation, seq) VALUES ($1, $2, $3, $4)
ON CONFLICT (domain_id, peer, incarnation) DO UPDATE SET seq = excluded.seq WHERE peer_seq.seq = excluded.seq - 1`
	sqlIsClaimed = `SELECT at FROM idem WHERE domain_id = $1 AND request_id = $2`
)

// errUnforeseen gives up a transaction in which something is not as it was foreseen.
var errUnforeseen = errors.New("store: not as foreseen")

// issueAlone records a license in a transaction of its own.
func issueAlone(ctx context.Context, e engine, is *issuer.Issue) (bool, error) {
	err := e.update(ctx, func(ctx context.Context, c conn) error {
		ok, err := (&tx{conn: c}).issue(ctx, is)
		if err == nil && !ok {
			err = errUnforeseen
		}
		return err
	})
	if errors.Is(err, errUnforeseen) {
		return false, nil
	}
	return err == nil, err
}

// issue records all of one license that counts, if everything is as foreseen: five
// statements that an engine may send at once, each of which must change one row.
func (t *tx) issue(ctx context.Context, is *issuer.Issue) (bool, error) {
	version, err := number(is.Version)
	if err != nil {
		return false, err
	}
	of, err := number(is.License.Version)
	if err != nil {
		return false, err
	}
	seq, err := number(is.Transfer.ID.Seq)
	if err != nil {
		return false, err
	}
	c, l, x := &is.Claim, &is.License, &is.Transfer
	d, tid := c.Domain[:], tidBytes(x.ID)
	rows, err := t.conn.batch(ctx, []statement{
		{sqlClaimWhole, []any{d, c.Request[:], c.Hash[:], c.License[:], tid, c.At}},
		{sqlDebitIf, []any{d, is.Grant.Grant[:], version, c.At}},
		{sqlSeqIf, []any{d, x.ID.Dst[:], x.ID.Incarnation[:], seq}},
		{sqlPutLicense, []any{d, l.ID[:], l.Device[:], l.Grant[:], l.Request[:], string(l.State), of, l.IssuedAt, l.Digest[:]}},
		{sqlPutTransfer + " ON CONFLICT DO NOTHING", []any{d, tid, x.License[:], x.ID.Dst[:], string(x.State), x.XferHash[:], notNil(x.Sealed)}},
	})
	for _, n := range rows {
		if n != 1 {
			return false, err
		}
	}
	return err == nil, err
}

// Ahead reads what Issue will decide by, with statements that an engine may send
// at once.
func (t *tx) Ahead(ctx context.Context, domain ident.Domain, request ident.Request, content ident.Content, peer ident.Device, in ident.Incarnation) (issuer.Ahead, error) {
	out := issuer.Ahead{Grants: []issuer.Grant{}}
	claimed := func(scan func(...any) error) error {
		var at int64
		out.Claimed = true
		return scan(&at)
	}
	err := t.conn.queries(ctx, []question{
		{statement{sqlIsClaimed, []any{domain[:], request[:]}}, claimed},
		{statement{sqlGrantsFor, []any{domain[:], []byte(content)}}, grantInto(&out.Grants)},
		{statement{sqlLastSeq, []any{domain[:], peer[:], in[:]}}, number64(&out.Last)},
	})
	return out, err
}
