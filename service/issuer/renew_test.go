package issuer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/service/issuer"
)

const monthly = "PLAY; END_TIME=2026-12-24T00:00:00Z; CHARGE=SUBSCRIPTION"

// A subscription that ended months ago is paid for again: the same license comes
// in its next version, made from keys that the module has had all the time; and a
// household that was bound anew (a higher generation) gets its own of it.
func TestRenew_Copies3_NeverNeedsTheContentAgain(t *testing.T) {
	s := newShop(t)
	g := s.grant(monthly, 1)
	first := s.send(request(1))
	before := s.licenses()[0]
	key := issuer.GrantKey{Domain: house, Grant: g.ID}
	s.now = time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC)
	s.open() // another day, another process
	until := s.now.Add(31 * 24 * time.Hour).UnixMilli()
	next, err := s.Renew(t.Context(), key, until)
	if err != nil || next.Version != 2 || next.ID != g.ID || !strings.Contains(next.Terms, "END_TIME=2027-06-01T00:00:00Z") {
		t.Fatalf("%+v, %v", next, err)
	}
	if again, err := s.Renew(t.Context(), key, until); err != nil || again.Version != 2 {
		t.Errorf("renewed to the same end again: %+v, %v", again, err)
	}
	for _, n := range []byte{2, 3, 1} {
		if got := s.send(request(n)); got != first {
			t.Errorf("request %d: %q, want %q", n, got, first)
		}
	}
	all := s.licenses()
	if len(all) != 1 || all[0].ID != before.ID || all[0].Version != 2 || all[0].Digest == before.Digest {
		t.Errorf("%+v, before %+v", all, before)
	}
	bound := request(4)
	bound.Generation = 2
	if got := s.send(bound); got == first || !strings.HasPrefix(got, "license ") || s.remaining(g.ID) != 0 {
		t.Errorf("bound anew: %q", got)
	}
	if s.trem.registered != 1 {
		t.Errorf("content keys were registered %d times, once was enough", s.trem.registered)
	}
}

func TestRenew_Copies3_WhatIsNotRenewed(t *testing.T) {
	s := library(t, 1)
	later := s.now.Add(1000 * time.Hour).UnixMilli()
	revoked := s.grant(monthly, 1)
	if err := s.Revoke(t.Context(), issuer.GrantKey{Domain: house, Grant: revoked.ID}); err != nil {
		t.Fatal(err)
	}
	l, err := s.Lend(t.Context(), film, house)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		grant issuer.GrantID
		until int64
		want  error
	}{
		"no end":         {s.grant(purchase, 1).ID, later, issuer.ErrTerms},
		"an earlier end": {s.grant(monthly, 1).ID, s.now.Add(time.Hour).UnixMilli(), issuer.ErrTerms},
		"revoked":        {revoked.ID, later, issuer.ErrConflict},
		"unknown":        {issuer.GrantID{9}, later, issuer.ErrNotFound},
		"a copy":         {l.Grant, later, issuer.ErrConflict}, // others may wait for it
	} {
		if _, err := s.Renew(t.Context(), issuer.GrantKey{Domain: house, Grant: tc.grant}, tc.until); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	h := api(s)
	g := s.grant(monthly, 1)
	if status, out := call(t, h, "POST", "/api/v1/grants/"+house.String()+"/"+g.ID.String()+"/renew", map[string]any{"until": later}); status != 200 || out["version"] != 2.0 {
		t.Errorf("over HTTP: %d %v", status, out)
	}
}
