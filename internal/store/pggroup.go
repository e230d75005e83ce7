package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// pgGroups is how many groups are in a transaction at once: one works while the
// other one waits for the disk. Source: measured here (docs/performance.md).
const pgGroups = 2

// The statements of Issue for a group, of which no two are of one household: each
// array has an element for each license. The first three say for which households
// they did what was asked of them; the others do it for all or break.
const (
	sqlClaimAll = `INSERT INTO idem (domain_id, request_id, req_sha256, license_id, tid, at)
SELECT d, r, h, l, t, a FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bigint[]) AS u(d, r, h, l, t, a)
ON CONFLICT DO NOTHING RETURNING domain_id`
	sqlDebitAll = `UPDATE license_grant SET remaining = remaining - 1
FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[]) AS u(d, g, v, a)
WHERE domain_id = d AND grant_id = g AND remaining > 0 AND revoked = 0 AND version = v AND (expires_at = 0 OR expires_at > a)
RETURNING domain_id`
	sqlSeqAll = `INSERT INTO peer_seq (domain_id, peer, incarnation, seq)
SELECT d, p, i, s FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[]) AS u(d, p, i, s)
ON CONFLICT (domain_id, peer, incarnation) DO UPDATE SET seq = excluded.seq WHERE peer_seq.seq = excluded.seq - 1
RETURNING domain_id`
	sqlPutLicenseAll = `INSERT INTO license (domain_id, license_id, device_id, grant_id, request_id, state, version, issued_at, digest)
SELECT d, l, p, g, r, s, v, a, h
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[], $7::bigint[], $8::bigint[], $9::bytea[]) AS u(d, l, p, g, r, s, v, a, h)`
	sqlPutTransferAll = `INSERT INTO transfer (domain_id, tid, license_id, peer, state, xfer_hash, sealed)
SELECT d, t, l, p, s, h, b
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::text[], $6::bytea[], $7::bytea[]) AS u(d, t, l, p, s, h, b)`
)

// errAlone is of a license that a group did not record: nobody knows yet whether
// anybody else did.
var errAlone = errors.New("store: not recorded together with others")

// issue records a license together with those of other households that come at the
// same time, or else by itself.
func (e *pgEngine) issue(ctx context.Context, is *issuer.Issue) (bool, error) {
	if e.alone {
		return issueAlone(ctx, e, is)
	}
	inner, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	ok, err := e.issues.ask(inner, is.Claim.Domain, is)
	if errors.Is(err, errAlone) {
		return issueAlone(ctx, e, is)
	}
	return ok, e.busy(inner, ctx, err)
}

// issueTogether serves a group.
func (e *pgEngine) issueTogether(group []*asked[*issuer.Issue, bool]) {
	ctx, cancel := context.WithTimeout(context.Background(), e.patience)
	defer cancel()
	if len(group) == 1 {
		group[0].answer, group[0].err = issueAlone(ctx, e, group[0].question)
		return
	}
	var done map[ident.Domain]bool
	err := e.with(ctx, func(c *pgx.Conn) (err error) {
		done, err = recordAll(ctx, c, group)
		return err
	})
	// What may succeed by itself, or has happened already, everybody finds out by
	// his own keys: a lost connection, a deadlock with another issuer process, a
	// constraint that one of them violates.
	again := pgAgain(err)
	if _, broken := errors.AsType[*engineError](err); err != nil && !broken && ctx.Err() == nil {
		again = true
	}
	for _, a := range group {
		switch {
		case again && ctx.Err() == nil:
			a.err = errAlone
		case err != nil:
			a.err = e.busy(ctx, context.Background(), err)
		case done[a.domain]:
			a.answer = true
		default:
			a.err = errAlone // it gets an answer of its own
		}
	}
}

// recordAll records in one transaction the licenses of a group, but for those that
// are not as foreseen, and says of which households it did.
func recordAll(ctx context.Context, c *pgx.Conn, group []*asked[*issuer.Issue, bool]) (map[ident.Domain]bool, error) {
	b := new(pgx.Batch)
	for left := group; len(left) > 1; {
		cols, err := columnsOf(left)
		if err != nil {
			return nil, err
		}
		b.Queue("BEGIN")
		cols.decide(b)
		steps, err := decided(ctx, c, b)
		if err != nil {
			return nil, err
		}
		passed := make(map[ident.Domain]bool, len(left))
		var next []*asked[*issuer.Issue, bool]
		for _, a := range left {
			if steps[a.domain] == decisions {
				passed[a.domain] = true
				next = append(next, a)
			}
		}
		b = new(pgx.Batch)
		if len(next) == len(left) {
			cols.record(b)
			b.Queue("COMMIT")
			return passed, pgClassify(ctx, c.SendBatch(ctx, b).Close())
		}
		left = next
		b.Queue("ROLLBACK") // with the one that did not pass; then once more without it
	}
	return nil, pgClassify(ctx, c.SendBatch(ctx, b).Close())
}

// decisions is how many statements say whether all is as foreseen.
const decisions = 3

// decided sends a batch whose last statements decide, and counts for each household
// how many of them did something.
func decided(ctx context.Context, c *pgx.Conn, b *pgx.Batch) (map[ident.Domain]int, error) {
	steps := map[ident.Domain]int{}
	res := c.SendBatch(ctx, b)
	var err error
	for i := 0; i < b.Len() && err == nil; i++ {
		if i < b.Len()-decisions {
			_, err = res.Exec()
			continue
		}
		rows, failed := res.Query()
		err = take(ctx, rows, failed, func(scan func(...any) error) error {
			var domain []byte
			if err := scan(&domain); err != nil {
				return err
			}
			var id ident.Domain
			f := fixed{}
			f.copy(id[:], domain)
			steps[id]++
			return f.err
		})
	}
	return steps, pgClassify(ctx, errors.Join(err, res.Close()))
}

// columns are the licenses of a group as the statements take them.
type columns struct {
	domain, request, hash, license, tid, grant, peer, incarnation, device, digest, xferHash, sealed [][]byte

	at, grantVersion, seq, version, issuedAt []int64
	state, transferState                     []string
}

func columnsOf(group []*asked[*issuer.Issue, bool]) (*columns, error) {
	c := new(columns)
	for _, a := range group {
		is := a.question
		l, x := &is.License, &is.Transfer
		numbers := [3]int64{}
		for i, n := range []uint64{is.Version, l.Version, x.ID.Seq} {
			var err error
			if numbers[i], err = number(n); err != nil {
				return nil, fmt.Errorf("license %v: %w", l.ID, err)
			}
		}
		c.domain = append(c.domain, is.Claim.Domain[:])
		c.request = append(c.request, is.Claim.Request[:])
		c.hash = append(c.hash, is.Claim.Hash[:])
		c.license = append(c.license, l.ID[:])
		c.tid = append(c.tid, tidBytes(x.ID))
		c.at = append(c.at, is.Claim.At)
		c.grant = append(c.grant, is.Grant.Grant[:])
		c.grantVersion = append(c.grantVersion, numbers[0])
		c.peer = append(c.peer, x.ID.Dst[:])
		c.incarnation = append(c.incarnation, x.ID.Incarnation[:])
		c.seq = append(c.seq, numbers[2])
		c.device = append(c.device, l.Device[:])
		c.state = append(c.state, string(l.State))
		c.version = append(c.version, numbers[1])
		c.issuedAt = append(c.issuedAt, l.IssuedAt)
		c.digest = append(c.digest, l.Digest[:])
		c.transferState = append(c.transferState, string(x.State))
		c.xferHash = append(c.xferHash, x.XferHash[:])
		c.sealed = append(c.sealed, notNil(x.Sealed))
	}
	return c, nil
}

func (c *columns) decide(b *pgx.Batch) {
	b.Queue(sqlClaimAll, c.domain, c.request, c.hash, c.license, c.tid, c.at)
	b.Queue(sqlDebitAll, c.domain, c.grant, c.grantVersion, c.at)
	b.Queue(sqlSeqAll, c.domain, c.peer, c.incarnation, c.seq)
}

func (c *columns) record(b *pgx.Batch) {
	b.Queue(sqlPutLicenseAll, c.domain, c.license, c.device, c.grant, c.request, c.state, c.version, c.issuedAt, c.digest)
	b.Queue(sqlPutTransferAll, c.domain, c.tid, c.license, c.peer, c.transferState, c.xferHash, c.sealed)
}
