package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// sent counts what goes to a database: a batch, or a statement by itself, is one
// round trip.
type sent struct {
	mu            sync.Mutex
	trips, orders int
}

func (s *sent) add(trips, orders int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips, s.orders = s.trips+trips, s.orders+orders
}

func (s *sent) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.add(1, 1)
	return ctx
}
func (s *sent) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *sent) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	s.add(1, d.Batch.Len())
	return ctx
}
func (s *sent) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (s *sent) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// nextIssue is a household's license of a number, from its grant {1}.
func nextIssue(domain ident.Domain, seq uint64) issuer.Issue {
	id := ident.NewLicense()
	tid := ident.Transfer{Src: ident.Device{1}, Dst: ident.Device(domain), Seq: seq}
	return issuer.Issue{
		Claim: issuer.Claim{Domain: domain, Request: ident.Request(id), License: id, Transfer: tid}, Grant: issuer.GrantKey{Domain: domain, Grant: issuer.GrantID{1}}, Version: 1,
		License:  issuer.License{Domain: domain, ID: id, Device: tid.Dst, Grant: issuer.GrantID{1}, Request: ident.Request(id), State: issuer.Issued, Version: 1},
		Transfer: issuer.Transfer{Domain: domain, ID: tid, License: id, State: issuer.Escrow, Sealed: []byte{1}},
	}
}

// households gives n of them a grant {1} of many licenses.
func households(t testing.TB, s *store.Store, n int) (all []ident.Domain) {
	t.Helper()
	for i := range n {
		d := ident.Domain{2, byte(i)}
		all = append(all, d)
		err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
			_, err := tx.PutGrant(ctx, issuer.Grant{ID: issuer.GrantID{1}, Domain: d, Content: "c", Kind: issuer.Rental, Remaining: childGrants, Version: 1})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func licensesOf(t *testing.T, s *store.Store, d ident.Domain) (all []issuer.License, err error) {
	t.Helper()
	err = s.View(t.Context(), func(ctx context.Context, r issuer.Reader) (err error) {
		all, err = r.Licenses(ctx, d)
		return err
	})
	return all, err
}

// What 64 households ask is looked at with three statements in one round trip, and
// what they get is one transaction: seven in two, one of which waits for the disk. One that is not as foreseen costs a round
// trip more, and nobody else his license.
func TestPostgres_Spec1_AGroupIsTwoRoundTrips(t *testing.T) {
	needs.Long(t)
	s := newCluster(t).open(t)
	homes := households(t, s, 64)
	seen := new(sent)
	store.Trace(s, seen)
	group := func(seq uint64, edit func([]issuer.Issue)) (done []bool, errs []error) {
		all := make([]issuer.Issue, len(homes))
		for i, d := range homes {
			all[i] = nextIssue(d, seq)
		}
		edit(all)
		*seen = sent{}
		return store.Together(s, all)
	}
	for seq, want := range []int{0, 2, 2} { // the first one also has the statements planned
		done, errs := group(uint64(seq+1), func([]issuer.Issue) {})
		if slices.Contains(done, false) || errors.Join(errs...) != nil {
			t.Fatalf("%v, %v", done, errors.Join(errs...))
		}
		if want > 0 && (seen.trips != want || seen.orders != 7) {
			t.Errorf("64 licenses: %d statements in %d round trips, want 7 in %d", seen.orders, seen.trips, want)
		}
	}
	looks := make([]issuer.Asked, len(homes))
	for i, d := range homes {
		looks[i] = issuer.Asked{Domain: d, Content: "c", Peer: ident.Device(d)}
	}
	for trip, want := range []int{0, 1} {
		*seen = sent{}
		out, err := store.LookTogether(s, looks)
		if err != nil || len(out) != len(looks) || out[63].Last != 3 || len(out[63].Grants) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		if trip > 0 && (seen.trips != want || seen.orders != 3) {
			t.Errorf("64 looks: %d statements in %d round trips, want 3 in %d", seen.orders, seen.trips, want)
		}
	}
	wanted := make([]issuer.License, len(homes))
	for i, d := range homes {
		wanted[i] = nextIssue(d, 0).License // not there, but for those that were given
		if got, err := licensesOf(t, s, d); err != nil {
			t.Fatal(err)
		} else if i != 5 {
			wanted[i].ID = got[1].ID
		}
	}
	for trip, want := range []int{0, 1} {
		*seen = sent{}
		out, errs := store.ReadTogether(s, wanted)
		for i := range homes {
			if missing := i == 5; errors.Is(errs[i], issuer.ErrNotFound) != missing || !missing && (errs[i] != nil || out[i].ID != wanted[i].ID || out[i].Domain != homes[i]) {
				t.Errorf("household %d reads %+v, %v", i, out[i], errs[i])
			}
		}
		if trip > 0 && (seen.trips != want || seen.orders != 1) {
			t.Errorf("64 reads: %d statements in %d round trips, want 1 in %d", seen.orders, seen.trips, want)
		}
	}
	done, errs := group(4, func(all []issuer.Issue) {
		all[7].Version = 2
		all[9].Transfer.ID.Seq = 9
	})
	for i := range homes {
		if other := i == 7 || i == 9; done[i] == other || errors.Is(errs[i], store.ErrAlone) != other {
			t.Errorf("household %d: recorded %v, %v", i, done[i], errs[i])
		}
	}
	if seen.trips != 3 {
		t.Errorf("62 licenses beside two that are not as foreseen: %d round trips, want 3", seen.trips)
	}
}

// A license ID that is there already breaks the group's statement: then each is
// tried by itself, and nothing of the group stays.
func TestPostgres_Spec1_AGroupThatBreaksLeavesNothing(t *testing.T) {
	needs.Long(t)
	s := newCluster(t).open(t)
	homes := households(t, s, 8)
	var all []issuer.Issue
	for _, d := range homes {
		all = append(all, nextIssue(d, 1))
	}
	if ok, err := s.Issue(t.Context(), all[3]); !ok || err != nil {
		t.Fatal(ok, err)
	}
	taken := all[3].License.ID
	all[3] = nextIssue(homes[3], 2)
	all[3].License.ID = taken
	done, errs := store.Together(s, all)
	for i := range homes {
		if done[i] || !errors.Is(errs[i], store.ErrAlone) {
			t.Errorf("household %d: recorded %v, %v", i, done[i], errs[i])
		}
	}
	for i, is := range all {
		if ok, err := s.Issue(t.Context(), is); ok != (i != 3) || err != nil {
			t.Errorf("household %d by itself: %v, %v", i, ok, err)
		}
	}
}
