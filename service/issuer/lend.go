package issuer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lares-drm/lares/license/ident"
)

// maxCopies bounds the copies of a title. Source: local, docs/spec/copies.md.
const maxCopies = 10_000

// What a library refuses.
var (
	// ErrNoCopy: all copies are out or kept for others.
	ErrNoCopy = errors.New("issuer: all copies are out or kept for who waited; place a hold")
	// ErrAwaited: a loan is not renewed while others wait.
	ErrAwaited = errors.New("issuer: others wait for this title, so the loan is not renewed")
	// ErrStillOut: the household's module has the license, which ends by itself.
	ErrStillOut = errors.New("issuer: the house has fetched the loan; it comes back by itself at its end")
)

// PutStock sets how many copies there are of a title. There cannot be fewer
// than are out or kept for somebody.
func (i *Issuer) PutStock(ctx context.Context, s Stock) (Stock, error) {
	if s.Copies > maxCopies || s.Period < 60_000 || s.Window < 60_000 {
		return s, fmt.Errorf("%w: at most %d copies, and a minute at least for a loan and to fetch it", ErrTerms, maxCopies)
	}
	now := i.cfg.Now().UnixMilli()
	return s, i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		o, err := tx.Offer(ctx, s.Offer)
		if err != nil {
			return fmt.Errorf("offer %q: %w", s.Offer, err)
		}
		if o.Content != s.Content {
			return fmt.Errorf("%w: offer %q is of another title", ErrTerms, s.Offer)
		}
		if _, err := o.until(now + s.Period); err != nil {
			return err
		}
		have, _, err := tx.TakeStock(ctx, s.Content)
		if errors.Is(err, ErrNotFound) {
			return tx.PutStock(ctx, s)
		}
		if err != nil {
			return err
		}
		c := copies{Stock: have}
		if err := i.load(ctx, tx, &c, now); err != nil {
			return err
		}
		c.Stock = s
		if c.free() < 0 {
			return fmt.Errorf("%w: %d copies are out or kept for somebody", ErrConflict, int(s.Copies)-c.free()) //nolint:gosec // bounded
		}
		if err := tx.PutStock(ctx, s); err != nil {
			return err
		}
		return i.settleCopies(ctx, tx, &c, now)
	})
}

// until is the offer's terms with an end: a loan is exact to the second, and
// what is watched then stops.
func (o *Offer) until(end int64) (string, error) {
	t, err := parseTerms(o.Terms)
	if err != nil {
		return "", err
	}
	if kindOf(t.units) != Loan {
		return "", fmt.Errorf("%w: offer %q is no loan", ErrTerms, o.ID)
	}
	for n := range t.units.Usage {
		u := &t.units.Usage[n]
		if u.EndTime != 0 || u.Interval != 0 || u.PlayCount != 0 || u.Accumulated != 0 {
			return "", fmt.Errorf("%w: offer %q has an end or a count of its own; a copy's loan ends by the library's period alone", ErrTerms, o.ID)
		}
		u.EndTime = end
	}
	if t.policy.ExpiryMode == 0 {
		t.written = append(t.written, "EXPIRY_MODE=stop")
	}
	return t.join(), nil
}

// load reads a title's loans and holds, and brings them to now.
func (i *Issuer) load(ctx context.Context, tx Tx, c *copies, now int64) (err error) {
	if c.loans, err = tx.Loans(ctx, c.Content); err != nil {
		return err
	}
	if c.holds, err = tx.Holds(ctx, c.Content); err != nil {
		return err
	}
	return i.settleCopies(ctx, tx, c, now)
}

// settleCopies writes what time changes.
func (i *Issuer) settleCopies(ctx context.Context, tx Tx, c *copies, now int64) error {
	m := c.tick(now)
	for _, l := range m.back {
		if err := tx.DropLoan(ctx, l.Content, l.Domain); err != nil {
			return err
		}
	}
	for _, h := range m.lapsed {
		if err := tx.DropHold(ctx, h.Content, h.Domain); err != nil {
			return err
		}
	}
	for _, h := range m.offered {
		if err := tx.PutHold(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// stocked runs fn on a title's copies, alone. turn is the number of this turn.
func (i *Issuer) stocked(ctx context.Context, content ident.Content, fn func(ctx context.Context, tx Tx, c *copies, turn uint64) error) error {
	now := i.cfg.Now().UnixMilli()
	return i.cfg.Store.Update(ctx, func(ctx context.Context, tx Tx) error {
		s, turn, err := tx.TakeStock(ctx, content)
		if err != nil {
			return fmt.Errorf("copies of %v: %w", content, err)
		}
		c := copies{Stock: s}
		if err := i.load(ctx, tx, &c, now); err != nil {
			return err
		}
		if err := fn(ctx, tx, &c, turn); err != nil {
			return err
		}
		return i.settleCopies(ctx, tx, &c, now)
	})
}

// Lend gives a household a copy: one that is kept for it, or a free one. A
// household that has one keeps it.
func (i *Issuer) Lend(ctx context.Context, content ident.Content, domain ident.Domain) (l CopyLoan, err error) {
	if domain == (ident.Domain{}) {
		return l, fmt.Errorf("%w: no household", ErrTerms)
	}
	st, err := i.cfg.TREM.Status(ctx)
	if err != nil {
		return l, fmt.Errorf("ask the TREM for its epoch: %w", i.watch(err))
	}
	if st.Epoch == 0 {
		return l, ErrNotReady
	}
	err = i.stocked(ctx, content, func(ctx context.Context, tx Tx, c *copies, _ uint64) error {
		if have := c.loanOf(domain); have != nil {
			l = *have
			return nil
		}
		if !c.may(domain) {
			return ErrNoCopy
		}
		if c.holdOf(domain) != nil {
			c.dropHold(domain)
			if err := tx.DropHold(ctx, content, domain); err != nil {
				return err
			}
		}
		now := i.cfg.Now().UnixMilli()
		l = CopyLoan{Content: content, Domain: domain, Grant: NewGrantID(), From: now, Until: loanEnd(now, c.Period)}
		g, err := i.loanGrant(ctx, tx, &c.Stock, l)
		if err != nil {
			return err
		}
		g.MinEpoch = st.Epoch
		if fresh, err := tx.PutGrant(ctx, g); err != nil || !fresh {
			return errors.Join(err, ErrConflict)
		}
		c.loans = append(c.loans, l)
		return tx.PutLoan(ctx, l)
	})
	if err == nil {
		i.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "copy lent", slog.Any("grant", l.Grant), slog.Any("domain", domain))
	}
	return l, err
}

// loanEnd is now and a period, on the whole second behind it.
func loanEnd(now, period int64) int64 { return (now + period + 999) / 1000 * 1000 }

// loanGrant is the grant of a loan as it stands.
func (i *Issuer) loanGrant(ctx context.Context, tx Tx, s *Stock, l CopyLoan) (Grant, error) {
	o, err := tx.Offer(ctx, s.Offer)
	if err != nil {
		return Grant{}, fmt.Errorf("offer %q: %w", s.Offer, err)
	}
	g := o.grant(l.Domain)
	g.ID, g.Expires, g.Remaining = l.Grant, l.Until, 1
	if g.Terms, err = o.until(l.Until); err != nil {
		return g, err
	}
	return g, i.complete(&g)
}

// RenewLoan lets a household keep its copy for another period from now, unless
// somebody waits. Its license is renewed when it asks: the same license in a
// higher version, for the content that it has.
func (i *Issuer) RenewLoan(ctx context.Context, content ident.Content, domain ident.Domain) (l CopyLoan, err error) {
	err = i.stocked(ctx, content, func(ctx context.Context, tx Tx, c *copies, _ uint64) error {
		have := c.loanOf(domain)
		if have == nil {
			return fmt.Errorf("loan of %v: %w", content, ErrNotFound)
		}
		if c.waiting() > 0 {
			return ErrAwaited
		}
		l = *have
		if end := loanEnd(i.cfg.Now().UnixMilli(), c.Period); end <= l.Until {
			return nil
		} else {
			l.Until = end
		}
		g, err := i.loanGrant(ctx, tx, &c.Stock, l)
		if err != nil {
			return err
		}
		if err := i.renew(ctx, tx, g); err != nil {
			return err
		}
		*have = l
		return tx.PutLoan(ctx, l)
	})
	return l, err
}

// ReturnLoan takes back a copy that the household has not fetched, at once. One
// that it has fetched is in its module, which gives no proof that it is not used
// any more: it comes back by itself.
func (i *Issuer) ReturnLoan(ctx context.Context, content ident.Content, domain ident.Domain) error {
	return i.stocked(ctx, content, func(ctx context.Context, tx Tx, c *copies, _ uint64) error {
		l := c.loanOf(domain)
		if l == nil {
			return fmt.Errorf("loan of %v: %w", content, ErrNotFound)
		}
		key := GrantKey{domain, l.Grant}
		// Whoever takes the one license of the grant has it: the household or the library.
		if ok, err := tx.Debit(ctx, key); err != nil || !ok {
			return cmpErr(err, ErrStillOut)
		}
		if err := tx.RevokeGrant(ctx, key); err != nil {
			return err
		}
		c.dropLoan(domain)
		return tx.DropLoan(ctx, content, domain)
	})
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// PlaceHold puts a household into the queue of a title. With a copy free, it is
// offered at once.
func (i *Issuer) PlaceHold(ctx context.Context, content ident.Content, domain ident.Domain) (h Hold, err error) {
	if domain == (ident.Domain{}) {
		return h, fmt.Errorf("%w: no household", ErrTerms)
	}
	now := i.cfg.Now().UnixMilli()
	err = i.stocked(ctx, content, func(ctx context.Context, tx Tx, c *copies, turn uint64) error {
		if c.loanOf(domain) != nil {
			return fmt.Errorf("%w: the house has a copy", ErrConflict)
		}
		if have := c.holdOf(domain); have != nil {
			h = *have
			return nil
		}
		c.add(Hold{Content: content, Domain: domain, Turn: turn, At: now})
		if err := tx.PutHold(ctx, *c.holdOf(domain)); err != nil {
			return err
		}
		err := i.settleCopies(ctx, tx, c, now)
		h = *c.holdOf(domain)
		return err
	})
	return h, err
}

// CancelHold takes a household out of the queue; a copy that was kept for it
// goes to who is next.
func (i *Issuer) CancelHold(ctx context.Context, content ident.Content, domain ident.Domain) error {
	return i.stocked(ctx, content, func(ctx context.Context, tx Tx, c *copies, _ uint64) error {
		c.dropHold(domain)
		return tx.DropHold(ctx, content, domain)
	})
}

// StockView is a title's copies as they are now.
type StockView struct {
	Stock
	Free    int        `json:"free"`
	Waiting int        `json:"waiting"`
	Loans   []CopyLoan `json:"loans"`
	Holds   []Hold     `json:"holds"`
}

// Copies brings a title's copies to now and shows them.
func (i *Issuer) Copies(ctx context.Context, content ident.Content) (v StockView, err error) {
	err = i.stocked(ctx, content, func(_ context.Context, _ Tx, c *copies, _ uint64) error {
		v = StockView{Stock: c.Stock, Free: c.free(), Waiting: c.waiting(), Loans: c.loans, Holds: c.holds}
		return nil
	})
	return v, err
}

// Tick brings all copies to now, so that whoever is next is offered one though
// nobody asks.
func (i *Issuer) Tick(ctx context.Context) error {
	if err := i.Book(ctx); err != nil { // a copy of the database is older from now on
		return err
	}
	for after := ident.Content(""); ; {
		var page []Stock
		err := i.cfg.Store.View(ctx, func(ctx context.Context, r Reader) (err error) {
			page, err = r.Stocks(ctx, after, pageSize)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, s := range page {
			if _, err := i.Copies(ctx, s.Content); err != nil {
				return err
			}
			after = s.Content
		}
	}
}
