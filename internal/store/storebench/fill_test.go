package storebench_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storebench"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// filled checks that a filled database keeps the rules between its tables, has the
// licenses of whole households, each confirmed, and goes on.
func filled(t *testing.T, s *store.Store, checked store.Checked, err error) {
	t.Helper()
	if err != nil || len(checked.Findings) > 0 || checked.Rules == 0 {
		t.Errorf("%+v, %v", checked, err)
	}
	err = s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		grants, err := tx.Grants(ctx, issuer.GrantKey{}, 100)
		if err != nil || len(grants) != 3 {
			t.Errorf("%d grants, %v, want 3 for 25 licenses", len(grants), err)
		}
		for _, g := range grants {
			all, err := tx.Licenses(ctx, g.Domain)
			if err != nil || len(all) != 10 || g.Remaining != 0 {
				t.Errorf("%d licenses, %d remain, %v", len(all), g.Remaining, err)
			}
			for _, l := range all {
				prior, fresh, err := tx.Claim(ctx, issuer.Claim{Domain: g.Domain, Request: l.Request})
				if err != nil || fresh || prior.License != l.ID {
					t.Errorf("its request: %+v, %v, %v", prior, fresh, err)
				}
				x, err := tx.Transfer(ctx, g.Domain, prior.Transfer)
				if err != nil || x.State != issuer.Closed || x.License != l.ID || l.State != issuer.Delivered {
					t.Errorf("license %+v, transfer %+v, %v", l, x, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	is := issuer.Issue{Grant: issuer.GrantKey{Domain: ident.Domain{1}}, License: issuer.License{State: issuer.Issued}, Transfer: issuer.Transfer{ID: ident.Transfer{Seq: 1}, State: issuer.Escrow}}
	if ok, err := s.Issue(t.Context(), is); ok || err != nil {
		t.Errorf("a license of no grant: %v, %v", ok, err)
	}
}

func TestFill_SQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	open := func() *store.Store {
		s, err := store.OpenSQLite(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := open().Close(); err != nil {
		t.Fatal(err)
	}
	if err := storebench.FillSQLite(t.Context(), path, 25); err != nil {
		t.Fatal(err)
	}
	s := open()
	defer s.Close() //nolint:errcheck // a test's
	checked, err := store.CheckSQLite(t.Context(), path)
	filled(t, s, checked, err)
}

func TestFill_Postgres(t *testing.T) {
	needs.Long(t)
	c, err := storebench.StartCluster(t.Context())
	if errors.Is(err, storebench.ErrNoPostgres) {
		needs.NotRun(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop(context.Background()) //nolint:errcheck // what is left is in a temporary folder
	if err := c.Create(t.Context(), "filled"); err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenPostgres(t.Context(), c.DSN("filled"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test's
	if err := storebench.FillPostgres(t.Context(), c.DSN("filled"), 25); err != nil {
		t.Fatal(err)
	}
	checked, err := store.CheckPostgres(t.Context(), c.DSN("filled"))
	filled(t, s, checked, err)
}
