package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// requests reads outside of a transaction what a request comes to.
func requests(t *testing.T, s issuer.Store) {
	c := issuer.Claim{
		Domain: house, Request: ident.Request{5}, Hash: [32]byte{6}, License: ident.License{8}, At: 77,
		Transfer: ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Incarnation: ident.Incarnation{3}, Seq: 2},
	}
	peer, in := c.Transfer.Dst, c.Transfer.Incarnation
	put(t, s, grant(1, 3))
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		if _, _, err := tx.Claim(ctx, c); err != nil {
			return err
		}
		for range 2 {
			if _, err := tx.NextSeq(ctx, house, peer, in); err != nil {
				return err
			}
		}
		_, err := tx.PutLicense(ctx, issuer.License{Domain: house, ID: c.License, Grant: issuer.GrantID{1}, State: issuer.Issued, Version: 1})
		return err
	})
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		for request, want := range map[ident.Request]issuer.Ahead{
			c.Request: {Claimed: true, Grants: []issuer.Grant{grant(1, 3)}, Last: 2}, {6}: {Grants: []issuer.Grant{grant(1, 3)}, Last: 2},
		} {
			if got, err := r.Ahead(ctx, house, request, film, peer, in); err != nil || !cmp.Equal(got, want) {
				t.Errorf("%v: %s", err, cmp.Diff(want, got))
			}
		}
		if got, err := r.Ahead(ctx, ident.Domain{2}, c.Request, film, peer, in); err != nil || !cmp.Equal(got, issuer.Ahead{Grants: []issuer.Grant{}}) {
			t.Errorf("another house: %+v, %v", got, err)
		}
		for id, want := range map[issuer.GrantID]bool{{1}: true, {2}: false} {
			if used, err := r.Used(ctx, issuer.GrantKey{Domain: house, Grant: id}); err != nil || used != want {
				t.Errorf("grant %v is used: %v, %v, want %v", id, used, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// issues checks that a license is recorded whole, or that its transaction is given
// up for each thing that is not as foreseen.
func issues(t *testing.T, s issuer.Store) {
	first := func(edit func(*issuer.Issue)) issuer.Issue {
		tid := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Incarnation: ident.Incarnation{3}, Seq: 1}
		is := issuer.Issue{
			Claim: issuer.Claim{Domain: house, Request: ident.Request{5}, Hash: [32]byte{6}, License: ident.License{8}, Transfer: tid, At: 8_999},
			Grant: issuer.GrantKey{Domain: house, Grant: issuer.GrantID{1}}, Version: 1,
			License:  issuer.License{Domain: house, ID: ident.License{8}, Device: tid.Dst, Grant: issuer.GrantID{1}, Request: ident.Request{5}, State: issuer.Issued, Version: 1, IssuedAt: 8_999},
			Transfer: issuer.Transfer{Domain: house, ID: tid, License: ident.License{8}, State: issuer.Escrow, Sealed: []byte{9}},
		}
		edit(&is)
		return is
	}
	put(t, s, grant(1, 2))
	try := func(is issuer.Issue) (ok bool) {
		err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) (err error) {
			if ok, err = tx.Issue(ctx, is); err == nil && !ok {
				err = errNo
			}
			return err
		})
		if ok == (err != nil) {
			t.Fatalf("%v, %v", ok, err)
		}
		return ok
	}
	refused := map[string]func(*issuer.Issue){
		"an ended grant":          func(is *issuer.Issue) { is.Claim.At = 9_000 },
		"another version":         func(is *issuer.Issue) { is.Version = 2 },
		"no such grant":           func(is *issuer.Issue) { is.Grant.Grant[0] = 7 },
		"a number that is taken":  func(is *issuer.Issue) { is.Claim.Request[0], is.License.ID[0], is.Claim.License[0] = 9, 9, 9 },
		"a number too far":        func(is *issuer.Issue) { is.Claim.Request[0], is.License.ID[0], is.Transfer.ID.Seq = 9, 9, 3 },
		"a claimed key":           func(is *issuer.Issue) { is.License.ID[0], is.Transfer.ID.Seq = 9, 2 },
		"a license that is there": func(is *issuer.Issue) { is.Claim.Request[0], is.Transfer.ID.Seq = 9, 2 },
	}
	for _, name := range []string{"an ended grant", "another version", "no such grant"} {
		if try(first(refused[name])) {
			t.Errorf("%s was taken", name)
		}
	}
	if !try(first(func(*issuer.Issue) {})) {
		t.Fatal("a license was not recorded")
	}
	for name, edit := range refused {
		if try(first(edit)) {
			t.Errorf("%s was taken", name)
		}
	}
	if g := read(t, s, issuer.GrantKey{Domain: house, Grant: issuer.GrantID{1}}); g.Remaining != 1 {
		t.Errorf("%d remain, want 1", g.Remaining)
	}
	next := func(is *issuer.Issue) { is.Claim.Request[0], is.License.ID[0], is.Transfer.ID.Seq = 9, 9, 2 }
	if !try(first(next)) || try(first(func(is *issuer.Issue) {
		next(is)
		is.Claim.Request[0], is.License.ID[0], is.Transfer.ID.Seq = 10, 10, 3
	})) {
		t.Error("the second and last license was not recorded, or a third one was")
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		is := first(func(*issuer.Issue) {})
		prior, fresh, err := tx.Claim(ctx, is.Claim)
		if fresh || !cmp.Equal(prior, is.Claim) {
			t.Error(cmp.Diff(is.Claim, prior))
		}
		lic, err2 := tx.License(ctx, house, is.License.ID)
		x, err3 := tx.Transfer(ctx, house, is.Transfer.ID)
		if d := cmp.Diff(is.License, lic) + cmp.Diff(is.Transfer, x); d != "" {
			t.Error(d)
		}
		return errors.Join(err, err2, err3)
	})
}
