package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// cluster is a PostgreSQL server of one test, on a Unix socket only.
type cluster struct {
	t    *testing.T
	bin  string
	dir  string
	cred *syscall.Credential
	n    int
}

// newCluster makes and starts a server; PostgreSQL does not run as root, so
// root runs it as the user postgres, or as nobody.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: pgBin(t)}
	// A socket's path is at most 107 bytes long, which t.TempDir may not leave room for.
	dir, err := os.MkdirTemp("", "lares-pg-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.dir = dir
	if os.Geteuid() == 0 {
		c.cred = unprivileged(t)
		if err := os.Chown(dir, int(c.cred.Uid), int(c.cred.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	c.run("initdb", "-D", c.dir+"/data", "-U", "lares", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	c.start()
	t.Cleanup(func() { c.run("pg_ctl", "-D", c.dir+"/data", "-m", "immediate", "-w", "stop") })
	return c
}

func pgBin(t *testing.T) string {
	t.Helper()
	if p, err := exec.LookPath("pg_ctl"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p)
		}
	}
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl")
	if err != nil || len(all) == 0 {
		needs.NotRun(t, "PostgreSQL is not installed (make setup installs postgresql)")
	}
	return filepath.Dir(all[len(all)-1])
}

func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	needs.NotRun(t, "PostgreSQL does not run as root, and there is no user postgres or nobody")
	return nil
}

func (c *cluster) run(name string, args ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	log, err := os.CreateTemp(c.t.TempDir(), name)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log // a file: the server inherits it and would hold a pipe open
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(log.Name())
		c.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func (c *cluster) start() {
	c.t.Helper()
	c.run("pg_ctl", "-D", c.dir+"/data", "-w", "-l", c.dir+"/log", "-o", "-c listen_addresses='' -c unix_socket_directories="+c.dir, "start")
}

// crash ends the server as a power cut would, as far as a process can.
func (c *cluster) crash() {
	c.t.Helper()
	c.run("pg_ctl", "-D", c.dir+"/data", "-m", "immediate", "-w", "stop")
}

func (c *cluster) dsn(db string) string {
	return fmt.Sprintf("host=%s user=lares dbname=%s", c.dir, db)
}

// open makes an empty database and opens it.
func (c *cluster) open(t *testing.T) *store.Store {
	t.Helper()
	c.n++
	name := fmt.Sprintf("t%d", c.n)
	c.run("createdb", "-h", c.dir, "-U", "lares", name)
	return c.reopen(t, name)
}

func (c *cluster) reopen(t *testing.T, name string) *store.Store {
	t.Helper()
	s, err := store.OpenPostgres(t.Context(), c.dsn(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestPostgres_Spec1_MigrationKeepsEveryRow(t *testing.T) {
	c := newCluster(t)
	file := filepath.Join(c.dir, "oldest.sql")
	if err := os.WriteFile(file, []byte(oldest(t)), 0o644); err != nil { //nolint:gosec // the server's user reads it
		t.Fatal(err)
	}
	c.run("createdb", "-h", c.dir, "-U", "lares", "old")
	c.run("psql", "-h", c.dir, "-U", "lares", "-d", "old", "-v", "ON_ERROR_STOP=1", "-q", "-f", file)
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
	c.run("createdb", "-h", c.dir, "-U", "lares", "lossy")
	_, err := store.OpenPostgres(t.Context(), c.dsn("lossy")+" options='-c synchronous_commit=off'")
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
