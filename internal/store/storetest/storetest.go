// Package storetest implements the suite that every issuer store passes: each
// rule of service/issuer's Store and of docs/spec/issuer-store.md section 3.
//
// It is for tests only and knows no engine. The promise: two stores that pass
// it give an issuer the same answers.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// Run checks the store that open makes; each call must give an empty one.
func Run(t *testing.T, open func(t *testing.T) issuer.Store) {
	for _, tc := range []struct {
		name string
		run  func(*testing.T, issuer.Store)
	}{
		{"Claims", claims},
		{"Grants", grants},
		{"GrantPages", pages},
		{"Debits", debits},
		{"DebitsTogether", debitsTogether},
		{"ClaimsTogether", claimsTogether},
		{"Sequences", sequences},
		{"Licenses", licenses},
		{"Transfers", transfers},
		{"Lows", lows},
		{"Shelf", shelf},
		{"Kinds", kinds},
		{"Codes", codes},
		{"CodesTogether", codesTogether},
		{"Stock", stock},
		{"StockTogether", stockTogether},
		{"Renewals", renewals},
		{"Ends", ends},
		{"RollBack", rollBack},
		{"Constraint", constraint},
		{"ReadsAreOneState", oneState},
		{"EndedContext", endedContext},
		{"Requests", requests},
		{"Issues", issues},
		{"Rolls", rolls},
		{"Devices", devices},
		{"Joins", joins},
		{"Boxes", boxes},
		{"DomainEnds", domainEnds},
		{"LooksTogether", looksTogether},
		{"IssuesTogether", issuesTogether},
		{"IssuesOfOneKey", issuesOfOneKey},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, open(t)) })
	}
}

var (
	house = ident.Domain{1}
	film  = ident.Content("urn:film:1")
	errNo = errors.New("no")
)

// ends: renewals on their way, ends and marks.
func ends(t *testing.T, s issuer.Store) {
	d, id := ident.Domain{1}, ident.License{2}
	r := issuer.Renewal{Domain: d, License: id, Transfer: ident.Transfer{Seq: 4}, Version: 2, IssuedAt: 5, Digest: [32]byte{6}}
	e := issuer.End{Domain: d, License: id, How: issuer.EndReturned, At: 7}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.Renewal(ctx, d, id)
		_, err2 := tx.End(ctx, d, id)
		_, err3 := tx.Mark(ctx, ident.Device{1})
		if !errors.Is(err, issuer.ErrNotFound) || !errors.Is(err2, issuer.ErrNotFound) || !errors.Is(err3, issuer.ErrNotFound) {
			t.Errorf("of nothing: %v, %v, %v", err, err2, err3)
		}
		if fresh, err := tx.PutEnd(ctx, e); err != nil || !fresh {
			t.Errorf("put: %v, %v", fresh, err)
		}
		return errors.Join(tx.PutRenewal(ctx, r), tx.PutMark(ctx, ident.Device{1}, issuer.Mark{1}), tx.PutMark(ctx, ident.Device{2}, issuer.Mark{2}), tx.PutMark(ctx, ident.Device{1}, issuer.Mark{3}))
	})
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		gotR, err := tx.Renewal(ctx, d, id)
		gotE, err2 := tx.End(ctx, d, id)
		gotM, err3 := tx.Mark(ctx, ident.Device{1})
		if gotR != r || gotE != e || gotM != (issuer.Mark{3}) {
			t.Errorf("%+v, %+v, %v", gotR, gotE, gotM)
		}
		if fresh, err := tx.PutEnd(ctx, issuer.End{Domain: d, License: id, How: issuer.EndRevoked}); err != nil || fresh {
			t.Errorf("a second end: %v, %v", fresh, err)
		}
		return errors.Join(err, err2, err3, tx.DropRenewal(ctx, d, id))
	})
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error { return tx.DropRenewal(ctx, d, id) })
	if !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}

func grant(n byte, remaining uint64) issuer.Grant {
	return issuer.Grant{
		ID: issuer.GrantID{n}, Domain: house, Content: film, Offer: "rent-48h", Kind: issuer.Rental, Terms: "PLAY", Code: []byte{1, 2}, Policy: []byte{0xa0},
		Tiers: []uint64{1, 3}, MinEpoch: 7, Remaining: remaining, Expires: 9_000, Created: 1_000, Version: 1, IssuedAt: 1_000,
	}
}

func update(t *testing.T, s issuer.Store, fn func(ctx context.Context, tx issuer.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s issuer.Store, g issuer.Grant) {
	t.Helper()
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		fresh, err := tx.PutGrant(ctx, g)
		if err == nil && !fresh {
			err = issuer.ErrConflict
		}
		return err
	})
}

func read(t *testing.T, s issuer.Store, key issuer.GrantKey) (g issuer.Grant) {
	t.Helper()
	update(t, s, func(ctx context.Context, tx issuer.Tx) (err error) {
		g, err = tx.Grant(ctx, key)
		return err
	})
	return g
}

func claims(t *testing.T, s issuer.Store) {
	c := issuer.Claim{Domain: house, Request: ident.Request{5}, Hash: [32]byte{6}, At: 77}
	answered := c
	answered.License = ident.License{8}
	answered.Transfer = ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Incarnation: ident.Incarnation{3}, Seq: 1 << 40}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if _, fresh, err := tx.Claim(ctx, c); err != nil || !fresh {
			return fmt.Errorf("first claim: fresh %v, %w", fresh, err)
		}
		return tx.Answer(ctx, answered)
	})
	other := c
	other.Hash, other.At = [32]byte{9}, 99
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		prior, fresh, err := tx.Claim(ctx, other)
		if err != nil || fresh {
			return fmt.Errorf("second claim: fresh %v, %w", fresh, err)
		}
		if prior != answered {
			t.Errorf("prior claim %v, want %v", prior, answered)
		}
		other.Domain = ident.Domain{2}
		if _, fresh, err = tx.Claim(ctx, other); err != nil || !fresh {
			t.Errorf("another household's claim under the same key: fresh %v, %v", fresh, err)
		}
		return nil
	})
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		return tx.Answer(ctx, issuer.Claim{Domain: house, Request: ident.Request{99}})
	})
	if !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("answer to an unknown claim: %v, want ErrNotFound", err)
	}
}

func grants(t *testing.T, s issuer.Store) {
	want := grant(1, 2)
	put(t, s, want)
	if diff := cmp.Diff(read(t, s, issuer.GrantKey{Domain: house, Grant: want.ID}), want); diff != "" {
		t.Error(diff)
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		again := want
		again.Remaining = 50
		if fresh, err := tx.PutGrant(ctx, again); err != nil || fresh {
			t.Errorf("a taken ID: fresh %v, %v", fresh, err)
		}
		return tx.RevokeGrant(ctx, issuer.GrantKey{Domain: house, Grant: want.ID})
	})
	want.Revoked = true
	if diff := cmp.Diff(read(t, s, issuer.GrantKey{Domain: house, Grant: want.ID}), want); diff != "" {
		t.Error("after a second put and a revocation:", diff)
	}
	late := grant(0, 1)
	late.Created = 2_000
	put(t, s, late)
	elsewhere := grant(3, 1)
	elsewhere.Content = "urn:film:2"
	put(t, s, elsewhere)
	foreign := grant(4, 1)
	foreign.Domain = ident.Domain{2}
	put(t, s, foreign)
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		got, err := tx.GrantsFor(ctx, house, film)
		if diff := cmp.Diff(got, []issuer.Grant{want, late}); diff != "" {
			t.Error("grants of a household and content:", diff)
		}
		if err := tx.RevokeGrant(ctx, issuer.GrantKey{Domain: house, Grant: issuer.GrantID{99}}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("revoke an unknown grant: %v, want ErrNotFound", err)
		}
		if _, err := tx.Grant(ctx, issuer.GrantKey{Domain: ident.Domain{2}, Grant: want.ID}); !errors.Is(err, issuer.ErrNotFound) {
			t.Errorf("another household's grant: %v, want ErrNotFound", err)
		}
		return err
	})
}

func pages(t *testing.T, s issuer.Store) {
	var want []issuer.GrantKey
	for d := range byte(3) {
		for n := range byte(4) {
			g := grant(n, 1)
			g.Domain = ident.Domain{d}
			put(t, s, g)
			want = append(want, issuer.GrantKey{Domain: g.Domain, Grant: g.ID})
		}
	}
	// The first ID of all is zero and cannot stand behind a zero cursor.
	want = want[1:]
	var got []issuer.GrantKey
	var at issuer.GrantKey
	for {
		var page []issuer.Grant
		err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) (err error) {
			page, err = r.Grants(ctx, at, 5)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, g := range page {
			at = issuer.GrantKey{Domain: g.Domain, Grant: g.ID}
			got = append(got, at)
		}
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

func debits(t *testing.T, s issuer.Store) {
	g := grant(1, 2)
	put(t, s, g)
	key := issuer.GrantKey{Domain: house, Grant: g.ID}
	take := func() (ok bool) {
		update(t, s, func(ctx context.Context, tx issuer.Tx) (err error) {
			ok, err = tx.Debit(ctx, key)
			return err
		})
		return ok
	}
	if got := []bool{take(), take(), take()}; !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("three debits of a grant of two: %v", got)
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error { return tx.Credit(ctx, key) })
	if !take() || take() {
		t.Error("a credit gives exactly one back")
	}
	if err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		return tx.Credit(ctx, issuer.GrantKey{Domain: ident.Domain{9}, Grant: g.ID})
	}); !errors.Is(err, issuer.ErrNotFound) {
		t.Errorf("credit of an unknown grant: %v, want ErrNotFound", err)
	}
}

// together runs fn in n transactions at once and counts those that succeed.
func together(t *testing.T, s issuer.Store, n int, fn func(i int, ctx context.Context, tx issuer.Tx) error) (done int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error { return fn(i, ctx, tx) })
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done++
			case !errors.Is(err, errNo):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return done
}

func debitsTogether(t *testing.T, s issuer.Store) {
	const have, want = 23, 60
	g := grant(1, have)
	put(t, s, g)
	key := issuer.GrantKey{Domain: house, Grant: g.ID}
	done := together(t, s, want, func(i int, ctx context.Context, tx issuer.Tx) error {
		ok, err := tx.Debit(ctx, key)
		if err == nil && !ok {
			err = errNo
		}
		if err != nil {
			return err
		}
		_, err = tx.PutLicense(ctx, issuer.License{Domain: house, ID: ident.License{byte(i), 1}, State: issuer.Issued})
		return err
	})
	if done != have {
		t.Errorf("%d of %d debits succeeded, %d were there", done, want, have)
	}
	if left := read(t, s, key).Remaining; left != 0 {
		t.Errorf("%d remain", left)
	}
	if n := len(list(t, s)); n != have {
		t.Errorf("%d licenses for %d debits", n, have)
	}
}

func claimsTogether(t *testing.T, s issuer.Store) {
	done := together(t, s, 20, func(_ int, ctx context.Context, tx issuer.Tx) error {
		_, fresh, err := tx.Claim(ctx, issuer.Claim{Domain: house, Request: ident.Request{1}})
		if err == nil && !fresh {
			err = errNo
		}
		return err
	})
	if done != 1 {
		t.Errorf("%d transactions were the first with one key", done)
	}
}

func list(t *testing.T, s issuer.Store) (out []issuer.License) {
	t.Helper()
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) (err error) {
		out, err = r.Licenses(ctx, house)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
