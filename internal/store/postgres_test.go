package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storebench"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// cluster is a PostgreSQL server of one test, on a Unix socket only.
type cluster struct {
	*storebench.Cluster
	t testing.TB
	n int
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c, err := storebench.StartCluster(t.Context())
	if errors.Is(err, storebench.ErrNoPostgres) {
		needs.NotRun(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &cluster{Cluster: c, t: t}
}

func (c *cluster) run(name string, args ...string) {
	c.t.Helper()
	if err := c.Run(context.Background(), name, args...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) start() {
	c.t.Helper()
	if err := c.Start(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) crash() {
	c.t.Helper()
	if err := c.Crash(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

// open makes an empty database and opens it.
func (c *cluster) open(t testing.TB) *store.Store {
	t.Helper()
	c.n++
	name := fmt.Sprintf("t%d", c.n)
	c.run("createdb", "-h", c.Dir, "-U", "lares", name)
	return c.reopen(t, name)
}

func (c *cluster) reopen(t testing.TB, name string) *store.Store {
	t.Helper()
	s, err := store.OpenPostgres(t.Context(), c.DSN(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestPostgres_Spec1_MigrationKeepsEveryRow(t *testing.T) {
	c := newCluster(t)
	file := filepath.Join(c.Dir, "oldest.sql")
	if err := os.WriteFile(file, []byte(oldest(t)), 0o644); err != nil { //nolint:gosec // the server's user reads it
		t.Fatal(err)
	}
	c.run("createdb", "-h", c.Dir, "-U", "lares", "old")
	c.run("psql", "-h", c.Dir, "-U", "lares", "-d", "old", "-v", "ON_ERROR_STOP=1", "-q", "-f", file)
	migrated(t, c.reopen(t, "old"))
}

func TestPostgres_Spec3_Suite(t *testing.T) {
	needs.Long(t)
	c := newCluster(t)
	storetest.Run(t, func(t *testing.T) issuer.Store { return c.open(t) })
	storetest.RunOperators(t, func(t *testing.T) (issuer.Store, operator.Store) {
		s := c.open(t)
		return s, s.Operators()
	})
}

// A server that crashes and comes back under load loses nothing acknowledged,
// counts nothing twice, and the store goes on by itself.
func TestPostgres_Spec4_CrashOfTheServerLosesNothing(t *testing.T) {
	needs.Long(t)
	c := newCluster(t)
	s := c.open(t)
	const have = 1 << 20
	grant := issuer.Grant{ID: issuer.GrantID{1}, Domain: ident.Domain{1}, Content: "c", Kind: issuer.Rental, Remaining: have}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutGrant(ctx, grant)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	acked := map[string]bool{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id := ident.NewLicense()
				if err := s.Update(t.Context(), claimOnce(id, childIssue(grant, id))); err != nil {
					t.Errorf("update: %v", err)
					return
				}
				mu.Lock()
				acked[id.String()] = true
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	for _, target := range []int{50, 100} {
		for count() < target && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		c.crash()
		c.start()
	}
	for before := count(); count() < before+50 && !t.Failed(); {
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
	rows := map[string]bool{}
	var left uint64
	err = s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		all, err := tx.Licenses(ctx, ident.Domain{1})
		for _, l := range all {
			rows[l.ID.String()] = true
		}
		g, err2 := tx.Grant(ctx, issuer.GrantKey{Domain: ident.Domain{1}, Grant: grant.ID})
		left = g.Remaining
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range acked {
		if !rows[id] {
			t.Errorf("license %s was acknowledged and is gone", id)
		}
	}
	if len(rows) != len(acked) || left+uint64(len(rows)) != have {
		t.Errorf("%d acknowledged, %d issued, %d remain of %d", len(acked), len(rows), left, have)
	}
}

// claimOnce makes fn safe to run again, as an issuer does with its request IDs.
func claimOnce(id ident.License, fn func(context.Context, issuer.Tx) error) func(context.Context, issuer.Tx) error {
	return func(ctx context.Context, tx issuer.Tx) error {
		_, fresh, err := tx.Claim(ctx, issuer.Claim{Domain: ident.Domain{1}, Request: ident.Request(id)})
		if err != nil || !fresh {
			return err
		}
		return fn(ctx, tx)
	}
}

func TestPostgres_Spec4_LossySettingsAreRefused(t *testing.T) {
	needs.Long(t)
	c := newCluster(t)
	c.run("createdb", "-h", c.Dir, "-U", "lares", "lossy")
	_, err := store.OpenPostgres(t.Context(), c.DSN("lossy")+" options='-c synchronous_commit=off'")
	if err == nil || !strings.Contains(err.Error(), "synchronous_commit") {
		t.Errorf("%v, want a refusal that names synchronous_commit", err)
	}
}

func TestPostgres_Spec4_ConnectionStringIsNotPrinted(t *testing.T) {
	_, err := store.OpenPostgres(t.Context(), "host=/x password=hunter2 port=abc")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
