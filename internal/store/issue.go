package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	sqlDebitIf = `UPDATE license_grant SET remaining = remaining - 1
WHERE domain_id = $1 AND grant_id = $2 AND remaining > 0 AND revoked = 0 AND version = $3 AND (expires_at = 0 OR expires_at > $4)`
	sqlSeqIf = `INSERT INTO peer_seq (domain_id, peer, incarnation, seq) VALUES ($1, $2, $3, $4)
ON CONFLICT (domain_id, peer, incarnation) DO UPDATE SET seq = excluded.seq WHERE peer_seq.seq = excluded.seq - 1`
	sqlPutTransferIf = sqlPutTransfer + ` ON CONFLICT DO NOTHING`
	sqlUnclaim       = `DELETE FROM idem WHERE domain_id = $1 AND request_id = $2`
	sqlUnputLicense  = `DELETE FROM license WHERE domain_id = $1 AND license_id = $2`
	sqlUnputTransfer = `DELETE FROM transfer WHERE domain_id = $1 AND tid = $2`
	sqlIsClaimed     = `SELECT at FROM idem WHERE domain_id = $1 AND request_id = $2`
)

// errUnforeseen gives up a transaction in which something is not as it was foreseen.
var errUnforeseen = errors.New("store: not as foreseen")

// recorded is what errUnforeseen means.
func recorded(err error) (bool, error) {
	if errors.Is(err, errUnforeseen) {
		return false, nil
	}
	return err == nil, err
}

// issueOn records all of one license that counts, or leaves something undone and says so.
func issueOn(ctx context.Context, on conn, is *issuer.Issue) error {
	all, err := issueStatements(is)
	if err != nil {
		return err
	}
	rows, err := on.batch(ctx, all)
	for _, n := range rows {
		if n != 1 && err == nil {
			err = errUnforeseen
		}
	}
	return err
}

// issueStatements are all of one license that counts: five that an engine may send at
// once, each of which must change one row.
func issueStatements(is *issuer.Issue) ([]statement, error) {
	version, err := number(is.Version)
	if err != nil {
		return nil, err
	}
	of, err := number(is.License.Version)
	if err != nil {
		return nil, err
	}
	seq, err := number(is.Transfer.ID.Seq)
	if err != nil {
		return nil, err
	}
	c, l, x := &is.Claim, &is.License, &is.Transfer
	d, tid := c.Domain[:], tidBytes(x.ID)
	return []statement{
		{sqlClaim, []any{d, c.Request[:], c.Hash[:], c.License[:], tid, c.At}},
		{sqlDebitIf, []any{d, is.Grant.Grant[:], version, c.At}},
		{sqlPutLicense, []any{d, l.ID[:], l.Device[:], l.Grant[:], l.Request[:], string(l.State), of, l.IssuedAt, l.Digest[:]}},
		{sqlPutTransferIf, []any{d, tid, x.License[:], x.ID.Dst[:], string(x.State), x.XferHash[:], notNil(x.Sealed)}},
		{sqlSeqIf, []any{d, x.ID.Dst[:], x.ID.Incarnation[:], seq}},
	}, nil
}

// issueOrUndo is issueOn for the one connection that writes: what cannot be recorded
// whole it takes back row by row, so that it needs no savepoint. Nobody else has seen
// or changed those rows meanwhile. The last statement has nothing behind it.
func issueOrUndo(ctx context.Context, on conn, is *issuer.Issue) error {
	all, err := issueStatements(is)
	if err != nil {
		return err
	}
	rows, err := on.batch(ctx, all) // stops at the first one that does not change a row
	if _, bad := errors.AsType[*engineError](err); bad || err == nil && rows[len(rows)-1] == 1 {
		return err
	}
	d := is.Claim.Domain[:]
	undo := []statement{
		{sqlUnclaim, []any{d, is.Claim.Request[:]}},
		{sqlCredit, []any{d, is.Grant.Grant[:]}},
		{sqlUnputLicense, []any{d, is.License.ID[:]}},
		{sqlUnputTransfer, []any{d, tidBytes(is.Transfer.ID)}},
	}
	for i := len(rows) - 2; i >= 0; i-- {
		if err := (&tx{conn: on}).one(ctx, undo[i].sql, undo[i].args...); err != nil {
			return &engineError{fmt.Errorf("take back what cannot be recorded: %w", err)}
		}
	}
	return cmp.Or(err, errUnforeseen)
}

// aheadAlone reads what a license will be decided by, for one caller.
func aheadAlone(ctx context.Context, e engine, a *issuer.Asked) (out issuer.Ahead, err error) {
	err = e.view(ctx, func(ctx context.Context, c conn) (err error) {
		out, err = aheadOn(ctx, c, a)
		return err
	})
	return out, err
}

// licenseAlone reads one license for one caller.
func licenseAlone(ctx context.Context, e engine, domain ident.Domain, id ident.License) (l issuer.License, err error) {
	err = e.view(ctx, func(ctx context.Context, c conn) (err error) {
		l, err = (&tx{conn: c}).License(ctx, domain, id)
		return err
	})
	return l, err
}

// aheadOn reads what a license will be decided by, with statements that an engine
// may send at once.
func aheadOn(ctx context.Context, on conn, a *issuer.Asked) (issuer.Ahead, error) {
	out := issuer.Ahead{Grants: []issuer.Grant{}}
	claimed := func(scan func(...any) error) error {
		var at int64
		out.Claimed = true
		return scan(&at)
	}
	d := a.Domain[:]
	err := on.queries(ctx, []question{
		{statement{sqlIsClaimed, []any{d, a.Request[:]}}, claimed},
		{statement{sqlGrantsFor, []any{d, []byte(a.Content)}}, grantInto(&out.Grants)},
		{statement{sqlLastSeq, []any{d, a.Peer[:], a.Incarnation[:]}}, number64(&out.Last)},
	})
	return out, err
}
