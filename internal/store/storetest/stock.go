package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func stock(t *testing.T, s issuer.Store) {
	one := issuer.Stock{Content: film, Copies: 2, Offer: "loan", Period: 1000, Window: 100}
	two := issuer.Stock{Content: "urn:film:2", Offer: "loan", Period: 1, Window: 1}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if _, _, err := tx.TakeStock(ctx, film); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("unknown stock: %v", err)
		}
		return errors.Join(tx.PutStock(ctx, one), tx.PutStock(ctx, two))
	})
	one.Copies, one.Offer, one.Period, one.Window = 3, "longer", 2000, 200
	later := issuer.CopyLoan{Content: film, Domain: ident.Domain{2}, Grant: issuer.GrantID{2}, From: 5, Until: 90}
	sooner := issuer.CopyLoan{Content: film, Domain: ident.Domain{3}, Grant: issuer.GrantID{3}, From: 6, Until: 80}
	second := issuer.Hold{Content: film, Domain: ident.Domain{4}, Turn: 8, At: 7}
	first := issuer.Hold{Content: film, Domain: ident.Domain{5}, Turn: 7, At: 8, OfferedUntil: 9}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		err := errors.Join(tx.PutStock(ctx, one))
		for want := range uint64(3) {
			got, turn, err := tx.TakeStock(ctx, film)
			if err != nil || got != one || turn != want+1 {
				t.Errorf("%+v, turn %d, %v; want %+v, turn %d", got, turn, err, one, want+1)
			}
		}
		old := second
		old.Turn = 99
		return errors.Join(err, tx.PutLoan(ctx, issuer.CopyLoan{Content: film, Domain: later.Domain, Until: 1}), tx.PutLoan(ctx, later), tx.PutLoan(ctx, sooner),
			tx.PutLoan(ctx, issuer.CopyLoan{Content: two.Content, Domain: later.Domain}), tx.PutHold(ctx, old), tx.PutHold(ctx, second), tx.PutHold(ctx, first))
	})
	look := func(loans []issuer.CopyLoan, holds []issuer.Hold) {
		t.Helper()
		err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
			gotL, err := r.Loans(ctx, film)
			gotH, err2 := r.Holds(ctx, film)
			page, err3 := r.Stocks(ctx, film, 9)
			if st, err := r.Stock(ctx, film); st != one || err != nil {
				t.Errorf("%+v, %v", st, err)
			}
			if _, err := r.Stock(ctx, "urn:none"); !errors.Is(err, issuer.ErrNotFound) {
				t.Errorf("an unknown title: %v", err)
			}
			if diff := cmp.Diff(gotL, loans) + cmp.Diff(gotH, holds) + cmp.Diff(page, []issuer.Stock{two}); diff != "" {
				t.Error(diff)
			}
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	look([]issuer.CopyLoan{sooner, later}, []issuer.Hold{first, second})
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if err := tx.DropLoan(ctx, film, ident.Domain{99}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("drop a loan that is not there: %v", err)
		}
		if err := tx.DropHold(ctx, film, ident.Domain{99}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("drop a hold that is not there: %v", err)
		}
		return errors.Join(tx.DropLoan(ctx, film, sooner.Domain), tx.DropHold(ctx, film, first.Domain))
	})
	look([]issuer.CopyLoan{later}, []issuer.Hold{second})
}

// Whoever takes a stock decides alone: the last copy is lent once.
func stockTogether(t *testing.T, s issuer.Store) {
	const have = 3
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		return tx.PutStock(ctx, issuer.Stock{Content: film, Copies: have, Offer: "loan", Period: 1, Window: 1})
	})
	var mu sync.Mutex
	var turns []uint64
	done := together(t, s, 20, func(i int, ctx context.Context, tx issuer.Tx) error {
		st, turn, err := tx.TakeStock(ctx, film)
		if err != nil {
			return err
		}
		loans, err := tx.Loans(ctx, film)
		if err != nil {
			return err
		}
		if uint64(len(loans)) >= st.Copies {
			return errNo
		}
		mu.Lock()
		turns = append(turns, turn)
		mu.Unlock()
		return tx.PutLoan(ctx, issuer.CopyLoan{Content: film, Domain: ident.Domain{byte(i) + 1}})
	})
	slices.Sort(turns)
	if done != have || len(slices.Compact(turns)) < have {
		t.Errorf("%d of %d copies were lent, in the turns %v", done, have, turns)
	}
}

func renewals(t *testing.T, s issuer.Store) {
	g := grant(1, 2)
	put(t, s, g)
	l := issuer.License{Domain: house, ID: ident.License{1}, Grant: g.ID, State: issuer.Issued, Version: 1, IssuedAt: 5, Digest: [32]byte{6}}
	next := g
	next.Terms, next.Code, next.Policy, next.Tiers, next.Expires, next.IssuedAt, next.Version = "PLAY; END_TIME", []byte{9}, []byte{8}, []uint64{2}, 99, 50, 2
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutLicense(ctx, l)
		if ok, err := tx.RenewGrant(ctx, next); !ok || err != nil {
			t.Errorf("renewed: %v, %v", ok, err)
		}
		if ok, err := tx.RenewGrant(ctx, next); ok || err != nil {
			t.Errorf("renewed twice: %v, %v", ok, err)
		}
		l.Version, l.IssuedAt, l.Digest = 2, 50, [32]byte{7}
		if err := tx.RenewLicense(ctx, l); err != nil {
			t.Error(err)
		}
		if err := tx.RenewLicense(ctx, l); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("the same version again: %v", err)
		}
		return err
	})
	if diff := cmp.Diff(read(t, s, issuer.GrantKey{Domain: house, Grant: g.ID}), next); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(list(t, s), []issuer.License{l}); diff != "" {
		t.Error(diff)
	}
}
