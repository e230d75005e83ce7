package store

import (
	"context"
	"math"

	"github.com/lares-drm/lares/internal/audit"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	// The row is written first of all, so that one transaction appends at a time.
	// It returns the hash of the entry before.
	sqlNextAudit = `INSERT INTO audit_last (one, seq, hash) VALUES (1, 1, $1)
ON CONFLICT (one) DO UPDATE SET seq = audit_last.seq + 1 RETURNING seq, hash`
	sqlLastAudit   = `UPDATE audit_last SET hash = $1 WHERE one = 1`
	sqlAuditLength = `SELECT seq, hash FROM audit_last WHERE one = 1`
	entryColumns   = `seq, at, actor, action, subject, prev`
	sqlPutEntry    = `INSERT INTO audit_entry (` + entryColumns + `) VALUES ($1, $2, $3, $4, $5, $6)`
	sqlEntries     = `SELECT ` + entryColumns + ` FROM audit_entry WHERE seq > $1 ORDER BY seq LIMIT $2`
	sqlLatest      = `SELECT ` + entryColumns + ` FROM audit_entry WHERE seq < $1 ORDER BY seq DESC LIMIT $2`
	sqlLastBefore  = `SELECT ` + entryColumns + ` FROM audit_entry WHERE at < $1 ORDER BY at DESC, seq DESC LIMIT 1`
	sqlPutHead     = `INSERT INTO audit_head (day, seq, signed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	sqlHeads       = `SELECT day, seq, signed FROM audit_head ORDER BY day`
)

// AppendAudit gives an entry its place in the log.
func (t *tx) AppendAudit(ctx context.Context, e audit.Entry) (audit.Entry, error) {
	if err := e.Check(); err != nil {
		return e, err
	}
	seq, prev, err := t.length(ctx, sqlNextAudit, make([]byte, 32))
	if err != nil {
		return e, err
	}
	e.Seq, e.Prev = seq, prev
	n, err := number(e.Seq)
	if err != nil {
		return e, err
	}
	if err := t.one(ctx, sqlPutEntry, n, e.At, e.Actor, e.Action, e.Subject, e.Prev[:]); err != nil {
		return e, err
	}
	hash := e.Hash()
	return e, t.one(ctx, sqlLastAudit, hash[:])
}

// length reads the row that remembers how long the log is.
func (t *tx) length(ctx context.Context, sql string, args ...any) (seq uint64, hash audit.Hash, err error) {
	err = t.conn.query(ctx, func(scan func(...any) error) error {
		var n int64
		var b []byte
		if err := scan(&n, &b); err != nil {
			return err
		}
		f := fixed{}
		f.copy(hash[:], b)
		seq = uint64(n) //nolint:gosec // checked by the table to be positive
		return f.err
	}, sql, args...)
	return seq, hash, err
}

// AppendAudit gives an entry its place in the log.
func (o *operatorTx) AppendAudit(ctx context.Context, e audit.Entry) (audit.Entry, error) {
	return o.t.AppendAudit(ctx, e)
}

// LastEntry returns how long the log is and its newest entry's hash.
func (o *operatorTx) LastEntry(ctx context.Context) (uint64, audit.Hash, error) {
	return o.t.length(ctx, sqlAuditLength)
}

// Entries returns a page of the log, in its order.
func (o *operatorTx) Entries(ctx context.Context, after uint64, limit int) ([]audit.Entry, error) {
	n, err := number(after)
	if err != nil {
		return nil, err
	}
	return o.entries(ctx, sqlEntries, n, int64(limit))
}

// Latest returns a page of the log, newest first.
func (o *operatorTx) Latest(ctx context.Context, before uint64, limit int) ([]audit.Entry, error) {
	n := int64(math.MaxInt64)
	if before != 0 && before < math.MaxInt64 {
		n = int64(before)
	}
	return o.entries(ctx, sqlLatest, n, int64(limit))
}

// LastBefore returns the newest entry that is older than a time.
func (o *operatorTx) LastBefore(ctx context.Context, at int64) (audit.Entry, error) {
	e, err := single(o.entries(ctx, sqlLastBefore, at))
	return e, theirs(err)
}

func (o *operatorTx) entries(ctx context.Context, sql string, args ...any) ([]audit.Entry, error) {
	out := []audit.Entry{}
	err := o.t.conn.query(ctx, func(scan func(...any) error) error {
		var seq int64
		var prev []byte
		var e audit.Entry
		if err := scan(&seq, &e.At, &e.Actor, &e.Action, &e.Subject, &prev); err != nil {
			return err
		}
		f := fixed{}
		f.copy(e.Prev[:], prev)
		e.Seq = uint64(seq) //nolint:gosec // checked by the table to be positive
		out = append(out, e)
		return f.err
	}, sql, args...)
	return out, err
}

// PutHead records a day's head; a day that has one keeps it.
func (o *operatorTx) PutHead(ctx context.Context, h operator.DayHead) error {
	n, err := number(h.Seq)
	if err != nil {
		return err
	}
	_, err = o.t.fresh(ctx, sqlPutHead, h.Day, n, h.Signed)
	return err
}

// Heads returns the signed heads, by day.
func (o *operatorTx) Heads(ctx context.Context) ([]operator.DayHead, error) {
	out := []operator.DayHead{}
	err := o.t.conn.query(ctx, func(scan func(...any) error) error {
		var seq int64
		var h operator.DayHead
		if err := scan(&h.Day, &seq, &h.Signed); err != nil {
			return err
		}
		h.Seq = uint64(seq) //nolint:gosec // checked by the table to be positive
		out = append(out, h)
		return nil
	}, sqlHeads)
	return out, err
}

var _ issuer.AuditTx = (*tx)(nil)
