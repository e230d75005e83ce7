package store

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// Exec changes a closed database as no issuer does.
func Exec(t *testing.T, path, stmt string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // read back by the test
	if _, err := db.ExecContext(t.Context(), stmt); err != nil {
		t.Fatal(err)
	}
}

// SetPatience says how long a PostgreSQL transaction is waited for.
func SetPatience(s *Store, d time.Duration) { s.engine.(*pgEngine).patience = d }

// Trace has everything that goes to PostgreSQL from now on told to a tracer.
func Trace(s *Store, t pgx.QueryTracer) {
	e := s.engine.(*pgEngine)
	e.cfg.Tracer = t
	for range pgConns {
		if c := <-e.free; c != nil {
			c.Close(context.Background()) //nolint:errcheck // another one is opened
		}
		e.free <- nil
	}
}

// Together has PostgreSQL record licenses of different households as one group.
func Together(s *Store, all []issuer.Issue) (done []bool, errs []error) {
	var group []*asked[*issuer.Issue, bool]
	for i := range all {
		group = append(group, &asked[*issuer.Issue, bool]{domain: all[i].Claim.Domain, question: &all[i]})
	}
	s.engine.(*pgEngine).issueTogether(group)
	for _, a := range group {
		done, errs = append(done, a.answer), append(errs, a.err)
	}
	return done, errs
}

// LookTogether has PostgreSQL look ahead for different households as one group.
func LookTogether(s *Store, all []issuer.Asked) (out []issuer.Ahead, err error) {
	var group []*asked[*issuer.Asked, issuer.Ahead]
	for i := range all {
		group = append(group, &asked[*issuer.Asked, issuer.Ahead]{domain: all[i].Domain, question: &all[i]})
	}
	s.engine.(*pgEngine).aheadTogether(group)
	for _, a := range group {
		out, err = append(out, a.answer), errors.Join(err, a.err)
	}
	return out, err
}

// ReadTogether has PostgreSQL read licenses of different households as one group.
func ReadTogether(s *Store, all []issuer.License) (out []issuer.License, errs []error) {
	var group []*asked[ident.License, issuer.License]
	for i := range all {
		group = append(group, &asked[ident.License, issuer.License]{domain: all[i].Domain, question: all[i].ID})
	}
	s.engine.(*pgEngine).licensesTogether(group)
	for _, a := range group {
		out, errs = append(out, a.answer), append(errs, a.err)
	}
	return out, errs
}

// ErrAlone is of a license that a group did not record.
var ErrAlone = errAlone
