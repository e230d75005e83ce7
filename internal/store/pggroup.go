package store

import (
	"cmp"
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

// pgLooks is how many groups read at once: they wait for no disk, and one larger group
// takes less of the processor than two. Source: measured here (docs/performance.md).
const pgLooks = 1

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

// The statements of Ahead for a group; the household comes first.
const (
	sqlClaimedOf = `SELECT domain_id, at FROM unnest($1::bytea[], $2::bytea[]) AS u(d, r), idem WHERE domain_id = d AND request_id = r`
	sqlGrantsOf  = `SELECT ` + grantColumns + ` FROM unnest($1::bytea[], $2::bytea[]) AS u(d, c), license_grant
WHERE domain_id = d AND content_id = c ORDER BY created_at, grant_id`
	sqlLastSeqOf = `SELECT domain_id, seq FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u(d, p, i), peer_seq
WHERE domain_id = d AND peer = p AND incarnation = i`
)

// The statement of License for a group.
const sqlLicensesOf = `SELECT ` + licenseColumns + ` FROM unnest($1::bytea[], $2::bytea[]) AS u(d, l), license
WHERE domain_id = d AND license_id = l`

// errAlone is of what a group did not do: nobody knows yet whether anybody did.
var errAlone = errors.New("store: not done together with others")

// ahead reads what a license will be decided by together with what others ask.
func (e *pgEngine) ahead(ctx context.Context, a *issuer.Asked) (out issuer.Ahead, err error) {
	if err = errAlone; !e.alone {
		inner, cancel := context.WithTimeout(ctx, e.patience)
		defer cancel()
		out, err = e.looks.ask(inner, a.Domain, a)
		err = e.busy(inner, ctx, err)
	}
	if errors.Is(err, errAlone) {
		return aheadAlone(ctx, e, a)
	}
	return out, err
}

// aheadTogether serves a group.
func (e *pgEngine) aheadTogether(group []*asked[*issuer.Asked, issuer.Ahead]) {
	ctx, cancel := context.WithTimeout(context.Background(), e.patience)
	defer cancel()
	if len(group) == 1 {
		out, err := aheadAlone(ctx, e, group[0].question)
		group[0].answer, group[0].err = out, e.busy(ctx, context.Background(), err)
		return
	}
	var domain, request, content, peer, in [][]byte
	place := make(map[ident.Domain]*issuer.Ahead, len(group))
	for _, a := range group {
		q := a.question
		domain, request, content, peer, in = append(domain, q.Domain[:]), append(request, q.Request[:]), append(content, []byte(q.Content)), append(peer, q.Peer[:]), append(in, q.Incarnation[:])
		a.answer.Grants = []issuer.Grant{}
		place[q.Domain] = &a.answer
	}
	of := func(into func(*issuer.Ahead, uint64)) func(func(...any) error) error {
		return func(scan func(...any) error) error {
			var domain []byte
			var n uint64
			err := number64(&n)(func(dest ...any) error { return scan(&domain, dest[0]) })
			if err != nil {
				return err
			}
			return found(place, domain, func(a *issuer.Ahead) { into(a, n) })
		}
	}
	err := e.with(ctx, func(c *pgx.Conn) error {
		return (&pgConn{c: c}).queries(ctx, []question{
			{statement{sqlClaimedOf, []any{domain, request}}, of(func(a *issuer.Ahead, _ uint64) { a.Claimed = true })},
			{statement{sqlGrantsOf, []any{domain, content}}, func(scan func(...any) error) error {
				var one []issuer.Grant
				if err := grantInto(&one)(scan); err != nil {
					return err
				}
				return found(place, one[0].Domain[:], func(a *issuer.Ahead) { a.Grants = append(a.Grants, one[0]) })
			}},
			{statement{sqlLastSeqOf, []any{domain, peer, in}}, of(func(a *issuer.Ahead, n uint64) { a.Last = n })},
		})
	})
	for _, a := range group {
		a.err = e.apart(ctx, err)
	}
}

// found does something with what a household asked.
func found(place map[ident.Domain]*issuer.Ahead, domain []byte, do func(*issuer.Ahead)) error {
	var id ident.Domain
	f := fixed{}
	f.copy(id[:], domain)
	if a := place[id]; f.err == nil && a != nil {
		do(a)
	}
	return f.err
}

// license reads one license together with what others read. It needs no transaction,
// which would be two more round trips.
func (e *pgEngine) license(ctx context.Context, domain ident.Domain, id ident.License) (l issuer.License, err error) {
	inner, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	if e.alone {
		err = e.with(inner, func(c *pgx.Conn) (err error) {
			l, err = (&tx{conn: &pgConn{c: c, begun: true}}).License(inner, domain, id)
			return err
		})
		if pgAgain(err) {
			err = errAlone
		}
	} else {
		l, err = e.reads.ask(inner, domain, id)
	}
	if errors.Is(err, errAlone) {
		return licenseAlone(ctx, e, domain, id)
	}
	return l, e.busy(inner, ctx, err)
}

// licensesTogether serves a group, of one too.
func (e *pgEngine) licensesTogether(group []*asked[ident.License, issuer.License]) {
	ctx, cancel := context.WithTimeout(context.Background(), e.patience)
	defer cancel()
	var domain, license [][]byte
	for _, a := range group {
		domain, license = append(domain, a.domain[:]), append(license, a.question[:])
	}
	var all []issuer.License
	err := e.with(ctx, func(c *pgx.Conn) error {
		return (&pgConn{c: c, begun: true}).query(ctx, licenseInto(&all), sqlLicensesOf, domain, license)
	})
	of := make(map[ident.Domain]issuer.License, len(all))
	for _, l := range all {
		of[l.Domain] = l
	}
	for _, a := range group {
		l, there := of[a.domain]
		switch {
		case err != nil:
			a.err = e.apart(ctx, err)
		case !there:
			a.err = issuer.ErrNotFound
		default:
			a.answer = l
		}
	}
}

// apart is what an error of a group is to each of it. What may succeed by itself, or
// has happened already, everybody finds out by his own keys: a lost connection, a
// deadlock with another issuer process, a constraint that one of them violates.
func (e *pgEngine) apart(ctx context.Context, err error) error {
	_, broken := errors.AsType[*engineError](err)
	if err != nil && ctx.Err() == nil && (pgAgain(err) || !broken) {
		return errAlone
	}
	return e.busy(ctx, context.Background(), err)
}

// issue records a license together with those of other households that come at the
// same time, or else by itself.
func (e *pgEngine) issue(ctx context.Context, is *issuer.Issue) (bool, error) {
	if e.alone {
		return e.issueAlone(ctx, is)
	}
	inner, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	ok, err := e.issues.ask(inner, is.Claim.Domain, is)
	if errors.Is(err, errAlone) {
		return e.issueAlone(ctx, is)
	}
	return ok, e.busy(inner, ctx, err)
}

func (e *pgEngine) issueAlone(ctx context.Context, is *issuer.Issue) (bool, error) {
	return recorded(e.update(ctx, func(ctx context.Context, c conn) error { return issueOn(ctx, c, is) }))
}

// issueTogether serves a group.
func (e *pgEngine) issueTogether(group []*asked[*issuer.Issue, bool]) {
	ctx, cancel := context.WithTimeout(context.Background(), e.patience)
	defer cancel()
	if len(group) == 1 {
		ok, err := e.issueAlone(ctx, group[0].question)
		group[0].answer, group[0].err = ok, e.busy(ctx, context.Background(), err)
		return
	}
	var done map[ident.Domain]bool
	err := e.with(ctx, func(c *pgx.Conn) (err error) {
		done, err = recordAll(ctx, c, group)
		return err
	})
	for _, a := range group {
		if a.answer = done[a.domain] && err == nil; !a.answer {
			a.err = cmp.Or(e.apart(ctx, err), errAlone) // who is not as foreseen gets an answer of his own
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
		b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED")
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
