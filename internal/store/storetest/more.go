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

func sequences(t *testing.T, s issuer.Store) {
	next := func(peer, in byte) (n uint64) {
		update(t, s, func(ctx context.Context, tx issuer.Tx) (err error) {
			n, err = tx.NextSeq(ctx, house, ident.Device{peer}, ident.Incarnation{in})
			return err
		})
		return n
	}
	got := []uint64{next(1, 1), next(1, 1), next(2, 1), next(1, 2), next(1, 1)}
	if want := []uint64{1, 2, 1, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	var mu sync.Mutex
	var seen []uint64
	together(t, s, 30, func(_ int, ctx context.Context, tx issuer.Tx) error {
		n, err := tx.NextSeq(ctx, house, ident.Device{7}, ident.Incarnation{})
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, n)
		return err
	})
	slices.Sort(seen)
	if seen = slices.Compact(seen); len(seen) < 30 || seen[29] != 30 {
		t.Errorf("30 transactions got the numbers %v", seen)
	}
}

func licenses(t *testing.T, s issuer.Store) {
	l := issuer.License{
		Domain: house, ID: ident.License{1}, Device: ident.Device{2}, Grant: issuer.GrantID{3}, Request: ident.Request{4},
		State: issuer.Issued, Version: 1, IssuedAt: 5, Digest: [32]byte{6},
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if fresh, err := tx.PutLicense(ctx, l); err != nil || !fresh {
			t.Errorf("first put: fresh %v, %v", fresh, err)
		}
		again := l
		again.Digest = [32]byte{7}
		if fresh, err := tx.PutLicense(ctx, again); err != nil || fresh {
			t.Errorf("second put: fresh %v, %v", fresh, err)
		}
		got, err := tx.License(ctx, house, l.ID)
		if diff := cmp.Diff(got, l); diff != "" {
			t.Error(diff)
		}
		if err != nil {
			return err
		}
		return tx.SetLicense(ctx, house, l.ID, issuer.Delivered)
	})
	l.State = issuer.Delivered
	if diff := cmp.Diff(list(t, s), []issuer.License{l}); diff != "" {
		t.Error(diff)
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if _, err := tx.License(ctx, house, ident.License{9}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("unknown license: %v, want ErrNotFound", err)
		}
		if err := tx.SetLicense(ctx, ident.Domain{9}, l.ID, issuer.Issued); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("another household's license: %v, want ErrNotFound", err)
		}
		return nil
	})
}

func transfers(t *testing.T, s issuer.Store) {
	x := issuer.Transfer{
		Domain: house, ID: ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Incarnation: ident.Incarnation{3}, Seq: 4},
		License: ident.License{5}, State: issuer.Escrow, XferHash: [32]byte{6}, Sealed: []byte("sealed"),
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.NextSeq(ctx, house, x.ID.Dst, x.ID.Incarnation)
		_, err2 := tx.NextSeq(ctx, ident.Domain{9}, x.ID.Dst, x.ID.Incarnation) // a module that was in another house
		return errors.Join(err, err2, tx.PutTransfer(ctx, x))
	})
	find := func(domain ident.Domain, id ident.Transfer) (got issuer.Transfer, err error) {
		err = s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) (err error) {
			got, err = tx.Transfer(ctx, domain, id)
			return err
		})
		return got, err
	}
	for _, domain := range []ident.Domain{house, {}} {
		if got, err := find(domain, x.ID); err != nil || cmp.Diff(got, x) != "" {
			t.Errorf("in domain %v: %v, %s", domain, err, cmp.Diff(got, x))
		}
	}
	next := x.ID
	next.Seq++
	if _, err := find(house, next); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("unknown transfer: %v, want ErrNotFound", err)
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error { return tx.CloseTransfer(ctx, house, x.ID) })
	if got, err := find(house, x.ID); err != nil || got.State != issuer.Closed || len(got.Sealed) != 0 || got.XferHash != x.XferHash {
		t.Errorf("closed: %v, %v", got, err)
	}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error { return tx.PutTransfer(ctx, x) })
	if err == nil {
		t.Error("one transfer ID was recorded twice")
	}
}

func lows(t *testing.T, s issuer.Store) {
	id := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Incarnation: ident.Incarnation{3}}
	other := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Incarnation: ident.Incarnation{2}, Seq: 1}
	low := func() (n uint64) {
		update(t, s, func(ctx context.Context, tx issuer.Tx) (err error) {
			n, err = tx.Low(ctx, house, id)
			return err
		})
		return n
	}
	end := func(seq uint64) {
		update(t, s, func(ctx context.Context, tx issuer.Tx) error {
			x := id
			x.Seq = seq
			return tx.CloseTransfer(ctx, house, x)
		})
	}
	got := []uint64{low()}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		err := tx.PutTransfer(ctx, issuer.Transfer{Domain: house, ID: other, State: issuer.Escrow})
		for range 3 {
			x := id
			var err2 error
			x.Seq, err2 = tx.NextSeq(ctx, house, id.Dst, id.Incarnation)
			err = errors.Join(err, err2, tx.PutTransfer(ctx, issuer.Transfer{Domain: house, ID: x, State: issuer.Escrow}))
		}
		return err
	})
	got = append(got, low())
	end(2)
	got = append(got, low())
	end(1)
	got = append(got, low())
	end(3)
	got = append(got, low())
	if want := []uint64{0, 0, 0, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("lows %v, want %v", got, want)
	}
}

func shelf(t *testing.T, s issuer.Store) {
	c := issuer.Content{ID: film, Digest: [32]byte{1}, At: 5}
	o := issuer.Offer{ID: "rent", Content: film, Kind: issuer.Rental, Terms: "PLAY", Tiers: []uint64{}, Licenses: 1}
	newer := o
	newer.Tiers, newer.Licenses, newer.Kind, newer.Name, newer.Words = []uint64{2}, 3, issuer.Purchase, "Buy it", "Yours for good."
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		return errors.Join(tx.PutContent(ctx, issuer.Content{ID: film}), tx.PutContent(ctx, c), tx.PutOffer(ctx, o), tx.PutOffer(ctx, newer))
	})
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		contents, err := r.Contents(ctx)
		if diff := cmp.Diff(contents, []issuer.Content{c}); diff != "" {
			t.Error(diff)
		}
		offers, err2 := r.Offers(ctx)
		if diff := cmp.Diff(offers, []issuer.Offer{newer}); diff != "" {
			t.Error(diff)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if got, err := tx.Content(ctx, film); err != nil || got != c {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := tx.Offer(ctx, "rent"); err != nil || cmp.Diff(got, newer) != "" {
			t.Errorf("%v, %v", got, err)
		}
		_, err := tx.Content(ctx, "urn:none")
		_, err2 := tx.Offer(ctx, "none")
		if !errors.Is(err, issuer.ErrNotFound) || !errors.Is(err2, issuer.ErrNotFound) {
			t.Errorf("unknown: %v, %v; want ErrNotFound", err, err2)
		}
		return nil
	})
}

func kinds(t *testing.T, s issuer.Store) {
	for n, k := range issuer.Kinds() {
		g := grant(byte(n), 1)
		g.Kind = k
		put(t, s, g)
		update(t, s, func(ctx context.Context, tx issuer.Tx) error {
			return tx.PutOffer(ctx, issuer.Offer{ID: string(k), Content: film, Kind: k, Name: string(k), Licenses: 1})
		})
		if got := read(t, s, issuer.GrantKey{Domain: house, Grant: g.ID}).Kind; got != k {
			t.Errorf("a grant of kind %s was read as %s", k, got)
		}
	}
}

func rollBack(t *testing.T, s issuer.Store) {
	g := grant(1, 5)
	put(t, s, g)
	key := issuer.GrantKey{Domain: house, Grant: g.ID}
	// Others commit at the same time: their part must stand, this must not.
	done := together(t, s, 10, func(i int, ctx context.Context, tx issuer.Tx) error {
		if _, err := tx.PutLicense(ctx, issuer.License{Domain: house, ID: ident.License{byte(i), 1}, State: issuer.Issued}); err != nil {
			return err
		}
		if i%2 == 0 {
			return nil
		}
		if _, err := tx.Debit(ctx, key); err != nil {
			return err
		}
		return errNo
	})
	if n := len(list(t, s)); done != 5 || n != 5 {
		t.Errorf("%d succeeded and %d licenses are there, want 5", done, n)
	}
	if left := read(t, s, key).Remaining; left != 5 {
		t.Errorf("%d remain after five failed transactions, want 5", left)
	}
}

func constraint(t *testing.T, s issuer.Store) {
	bad := grant(1, 1)
	bad.Kind = "theft"
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutGrant(ctx, bad)
		return err
	})
	if err == nil {
		t.Error("a grant of an unknown kind was recorded")
	}
	put(t, s, grant(2, 1)) // the store goes on
}

func oneState(t *testing.T, s issuer.Store) {
	put(t, s, grant(1, 1))
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		before, err := r.Grants(ctx, issuer.GrantKey{}, 9)
		if err != nil {
			return err
		}
		put(t, s, grant(2, 1))
		after, err := r.Grants(ctx, issuer.GrantKey{}, 9)
		if len(before) != 1 || len(after) != 1 {
			t.Errorf("one view saw %d grants, then %d", len(before), len(after))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func endedContext(t *testing.T, s issuer.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Update(ctx, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutGrant(ctx, grant(1, 1))
		return err
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, there := tx.Grant(ctx, issuer.GrantKey{Domain: house, Grant: issuer.GrantID{1}})
		if (err == nil) != (there == nil) {
			t.Errorf("Update said %v, the grant: %v", err, there)
		}
		return nil
	})
}
