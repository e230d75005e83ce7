package store

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	batchColumns = `batch_id, offer_id, content_id, kind, name, words, terms, tiers, licenses, codes, expires_at, created_at`
	sqlPutBatch  = `INSERT INTO claim_batch (` + batchColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`
	sqlBatch   = `SELECT ` + batchColumns + ` FROM claim_batch WHERE batch_id = $1`
	sqlBatches = `SELECT ` + batchColumns + ` FROM claim_batch WHERE batch_id > $1 ORDER BY batch_id LIMIT $2`
	sqlCounts  = `SELECT batch_id, state, COUNT(*) FROM claim_code WHERE batch_id >= $1 AND batch_id <= $2 GROUP BY batch_id, state`
)

// PutBatch records a batch of claim codes.
func (t *tx) PutBatch(ctx context.Context, b issuer.Batch) (bool, error) {
	licenses, err := number(b.Offer.Licenses)
	if err != nil {
		return false, err
	}
	codes, err := number(b.Codes)
	if err != nil {
		return false, err
	}
	o := &b.Offer
	return t.fresh(ctx, sqlPutBatch, b.ID[:], o.ID, []byte(o.Content), string(o.Kind), o.Name, o.Words, o.Terms, tiersText(o.Tiers), licenses, codes, b.Expires, b.Created)
}

// Batch returns one batch.
func (t *tx) Batch(ctx context.Context, id issuer.BatchID) (issuer.Batch, error) {
	return single(t.batches(ctx, sqlBatch, id[:]))
}

// Batches returns a page of all batches.
func (t *tx) Batches(ctx context.Context, after issuer.BatchID, limit int) ([]issuer.Batch, error) {
	return t.batches(ctx, sqlBatches, after[:], int64(limit))
}

// Counts counts the codes of the batches from first to last by their states.
func (t *tx) Counts(ctx context.Context, first, last issuer.BatchID) (map[issuer.BatchID]issuer.CodeCounts, error) {
	out := map[issuer.BatchID]issuer.CodeCounts{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var id []byte
		var state string
		var n int64
		if err := scan(&id, &state, &n); err != nil {
			return err
		}
		var batch issuer.BatchID
		f := fixed{}
		f.copy(batch[:], id)
		c := out[batch]
		switch issuer.CodeState(state) {
		case issuer.CodeOpen:
			c.Open = uint64(n) //nolint:gosec // a count
		case issuer.CodeRedeemed:
			c.Redeemed = uint64(n) //nolint:gosec // a count
		case issuer.CodeVoid:
			c.Void = uint64(n) //nolint:gosec // a count
		}
		out[batch] = c
		return f.err
	}, sqlCounts, first[:], last[:])
	return out, err
}

func (t *tx) batches(ctx context.Context, sql string, args ...any) ([]issuer.Batch, error) {
	out := []issuer.Batch{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var id, content []byte
		var kind, tiers string
		var licenses, codes int64
		var b issuer.Batch
		o := &b.Offer
		err := scan(&id, &o.ID, &content, &kind, &o.Name, &o.Words, &o.Terms, &tiers, &licenses, &codes, &b.Expires, &b.Created)
		if err != nil {
			return err
		}
		f := fixed{}
		f.copy(b.ID[:], id)
		o.Content, o.Kind, o.Licenses, b.Codes = ident.Content(content), issuer.Kind(kind), uint64(licenses), uint64(codes) //nolint:gosec // checked by the table to be positive
		if o.Tiers, err = tiersOf(tiers); err != nil {
			return err
		}
		out = append(out, b)
		return f.err
	}, sql, args...)
	return out, err
}

const (
	codeColumns = `code_hash, batch_id, idx, state, expires_at, domain_id, grant_id, redeemed_at`
	sqlPutCode  = `INSERT INTO claim_code (` + codeColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`
	sqlCode     = `SELECT ` + codeColumns + ` FROM claim_code WHERE code_hash = $1`
	sqlCodes    = `SELECT ` + codeColumns + ` FROM claim_code WHERE batch_id = $1 ORDER BY idx`
	sqlRedeem   = `UPDATE claim_code SET state = 'redeemed', domain_id = $2, grant_id = $3, redeemed_at = $4
WHERE code_hash = $1 AND state = 'open' AND (expires_at = 0 OR expires_at > $4)`
	sqlVoid = `UPDATE claim_code SET state = 'void' WHERE code_hash = $1 AND state = 'open'`
)

// PutCode records the hash of a claim code.
func (t *tx) PutCode(ctx context.Context, c issuer.CodeRow) (bool, error) {
	idx, err := number(c.Index)
	if err != nil {
		return false, err
	}
	return t.fresh(ctx, sqlPutCode, c.Hash[:], c.Batch[:], idx, string(c.State), c.Expires, c.Domain[:], c.Grant[:], c.RedeemedAt)
}

// Code finds a claim code by its hash.
func (t *tx) Code(ctx context.Context, hash issuer.CodeHash) (issuer.CodeRow, error) {
	return single(t.codes(ctx, sqlCode, hash[:]))
}

// Codes returns the codes of a batch, in the order in which they were made.
func (t *tx) Codes(ctx context.Context, batch issuer.BatchID) ([]issuer.CodeRow, error) {
	return t.codes(ctx, sqlCodes, batch[:])
}

func (t *tx) codes(ctx context.Context, sql string, args ...any) ([]issuer.CodeRow, error) {
	out := []issuer.CodeRow{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var hash, batch, domain, grant []byte
		var state string
		var idx int64
		var c issuer.CodeRow
		if err := scan(&hash, &batch, &idx, &state, &c.Expires, &domain, &grant, &c.RedeemedAt); err != nil {
			return err
		}
		f := fixed{}
		f.copy(c.Hash[:], hash)
		f.copy(c.Batch[:], batch)
		f.copy(c.Domain[:], domain)
		f.copy(c.Grant[:], grant)
		c.State, c.Index = issuer.CodeState(state), uint64(idx) //nolint:gosec // checked by the table not to be negative
		out = append(out, c)
		return f.err
	}, sql, args...)
	return out, err
}

// RedeemCode gives an open code to a household.
func (t *tx) RedeemCode(ctx context.Context, c issuer.CodeRow) (bool, error) {
	return t.fresh(ctx, sqlRedeem, c.Hash[:], c.Domain[:], c.Grant[:], c.RedeemedAt)
}

// VoidCode ends an open code.
func (t *tx) VoidCode(ctx context.Context, hash issuer.CodeHash) (bool, error) {
	return t.fresh(ctx, sqlVoid, hash[:])
}
