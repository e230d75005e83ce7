package store

import (
	"database/sql"
	"testing"
	"time"
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
