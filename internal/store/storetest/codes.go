package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func batch(n byte) issuer.Batch {
	return issuer.Batch{
		ID:    issuer.BatchID{n},
		Offer: issuer.Offer{ID: "rent", Content: film, Kind: issuer.Rental, Name: "Rent it", Words: "For a day.", Terms: "PLAY", Tiers: []uint64{1, 2}, Licenses: 3},
		Codes: 2, Expires: 9_000, Created: 1_000,
	}
}

func codes(t *testing.T, s issuer.Store) {
	one := issuer.CodeRow{Hash: issuer.CodeHash{1}, Batch: issuer.BatchID{5}, Index: 7, State: issuer.CodeOpen, Expires: 9_000}
	two := issuer.CodeRow{Hash: issuer.CodeHash{2}, Batch: issuer.BatchID{5}, Index: 3, State: issuer.CodeOpen}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		for _, b := range []issuer.Batch{batch(5), batch(6)} {
			if fresh, err := tx.PutBatch(ctx, b); !fresh || err != nil {
				t.Errorf("first put: %v, %v", fresh, err)
			}
		}
		if fresh, err := tx.PutBatch(ctx, batch(5)); fresh || err != nil {
			t.Errorf("second put: %v, %v", fresh, err)
		}
		for _, c := range []issuer.CodeRow{one, two} {
			if fresh, err := tx.PutCode(ctx, c); !fresh || err != nil {
				t.Errorf("first code: %v, %v", fresh, err)
			}
		}
		fresh, err := tx.PutCode(ctx, issuer.CodeRow{Hash: one.Hash, Batch: issuer.BatchID{6}, State: issuer.CodeVoid})
		if fresh {
			t.Error("one code was recorded twice")
		}
		return err
	})
	redeemed := one
	redeemed.State, redeemed.Domain, redeemed.Grant, redeemed.RedeemedAt = issuer.CodeRedeemed, house, issuer.GrantID{4}, 8_999
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		late := redeemed
		late.RedeemedAt = 9_000
		if ok, err := tx.RedeemCode(ctx, late); ok || err != nil {
			t.Errorf("redeemed at its end: %v, %v", ok, err)
		}
		if ok, err := tx.RedeemCode(ctx, redeemed); !ok || err != nil {
			t.Errorf("redeemed: %v, %v", ok, err)
		}
		again := redeemed
		again.Domain = ident.Domain{9}
		if ok, err := tx.RedeemCode(ctx, again); ok || err != nil {
			t.Errorf("redeemed again: %v, %v", ok, err)
		}
		if ok, err := tx.VoidCode(ctx, one.Hash); ok || err != nil {
			t.Errorf("a redeemed code was withdrawn: %v, %v", ok, err)
		}
		if ok, err := tx.VoidCode(ctx, two.Hash); !ok || err != nil {
			t.Errorf("withdrawn: %v, %v", ok, err)
		}
		ok, err := tx.RedeemCode(ctx, issuer.CodeRow{Hash: two.Hash, Domain: house, RedeemedAt: 1})
		ok2, err2 := tx.RedeemCode(ctx, issuer.CodeRow{Hash: issuer.CodeHash{9}, Domain: house, RedeemedAt: 1})
		if ok || ok2 {
			t.Errorf("a withdrawn code: %v; an unknown one: %v", ok, ok2)
		}
		return errors.Join(err, err2)
	})
	two.State = issuer.CodeVoid
	codesRead(t, s, two, redeemed)
}

// codesRead looks for the codes of batch 5, and for batch 6.
func codesRead(t *testing.T, s issuer.Store, void, redeemed issuer.CodeRow) {
	t.Helper()
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		rows, err := r.Codes(ctx, issuer.BatchID{5})
		if diff := cmp.Diff(rows, []issuer.CodeRow{void, redeemed}); diff != "" {
			t.Error(diff)
		}
		row, err2 := r.Code(ctx, redeemed.Hash)
		if row != redeemed {
			t.Errorf("%+v", row)
		}
		b, err3 := r.Batch(ctx, issuer.BatchID{6})
		if diff := cmp.Diff(b, batch(6)); diff != "" {
			t.Error(diff)
		}
		page, err4 := r.Batches(ctx, issuer.BatchID{5}, 9)
		if diff := cmp.Diff(page, []issuer.Batch{batch(6)}); diff != "" {
			t.Error(diff)
		}
		counts, err5 := r.Counts(ctx, issuer.BatchID{5}, issuer.BatchID{6})
		if diff := cmp.Diff(counts, map[issuer.BatchID]issuer.CodeCounts{{5}: {Redeemed: 1, Void: 1}}); diff != "" {
			t.Error(diff)
		}
		if counts, err := r.Counts(ctx, issuer.BatchID{5, 1}, issuer.BatchID{6}); len(counts) != 0 || err != nil {
			t.Errorf("behind the batch: %v, %v", counts, err)
		}
		if _, err := r.Code(ctx, issuer.CodeHash{9}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("an unknown code: %v", err)
		}
		if _, err := r.Batch(ctx, issuer.BatchID{9}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("an unknown batch: %v", err)
		}
		return errors.Join(err, err2, err3, err4, err5)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One code and many houses: one has it, and its grant is there with it.
func codesTogether(t *testing.T, s issuer.Store) {
	row := issuer.CodeRow{Hash: issuer.CodeHash{1}, Batch: issuer.BatchID{5}, State: issuer.CodeOpen}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutBatch(ctx, batch(5))
		_, err2 := tx.PutCode(ctx, row)
		return errors.Join(err, err2)
	})
	var mu sync.Mutex
	var winner ident.Domain
	done := together(t, s, 20, func(i int, ctx context.Context, tx issuer.Tx) error {
		mine := row
		mine.Domain, mine.Grant, mine.RedeemedAt = ident.Domain{byte(i) + 1}, issuer.GrantID{1}, 5
		ok, err := tx.RedeemCode(ctx, mine)
		if err == nil && !ok {
			err = errNo
		}
		if err != nil {
			return err
		}
		g := grant(1, 1)
		g.Domain = mine.Domain
		mu.Lock()
		winner = mine.Domain
		mu.Unlock()
		_, err = tx.PutGrant(ctx, g)
		return err
	})
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		all, err := r.Grants(ctx, issuer.GrantKey{}, 99)
		got, err2 := r.Code(ctx, row.Hash)
		if done != 1 || len(all) != 1 || got.Domain != all[0].Domain || got.Domain != winner {
			t.Errorf("%d houses redeemed one code, %d grants; the code is %v's", done, len(all), got.Domain)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}
