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
	asked := issuer.Asked{Domain: house, Request: c.Request, Content: film, Peer: peer, Incarnation: in}
	another := asked
	another.Request = ident.Request{6}
	others := asked
	others.Domain = ident.Domain{2}
	for a, want := range map[issuer.Asked]issuer.Ahead{
		asked: {Claimed: true, Grants: []issuer.Grant{grant(1, 3)}, Last: 2}, another: {Grants: []issuer.Grant{grant(1, 3)}, Last: 2}, others: {Grants: []issuer.Grant{}},
	} {
		if got, err := s.Ahead(t.Context(), a); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%+v: %v: %s", a, err, cmp.Diff(want, got))
		}
	}
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
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

// foreseen is the first license of a household, whose grant {1} is of version 1.
func foreseen(domain ident.Domain) issuer.Issue {
	tid := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device(domain), Incarnation: ident.Incarnation{3}, Seq: 1}
	return issuer.Issue{
		Claim: issuer.Claim{Domain: domain, Request: ident.Request{5}, Hash: [32]byte{6}, License: ident.License{8}, Transfer: tid, At: 8_999},
		Grant: issuer.GrantKey{Domain: domain, Grant: issuer.GrantID{1}}, Version: 1,
		License:  issuer.License{Domain: domain, ID: ident.License{8}, Device: tid.Dst, Grant: issuer.GrantID{1}, Request: ident.Request{5}, State: issuer.Issued, Version: 1, IssuedAt: 8_999},
		Transfer: issuer.Transfer{Domain: domain, ID: tid, License: ident.License{8}, State: issuer.Escrow, Sealed: []byte{9}},
	}
}

// allAtOnce issues at the same time, and says which were recorded.
func allAtOnce(t *testing.T, s issuer.Store, all []issuer.Issue) []bool {
	t.Helper()
	done := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, is := range all {
		wg.Go(func() {
			var err error
			if done[i], err = s.Issue(t.Context(), is); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return done
}

// looksTogether checks that many households that look ahead at the same time each see
// how they stand, and nobody else.
func looksTogether(t *testing.T, s issuer.Store) {
	const homes = 80 // more than share a look
	var wg sync.WaitGroup
	for n := range homes {
		d := ident.Domain{1, byte(n)}
		want := issuer.Ahead{Grants: []issuer.Grant{}}
		for id := range byte(n % 3) { // none, one, two
			g := grant(id+1, 2)
			g.Domain = d
			put(t, s, g)
			want.Grants = append(want.Grants, g)
		}
		is := foreseen(d)
		if n%6 == 4 {
			if done := allAtOnce(t, s, []issuer.Issue{is}); !done[0] {
				t.Fatal("a license was not recorded")
			}
			want.Claimed, want.Last, want.Grants[0].Remaining = true, 1, 1
		}
		wg.Go(func() {
			for range 3 {
				got, err := s.Ahead(t.Context(), issuer.Asked{Domain: d, Request: is.Claim.Request, Content: film, Peer: is.Transfer.ID.Dst, Incarnation: is.Transfer.ID.Incarnation})
				if err != nil || !cmp.Equal(got, want) {
					t.Errorf("household %v: %v, %s", d, err, cmp.Diff(want, got))
				}
			}
		})
	}
	wg.Wait()
}

// issuesTogether checks that licenses of many households that come at the same time
// are each recorded whole, or not at all, whatever becomes of the others.
func issuesTogether(t *testing.T, s issuer.Store) {
	const homes = 80 // more than share a transaction
	var all []issuer.Issue
	var want []bool
	for n := range homes {
		g := grant(1, 2)
		g.Domain = ident.Domain{1, byte(n)}
		put(t, s, g)
		is := foreseen(g.Domain)
		switch n % 8 {
		case 3:
			is.Version = 2
		case 5:
			is.Claim.At = g.Expires
		case 6: // another one with the same key is before it
			if done := allAtOnce(t, s, []issuer.Issue{is}); !done[0] {
				t.Fatal("a license was not recorded")
			}
			is.License.ID[0], is.Claim.License[0], is.Transfer.License[0], is.Transfer.ID.Seq = 9, 9, 9, 2
		}
		all, want = append(all, is), append(want, n%8 != 3 && n%8 != 5 && n%8 != 6)
	}
	if got := allAtOnce(t, s, all); !slices.Equal(got, want) {
		t.Errorf("recorded were\n%v, want\n%v", got, want)
	}
	for n, is := range all {
		whole(t, s, is, want[n], n%8 == 6)
	}
}

// whole checks that of a license everything is there or nothing.
func whole(t *testing.T, s issuer.Store, is issuer.Issue, there, before bool) {
	t.Helper()
	left := uint64(2)
	if there || before {
		left = 1
	}
	if got := read(t, s, is.Grant).Remaining; got != left {
		t.Errorf("household %v: %d remain, want %d", is.Grant.Domain, got, left)
	}
	update(t, s, func(ctx context.Context, tx issuer.Tx) error {
		for what, look := range map[string]func() error{
			"license":  func() error { _, err := tx.License(ctx, is.Grant.Domain, is.License.ID); return err },
			"transfer": func() error { _, err := tx.Transfer(ctx, is.Grant.Domain, is.Transfer.ID); return err },
		} {
			if err := look(); there != (err == nil) || err != nil && !errors.Is(err, issuer.ErrNotFound) {
				t.Errorf("household %v: its %s: %v, want it there: %v", is.Grant.Domain, what, err, there)
			}
		}
		seq, err := tx.NextSeq(ctx, is.Grant.Domain, is.Transfer.ID.Dst, is.Transfer.ID.Incarnation)
		if want := 3 - left; seq != want {
			t.Errorf("household %v: number %d is next, want %d", is.Grant.Domain, seq, want)
		}
		prior, fresh, err2 := tx.Claim(ctx, is.Claim)
		if fresh == (there || before) || there && !cmp.Equal(prior, is.Claim) {
			t.Errorf("household %v: its key is new: %v, %s", is.Grant.Domain, fresh, cmp.Diff(is.Claim, prior))
		}
		return errors.Join(err, err2)
	})
}

// issuesOfOneKey: of many callers with one request key one license is recorded; of
// many with keys of their own as many as the grant has.
func issuesOfOneKey(t *testing.T, s issuer.Store) {
	const callers, have = 40, 7
	put(t, s, grant(1, have))
	var all []issuer.Issue
	for n := range callers {
		is := foreseen(house)
		is.License.ID[1], is.Claim.License[1], is.Transfer.License[1] = byte(n), byte(n), byte(n)
		all = append(all, is)
	}
	if n := count(allAtOnce(t, s, all)); n != 1 {
		t.Errorf("%d licenses of one request", n)
	}
	done := 1
	for seq := uint64(2); ; seq++ {
		for n := range all {
			all[n].Claim.Request = ident.Request{9, byte(n), byte(seq)}
			all[n].License.Request, all[n].License.ID = all[n].Claim.Request, ident.License(all[n].Claim.Request)
			all[n].Claim.License, all[n].Transfer.License = all[n].License.ID, all[n].License.ID
			all[n].Claim.Transfer.Seq, all[n].Transfer.ID.Seq = seq, seq
		}
		n := count(allAtOnce(t, s, all))
		if done += n; n == 0 {
			break
		} else if n > 1 {
			t.Fatalf("%d licenses have number %d", n, seq)
		}
	}
	if n := len(list(t, s)); done != have || n != have {
		t.Errorf("%d recorded, %d there, of a grant of %d", done, n, have)
	}
}

func count(all []bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// issues checks that a license is recorded whole, or that its transaction is given
// up for each thing that is not as foreseen.
func issues(t *testing.T, s issuer.Store) {
	first := func(edit func(*issuer.Issue)) issuer.Issue {
		is := foreseen(house)
		edit(&is)
		return is
	}
	put(t, s, grant(1, 2))
	try := func(is issuer.Issue) (ok bool) {
		ok, err := s.Issue(t.Context(), is)
		if err != nil {
			t.Fatal(err)
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
