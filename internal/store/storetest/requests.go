package storetest

import (
	"context"
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
		got, ok, err := r.Claimed(ctx, house, c.Request)
		if err != nil || !ok || !cmp.Equal(got, c) {
			t.Errorf("%v, %v: %s", ok, err, cmp.Diff(c, got))
		}
		for _, other := range []issuer.Claim{{Domain: house, Request: ident.Request{6}}, {Domain: ident.Domain{2}, Request: c.Request}} {
			if _, ok, err := r.Claimed(ctx, other.Domain, other.Request); ok || err != nil {
				t.Errorf("a key that nobody claimed: %v, %v", ok, err)
			}
		}
		all, err := r.GrantsFor(ctx, house, film)
		if err != nil || len(all) != 1 || all[0].Remaining != 3 {
			t.Errorf("grants %+v, %v", all, err)
		}
		for dev, want := range map[ident.Device]uint64{peer: 2, {9}: 0} {
			if n, err := r.LastSeq(ctx, house, dev, in); err != nil || n != want {
				t.Errorf("last number %d, %v, want %d", n, err, want)
			}
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
