package issuer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/lares-drm/lares/license/ident"
)

// pageSize is how many records are read at a time.
const pageSize = 100

// maxCodes is how many claim codes one request makes. Source: local,
// docs/spec/claim-code.md.
const maxCodes = 1000

// What is refused to who shows a claim code, and to the operator about one.
var (
	ErrCodeUnknown = errors.New("issuer: nobody here gave out this code")
	ErrCodeTaken   = errors.New("issuer: another house has redeemed this code")
	ErrCodeExpired = errors.New("issuer: the time to redeem this code is over")
	ErrCodeVoid    = errors.New("issuer: the shop has withdrawn this code")
	ErrGuessing    = errors.New("issuer: too many wrong codes from this address; wait a minute")
	ErrNoCodes     = errors.New("issuer: no claim key: this issuer has no claim codes")
)

// NewCodes asks for claim codes.
type NewCodes struct {
	Offer   string
	Codes   uint64  // 1 to 1,000; default 1
	Expires int64   // Unix ms; 0 = never
	Batch   BatchID // default: random. Of one that is there the same codes are given again
}

// Coded is a claim code on its way out.
type Coded struct {
	CodeRow
	Code ClaimCode
}

// NewCodes makes claim codes for an offer as it is now.
func (i *Issuer) NewCodes(ctx context.Context, n NewCodes) (Batch, []Coded, error) {
	if i.cfg.ClaimKey.b == nil {
		return Batch{}, nil, ErrNoCodes
	}
	b := Batch{ID: n.Batch, Codes: max(n.Codes, 1), Expires: n.Expires, Created: i.cfg.Now().UnixMilli()}
	if b.Codes > maxCodes {
		return b, nil, fmt.Errorf("%w: at most %d codes at a time", ErrTerms, maxCodes)
	}
	if b.Expires != 0 && b.Expires <= b.Created {
		return b, nil, fmt.Errorf("%w: the codes expire before they are made", ErrTerms)
	}
	if b.ID == (BatchID{}) {
		rand.Read(b.ID[:]) // never returns an error
	}
	asked := b
	err := i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) (err error) {
		b = asked
		if b.Offer, err = tx.Offer(ctx, n.Offer); err != nil {
			return fmt.Errorf("offer %q: %w", n.Offer, err)
		}
		fresh, err := tx.PutBatch(ctx, b)
		if err != nil {
			return err
		}
		if fresh {
			return i.putCodes(ctx, tx, b)
		}
		have, err := tx.Batch(ctx, b.ID)
		if err == nil && (have.Offer.ID != n.Offer || have.Codes != b.Codes || have.Expires != b.Expires) {
			err = fmt.Errorf("batch %v: %w", b.ID, ErrConflict)
		}
		b = have
		return err
	})
	if err != nil {
		return b, nil, err
	}
	_, out, err := i.Codes(ctx, b.ID)
	i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "claim codes given out", slog.Any("batch", b.ID), slog.Uint64("codes", b.Codes), slog.String("offer", b.Offer.ID))
	return b, out, err
}

// putCodes records a batch's codes. One that another batch has by chance is
// passed over, so places in a batch need not be consecutive.
func (i *Issuer) putCodes(ctx context.Context, tx Tx, b Batch) error {
	for index, n := uint64(0), uint64(0); n < b.Codes; index++ {
		row := CodeRow{Hash: i.cfg.ClaimKey.hash(i.cfg.ClaimKey.code(b.ID, index)), Batch: b.ID, Index: index, State: CodeOpen, Expires: b.Expires}
		fresh, err := tx.PutCode(ctx, row)
		if err != nil {
			return err
		}
		if fresh {
			n++
		}
	}
	return nil
}

// Codes returns a batch's codes, to send them again.
func (i *Issuer) Codes(ctx context.Context, id BatchID) (b Batch, out []Coded, err error) {
	if i.cfg.ClaimKey.b == nil {
		return b, nil, ErrNoCodes
	}
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		out = nil
		if b, err = r.Batch(ctx, id); err != nil {
			return fmt.Errorf("batch %v: %w", id, err)
		}
		rows, err := r.Codes(ctx, id)
		for _, row := range rows {
			out = append(out, Coded{CodeRow: row, Code: i.cfg.ClaimKey.code(id, row.Index)})
		}
		return err
	})
	for _, c := range out {
		if i.cfg.ClaimKey.hash(c.Code) != c.Hash { // the key file was replaced
			return b, nil, fmt.Errorf("batch %v was made with another claim key: %w", id, ErrConflict)
		}
	}
	return b, out, err
}

// Resend returns a batch's codes that can still be redeemed, or the one of a place. For
// an operator, that all were given out again is in the log before they are.
func (i *Issuer) Resend(ctx context.Context, id BatchID, index *uint64) (b Batch, out []Coded, err error) {
	b, all, err := i.Codes(ctx, id)
	if err != nil {
		return b, nil, err
	}
	now := i.cfg.Now().UnixMilli()
	var why error
	for _, c := range all {
		if index != nil && c.Index != *index {
			continue
		}
		if why = c.refusal(ident.Domain{}, now); why == nil {
			out = append(out, c)
		}
	}
	switch {
	case index != nil && why != nil:
		return b, nil, why
	case index != nil && len(out) == 0:
		return b, nil, fmt.Errorf("code %d of batch %v: %w", *index, id, ErrNotFound)
	case index == nil:
		err = i.cfg.Store.Update(ctx, func(context.Context, Tx) error { return nil })
	}
	if err != nil {
		return b, nil, err
	}
	return b, out, nil
}

// Void withdraws the codes of a batch that are still open: that of one place,
// or all. It returns how many; what was redeemed stays.
func (i *Issuer) Void(ctx context.Context, id BatchID, index *uint64) (n uint64, err error) {
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		n = 0
		if _, err := tx.Batch(ctx, id); err != nil {
			return fmt.Errorf("batch %v: %w", id, err)
		}
		rows, err := tx.Codes(ctx, id)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if index != nil && row.Index != *index {
				continue
			}
			ok, err := tx.VoidCode(ctx, row.Hash)
			if err != nil {
				return err
			}
			if ok {
				n++
			}
		}
		return nil
	})
	return n, err
}

// LookUp says what a code is for, to who shows it from an address. The row says
// what became of it; that it is redeemed or over is no error.
func (i *Issuer) LookUp(ctx context.Context, from netip.Addr, code ClaimCode) (b Batch, row CodeRow, err error) {
	if i.cfg.ClaimKey.b == nil {
		return b, row, ErrCodeUnknown
	}
	now := i.cfg.Now()
	if !i.guesses.may(from, now) {
		return b, row, ErrGuessing
	}
	err = i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) error {
		if row, err = r.Code(ctx, i.cfg.ClaimKey.hash(code)); err != nil {
			return err
		}
		b, err = r.Batch(ctx, row.Batch)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		i.guesses.wrong(from, now)
		err = ErrCodeUnknown
	}
	return b, row, err
}

// refusal is why a code is not given to a household, or nil.
func (c *CodeRow) refusal(domain ident.Domain, now int64) error {
	switch {
	case c.State == CodeRedeemed && c.Domain == domain:
		return nil
	case c.State == CodeRedeemed:
		return ErrCodeTaken
	case c.State == CodeVoid:
		return ErrCodeVoid
	case c.Expires != 0 && c.Expires <= now:
		return ErrCodeExpired
	}
	return nil
}

// Redeem makes a claim code a grant of the household that shows it. A code is
// redeemed once: the same household gets the same grant again, another one is
// refused, and a process that dies has done all of it or nothing.
func (i *Issuer) Redeem(ctx context.Context, from netip.Addr, code ClaimCode, domain ident.Domain) (Grant, error) {
	if domain == (ident.Domain{}) {
		return Grant{}, fmt.Errorf("%w: no household", ErrTerms)
	}
	b, row, err := i.LookUp(ctx, from, code)
	if err != nil {
		return Grant{}, err
	}
	now := i.cfg.Now().UnixMilli()
	if err := row.refusal(domain, now); err != nil {
		return Grant{}, err
	}
	g := b.Offer.grant(domain)
	g.ID = row.Hash.grantID()
	if err := i.ready(ctx, &g); err != nil {
		return g, err
	}
	row.Domain, row.Grant, row.RedeemedAt = domain, g.ID, now
	made := g
	err = i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		g = made
		return i.redeem(ctx, tx, row, &g)
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "claim code redeemed", slog.Any("batch", b.ID), slog.Uint64("index", row.Index), slog.Any("domain", domain))
	}
	return g, err
}

// redeem is the one transaction: the code changes hands and the grant is there.
func (i *Issuer) redeem(ctx context.Context, tx Tx, row CodeRow, g *Grant) error {
	ok, err := tx.RedeemCode(ctx, row)
	if err != nil {
		return err
	}
	if ok {
		fresh, err := tx.PutGrant(ctx, *g)
		if err == nil && !fresh {
			err = ErrConflict
		}
		return err
	}
	have, err := tx.Code(ctx, row.Hash)
	if err != nil {
		return err
	}
	if err := have.refusal(row.Domain, row.RedeemedAt); err != nil {
		return err
	}
	*g, err = tx.Grant(ctx, GrantKey{have.Domain, have.Grant})
	return err
}

// BatchOf is the batch of an idempotency key.
func BatchOf(key string) BatchID {
	sum := sha256.Sum256([]byte("lares/1/claim batch " + key))
	return BatchID(sum[:16])
}
