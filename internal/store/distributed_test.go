//go:build distributed

package store_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/service/issuer"
)

// TestDistributed_Spec8_Suite is what `make distributed` runs: the suite that each
// engine passes, on the Citus that LARES_CITUS_DSN names, each part in a database of
// its own there.
func TestDistributed_Spec8_Suite(t *testing.T) {
	dsn := os.Getenv("LARES_CITUS_DSN")
	if dsn == "" {
		needs.NotRun(t, "LARES_CITUS_DSN names no Citus: set it to the connection string of a coordinator whose user may create databases")
	}
	storetest.Run(t, func(t *testing.T) issuer.Store { return distributed(t, dsn) })
}

// distributed is an empty database of the cluster, spread over its nodes.
func distributed(t *testing.T, dsn string) *store.Store {
	t.Helper()
	var b [6]byte
	rand.Read(b[:])
	name := "lares_test_" + hex.EncodeToString(b[:])
	admin := func(stmt string) {
		t.Helper()
		c, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background()) //nolint:errcheck // a test's
		if _, err := c.Exec(context.Background(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	admin("CREATE DATABASE " + name)
	t.Cleanup(func() { admin("DROP DATABASE " + name + " WITH (FORCE)") })
	mine := dsn + " dbname=" + name
	if _, err := store.Distribute(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenPostgres(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
