package store

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	stockColumns = `content_id, copies, offer_id, period_ms, window_ms, turn`
	sqlPutStock  = `INSERT INTO stock (` + stockColumns + `) VALUES ($1, $2, $3, $4, $5, 0)
ON CONFLICT (content_id) DO UPDATE SET copies = excluded.copies, offer_id = excluded.offer_id, period_ms = excluded.period_ms, window_ms = excluded.window_ms`
	// The row is written first of all, so that whoever decides about a title's
	// copies decides alone.
	sqlTakeStock = `UPDATE stock SET turn = turn + 1 WHERE content_id = $1 RETURNING ` + stockColumns
	sqlStock     = `SELECT ` + stockColumns + ` FROM stock WHERE content_id = $1`
	sqlStocks    = `SELECT ` + stockColumns + ` FROM stock WHERE content_id > $1 ORDER BY content_id LIMIT $2`

	sqlLoans   = `SELECT content_id, domain_id, grant_id, from_at, until_at FROM copy_loan WHERE content_id = $1 ORDER BY until_at, domain_id`
	sqlPutLoan = `INSERT INTO copy_loan (content_id, domain_id, grant_id, from_at, until_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (content_id, domain_id) DO UPDATE SET grant_id = excluded.grant_id, from_at = excluded.from_at, until_at = excluded.until_at`
	sqlDropLoan = `DELETE FROM copy_loan WHERE content_id = $1 AND domain_id = $2`

	sqlHolds   = `SELECT content_id, domain_id, turn, placed_at, offered_until FROM copy_hold WHERE content_id = $1 ORDER BY turn`
	sqlPutHold = `INSERT INTO copy_hold (content_id, domain_id, turn, placed_at, offered_until) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (content_id, domain_id) DO UPDATE SET turn = excluded.turn, placed_at = excluded.placed_at, offered_until = excluded.offered_until`
	sqlDropHold = `DELETE FROM copy_hold WHERE content_id = $1 AND domain_id = $2`
)

// PutStock records how many copies there are of a title, and how they are lent.
func (t *tx) PutStock(ctx context.Context, s issuer.Stock) error {
	copies, err := number(s.Copies)
	if err != nil {
		return err
	}
	return t.one(ctx, sqlPutStock, []byte(s.Content), copies, s.Offer, s.Period, s.Window)
}

// TakeStock returns a title's stock, which no other transaction takes until
// this one has ended, and the number of this turn.
func (t *tx) TakeStock(ctx context.Context, content ident.Content) (issuer.Stock, uint64, error) {
	var turn uint64
	s, err := single(t.stocks(ctx, &turn, sqlTakeStock, []byte(content)))
	return s, turn, err
}

// Stock returns a title's stock.
func (t *tx) Stock(ctx context.Context, content ident.Content) (issuer.Stock, error) {
	var turn uint64
	return single(t.stocks(ctx, &turn, sqlStock, []byte(content)))
}

// Stocks returns a page of all stocks.
func (t *tx) Stocks(ctx context.Context, after ident.Content, limit int) ([]issuer.Stock, error) {
	var turn uint64
	return t.stocks(ctx, &turn, sqlStocks, []byte(after), int64(limit))
}

func (t *tx) stocks(ctx context.Context, turn *uint64, sql string, args ...any) ([]issuer.Stock, error) {
	out := []issuer.Stock{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var content []byte
		var copies, n int64
		var s issuer.Stock
		if err := scan(&content, &copies, &s.Offer, &s.Period, &s.Window, &n); err != nil {
			return err
		}
		s.Content, s.Copies, *turn = ident.Content(content), uint64(copies), uint64(n) //nolint:gosec // checked by the table not to be negative
		out = append(out, s)
		return nil
	}, sql, args...)
	return out, err
}

// Loans returns who has a copy of a title, what comes back first first.
func (t *tx) Loans(ctx context.Context, content ident.Content) ([]issuer.CopyLoan, error) {
	out := []issuer.CopyLoan{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var content, domain, grant []byte
		var l issuer.CopyLoan
		if err := scan(&content, &domain, &grant, &l.From, &l.Until); err != nil {
			return err
		}
		f := fixed{}
		f.copy(l.Domain[:], domain)
		f.copy(l.Grant[:], grant)
		l.Content = ident.Content(content)
		out = append(out, l)
		return f.err
	}, sqlLoans, []byte(content))
	return out, err
}

// PutLoan records that a household has a copy, or until when.
func (t *tx) PutLoan(ctx context.Context, l issuer.CopyLoan) error {
	return t.one(ctx, sqlPutLoan, []byte(l.Content), l.Domain[:], l.Grant[:], l.From, l.Until)
}

// DropLoan records that a household's copy is back.
func (t *tx) DropLoan(ctx context.Context, content ident.Content, domain ident.Domain) error {
	return t.one(ctx, sqlDropLoan, []byte(content), domain[:])
}

// Holds returns who waits for a title, in their turn.
func (t *tx) Holds(ctx context.Context, content ident.Content) ([]issuer.Hold, error) {
	out := []issuer.Hold{}
	err := t.conn.query(ctx, func(scan func(...any) error) error {
		var content, domain []byte
		var turn int64
		var h issuer.Hold
		if err := scan(&content, &domain, &turn, &h.At, &h.OfferedUntil); err != nil {
			return err
		}
		f := fixed{}
		f.copy(h.Domain[:], domain)
		h.Content, h.Turn = ident.Content(content), uint64(turn) //nolint:gosec // checked by the table to be positive
		out = append(out, h)
		return f.err
	}, sqlHolds, []byte(content))
	return out, err
}

// PutHold records that a household waits, or that it was offered a copy.
func (t *tx) PutHold(ctx context.Context, h issuer.Hold) error {
	turn, err := number(h.Turn)
	if err != nil {
		return err
	}
	return t.one(ctx, sqlPutHold, []byte(h.Content), h.Domain[:], turn, h.At, h.OfferedUntil)
}

// DropHold records that a household does not wait any more.
func (t *tx) DropHold(ctx context.Context, content ident.Content, domain ident.Domain) error {
	return t.one(ctx, sqlDropHold, []byte(content), domain[:])
}
