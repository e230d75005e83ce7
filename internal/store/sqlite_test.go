package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/needs"

	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/internal/store/storetest"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSQLite_Spec3_Suite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) issuer.Store { return open(t, filepath.Join(t.TempDir(), "issuer.db")) })
}

func TestSQLite_Spec8_Operators(t *testing.T) {
	storetest.RunOperators(t, func(t *testing.T) (issuer.Store, operator.Store) {
		s := open(t, filepath.Join(t.TempDir(), "issuer.db"))
		return s, s.Operators()
	})
}

func TestSQLite_Spec4_OneProcessAndPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "an odd?name #1%.db")
	s := open(t, path)
	if _, err := store.OpenSQLite(t.Context(), path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error { return tx.PutContent(ctx, issuer.Content{ID: "a"}) })
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v: want database, log and lock", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", filepath.Base(f), info.Mode().Perm(), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(context.Context, issuer.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("update after Close: %v, want ErrClosed", err)
	}
	again := open(t, path)
	err = again.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		got, err := r.Contents(ctx)
		if len(got) != 1 {
			t.Errorf("%d contents after a restart", len(got))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLite_Spec4_PanicRollsBack(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "issuer.db"))
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		if err := tx.PutContent(ctx, issuer.Content{ID: "a"}); err != nil {
			return err
		}
		panic("a bug")
	})
	if err == nil || errors.Is(err, store.ErrBroken) {
		t.Errorf("%v, want an error of this call only", err)
	}
	err = s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		got, err := r.Contents(ctx)
		if len(got) != 0 {
			t.Errorf("%d contents after a panic", len(got))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLite_Spec4_NewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	store.Exec(t, path, "INSERT INTO schema_version (version) VALUES (999)")
	if _, err := store.OpenSQLite(t.Context(), path); err == nil || !strings.Contains(err.Error(), "999") {
		t.Errorf("%v, want a refusal that names schema 999", err)
	}
}

// oldest is a database of schema 1 with one row in each table that a later
// migration makes anew.
func oldest(t *testing.T) string {
	t.Helper()
	schema, err := os.ReadFile("migrations/0001_issuer.sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(schema) + `
CREATE TABLE schema_version (version BIGINT NOT NULL, PRIMARY KEY (version));
INSERT INTO schema_version (version) VALUES (1);
INSERT INTO offer (offer_id, content_id, kind, terms, tiers, licenses) VALUES ('rent', 'c', 'rental', 'PLAY', '1,2', 3);
INSERT INTO license_grant (domain_id, grant_id, content_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked)
VALUES ('0123456789abcdef', 'fedcba9876543210', 'c', 'purchase', 'PLAY', 'code', 'policy', '', 7, 2, 9, 8, 1);
`
}

// migrated looks for oldest's rows in an open store.
func migrated(t *testing.T, s *store.Store) {
	t.Helper()
	err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error {
		o, err := r.Offer(ctx, "rent")
		want := issuer.Offer{ID: "rent", Content: "c", Kind: issuer.Rental, Name: "rent", Terms: "PLAY", Tiers: []uint64{1, 2}, Licenses: 3}
		if diff := cmp.Diff(o, want); diff != "" {
			t.Error(diff)
		}
		all, err2 := r.Grants(ctx, issuer.GrantKey{}, 9)
		g := issuer.Grant{
			ID: issuer.GrantID([]byte("fedcba9876543210")), Domain: ident.Domain([]byte("0123456789abcdef")), Content: "c", Kind: issuer.Purchase, Terms: "PLAY",
			Code: []byte("code"), Policy: []byte("policy"), Tiers: []uint64{}, MinEpoch: 7, Remaining: 2, Expires: 9, Created: 8, Revoked: true, Version: 1, IssuedAt: 8,
		}
		if diff := cmp.Diff(all, []issuer.Grant{g}); diff != "" {
			t.Error(diff)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLite_Spec1_MigrationKeepsEveryRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	store.Exec(t, path, oldest(t))
	store.Exec(t, path, `UPDATE offer SET content_id = CAST(content_id AS BLOB);
UPDATE license_grant SET domain_id = CAST(domain_id AS BLOB), grant_id = CAST(grant_id AS BLOB), content_id = CAST(content_id AS BLOB)`)
	migrated(t, open(t, path))
}

// A damaged database is the nearest thing to a bad disk that a test can make
// without one: the first error must end all service.
func TestSQLite_Spec4_AnErrorOfTheDiskEndsService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	store.Exec(t, path, "DROP TABLE content")
	s := open(t, path)
	work := func(ctx context.Context, tx issuer.Tx) error {
		return tx.PutOffer(ctx, issuer.Offer{ID: "x", Content: "c", Kind: issuer.Rental, Licenses: 1})
	}
	if err := s.Update(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error { return tx.PutContent(ctx, issuer.Content{ID: "a"}) })
	if !errors.Is(err, store.ErrBroken) {
		t.Fatalf("%v, want ErrBroken", err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open")
	}
	if err := s.Update(t.Context(), work); !errors.Is(err, store.ErrBroken) {
		t.Errorf("update after it: %v, want ErrBroken", err)
	}
	if err := s.View(t.Context(), func(context.Context, issuer.Reader) error { return nil }); !errors.Is(err, store.ErrBroken) {
		t.Errorf("view after it: %v, want ErrBroken", err)
	}
	if s.Err() == nil {
		t.Error("Err does not say why")
	}
}

// TestSQLite_Spec4_KillLosesNothing kills a process that writes, with kill -9,
// and looks for everything that it had acknowledged.
func TestSQLite_Spec4_KillLosesNothing(t *testing.T) {
	needs.Long(t)
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "issuer.db")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
		cmd.Env = append(os.Environ(), "LARES_STORE_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked := map[string]bool{}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
				if acked[id] = true; len(acked) == 40*(round+1) {
					cmd.Process.Kill() //nolint:errcheck // it may be gone: then Wait says so
				}
			}
		}
		cmd.Wait() //nolint:errcheck // killed
		if len(acked) < 40 {
			t.Fatalf("the child acknowledged %d transactions only", len(acked))
		}
		checkAcked(t, open(t, path), acked)
	}
}

func checkAcked(t *testing.T, s *store.Store, acked map[string]bool) {
	t.Helper()
	have := map[string]bool{}
	var left uint64
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		rows, err := tx.Licenses(ctx, ident.Domain{1})
		if err != nil {
			return err
		}
		for _, l := range rows {
			x, err := tx.Transfer(ctx, ident.Domain{1}, ident.Transfer{Seq: l.Version})
			if err != nil || x.License != l.ID || len(x.Sealed) == 0 {
				t.Errorf("license %v without its transfer: %v, %v", l.ID, x, err)
			}
			have[l.ID.String()] = true
		}
		g, err := tx.Grant(ctx, issuer.GrantKey{Domain: ident.Domain{1}, Grant: issuer.GrantID{1}})
		left = g.Remaining
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range acked {
		if !have[id] {
			t.Errorf("license %s was acknowledged and is gone", id)
		}
	}
	if left+uint64(len(have)) != childGrants {
		t.Errorf("%d licenses and %d remaining of %d", len(have), left, childGrants)
	}
	t.Logf("%d acknowledged, %d on disk", len(acked), len(have))
}

const childGrants = 1 << 20

// TestChild is the process that TestSQLite_Spec4_KillLosesNothing kills.
func TestChild(t *testing.T) {
	path := os.Getenv("LARES_STORE_CHILD")
	if path == "" {
		return // not a child
	}
	s := open(t, path)
	grant := issuer.Grant{ID: issuer.GrantID{1}, Domain: ident.Domain{1}, Content: "c", Kind: issuer.Rental, Remaining: childGrants}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		_, err := tx.PutGrant(ctx, grant)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		go func() {
			for {
				id := ident.NewLicense()
				if err := s.Update(t.Context(), childIssue(grant, id)); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println("ack", id)
			}
		}()
	}
	time.Sleep(time.Minute) // it is killed long before
}

func childIssue(g issuer.Grant, id ident.License) func(context.Context, issuer.Tx) error {
	return func(ctx context.Context, tx issuer.Tx) error {
		ok, err := tx.Debit(ctx, issuer.GrantKey{Domain: g.Domain, Grant: g.ID})
		if err != nil || !ok {
			return errors.Join(err, errors.New("no debit"))
		}
		seq, err := tx.NextSeq(ctx, g.Domain, ident.Device{}, ident.Incarnation{})
		if err != nil {
			return err
		}
		if _, err := tx.PutLicense(ctx, issuer.License{Domain: g.Domain, ID: id, Grant: g.ID, Version: seq, State: issuer.Issued}); err != nil {
			return err
		}
		return tx.PutTransfer(ctx, issuer.Transfer{Domain: g.Domain, ID: ident.Transfer{Seq: seq}, License: id, State: issuer.Escrow, Sealed: []byte{1}})
	}
}

// The portable dialect: what would not run on both engines, or not spread over
// machines, is not in any statement.
func TestSQL_Spec3_PortableDialect(t *testing.T) {
	forbidden := regexp.MustCompile(`\b(AUTOINCREMENT|SERIAL|SEQUENCE|TRIGGER|RANDOM\(|SKIP LOCKED|ADVISORY|FOREIGN KEY|REFERENCES|WITH|JOIN|DEFAULT|SELECT \*|PRAGMA|NOW\(|CURRENT_TIMESTAMP|OR REPLACE|OR IGNORE)\b`)
	seen := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err != nil || !(strings.HasSuffix(name, ".sql") || name == "tx.go" || name == "grants.go" || name == "shelf.go" || name == "codes.go" || name == "stock.go" || name == "ends.go" || name == "issue.go" || name == "pggroup.go") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for n, line := range strings.Split(string(data), "\n") {
			code, _, _ := strings.Cut(line, "//")
			code, _, _ = strings.Cut(code, "--")
			if bad := forbidden.FindString(code); bad != "" {
				t.Errorf("%s:%d: %q is not portable", path, n+1, bad)
			}
		}
		return nil
	})
	if err != nil || seen < 4 {
		t.Fatalf("%d files with statements, %v", seen, err)
	}
}
