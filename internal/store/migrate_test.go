package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/operator"
	"github.com/lares-drm/lares/internal/store"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// tables is what is in a database: of each table, but for schema_version, its rows,
// each as its columns' names and values.
type tables map[string][]map[string]string

// known is what of a database stands in a schema of fewer tables and columns.
func (t tables) known(columns map[string][]string) tables {
	out := tables{}
	for table, rows := range t {
		if columns[table] == nil {
			continue
		}
		out[table] = []map[string]string{}
		for _, row := range rows {
			part := map[string]string{}
			for _, c := range columns[table] {
				part[c] = row[c]
			}
			out[table] = append(out[table], part)
		}
		slices.SortFunc(out[table], func(a, b map[string]string) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return out
}

// database is one that can be looked at and migrated while no store has it open.
type database interface {
	query(t *testing.T, sql string) (columns []string, rows [][]any)
	exec(t *testing.T, sql string)
	open(t *testing.T) *store.Store
	migrate(ctx context.Context, to int64, lose bool) (store.Migration, error)
	check(ctx context.Context) (store.Checked, error)
	names() string // the statement that lists the tables
}

func read(t *testing.T, db database) (tables, map[string][]string) {
	t.Helper()
	out, columns := tables{}, map[string][]string{}
	_, names := db.query(t, db.names())
	for _, n := range names {
		name := fmt.Sprint(n[0])
		if name == "schema_version" {
			continue
		}
		cols, rows := db.query(t, "SELECT * FROM "+name)
		columns[name] = slices.Sorted(slices.Values(cols))
		out[name] = []map[string]string{}
		for _, row := range rows {
			m := map[string]string{}
			for i, c := range cols {
				if b, ok := row[i].([]byte); ok {
					row[i] = fmt.Sprintf("%x", b)
				}
				m[c] = fmt.Sprint(row[i])
			}
			out[name] = append(out[name], m)
		}
	}
	return out.known(columns), columns
}

type liteFile struct{ path string }

func (f liteFile) do(t *testing.T, fn func(*sql.DB) error) {
	t.Helper()
	db, err := sql.Open("sqlite", f.path)
	if err == nil {
		err = errors.Join(fn(db), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f liteFile) query(t *testing.T, text string) (columns []string, out [][]any) {
	t.Helper()
	f.do(t, func(db *sql.DB) error {
		rows, err := db.QueryContext(t.Context(), text)
		if err != nil {
			return err
		}
		defer rows.Close()
		if columns, err = rows.Columns(); err != nil {
			return err
		}
		for rows.Next() {
			row, to := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				to[i] = &row[i]
			}
			if err := rows.Scan(to...); err != nil {
				return err
			}
			out = append(out, row)
		}
		return rows.Err()
	})
	return columns, out
}

func (f liteFile) exec(t *testing.T, text string) { t.Helper(); store.Exec(t, f.path, text) }

func (f liteFile) open(t *testing.T) *store.Store { t.Helper(); return open(t, f.path) }

func (f liteFile) names() string { return "SELECT name FROM sqlite_master WHERE type = 'table'" }

func (f liteFile) check(ctx context.Context) (store.Checked, error) {
	return store.CheckSQLite(ctx, f.path)
}

func (f liteFile) migrate(ctx context.Context, to int64, lose bool) (store.Migration, error) {
	return store.MigrateSQLite(ctx, f.path, to, lose)
}

type pgDatabase struct {
	c    *cluster
	name string
	conn *pgx.Conn // of the test's own
}

func newPGDatabase(t *testing.T, c *cluster) pgDatabase {
	t.Helper()
	c.n++
	d := pgDatabase{c: c, name: fmt.Sprintf("t%d", c.n)}
	c.run("createdb", "-h", c.Dir, "-U", "lares", d.name)
	var err error
	if d.conn, err = pgx.Connect(t.Context(), c.DSN(d.name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.conn.Close(context.Background()) })
	return d
}

func (d pgDatabase) query(t *testing.T, text string) (columns []string, out [][]any) {
	t.Helper()
	rows, err := d.conn.Query(t.Context(), text, pgx.QueryExecModeExec) // its columns change
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return columns, out
}

func (d pgDatabase) exec(t *testing.T, text string) {
	t.Helper()
	if _, err := d.conn.PgConn().Exec(t.Context(), text).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func (d pgDatabase) open(t *testing.T) *store.Store { t.Helper(); return d.c.reopen(t, d.name) }

func (d pgDatabase) names() string {
	return "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
}

func (d pgDatabase) check(ctx context.Context) (store.Checked, error) {
	return store.CheckPostgres(ctx, d.c.DSN(d.name))
}

func (d pgDatabase) migrate(ctx context.Context, to int64, lose bool) (store.Migration, error) {
	return store.MigratePostgres(ctx, d.c.DSN(d.name), to, lose)
}

// eachEngine runs a test on SQLite and on PostgreSQL; empty makes a new database.
func eachEngine(t *testing.T, test func(t *testing.T, empty func(*testing.T) database)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t *testing.T) database {
			path := filepath.Join(t.TempDir(), "issuer.db")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return liteFile{path}
		})
	})
	t.Run("postgres", func(t *testing.T) {
		needs.Long(t)
		c := newCluster(t)
		test(t, func(t *testing.T) database { return newPGDatabase(t, c) })
	})
}

// inUse is a database with rows in every table, of this program's schema.
func inUse(t *testing.T, db database) {
	t.Helper()
	s := db.open(t)
	busy(t, s)
	d := ident.Domain{0xd}
	err := s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		rent := issuer.Offer{ID: "rent", Content: "c", Kind: issuer.Rental, Name: "For a night", Licenses: 3}
		_, err := tx.PutGrant(ctx, issuer.Grant{ID: issuer.GrantID{0x50}, Domain: d, Content: "c", Kind: issuer.Rental, Remaining: 2, Version: 1})
		_, err2 := tx.PutGrant(ctx, issuer.Grant{ID: issuer.GrantID{0x51}, Domain: d, Content: "c", Kind: issuer.Loan, Remaining: 2, Version: 3})
		_, err3 := tx.PutLicense(ctx, issuer.License{Domain: d, ID: ident.License{0x60}, Grant: issuer.GrantID{0x50}, State: issuer.Delivered, Version: 1})
		renewal := issuer.Renewal{Domain: d, License: ident.License{0x60}, Transfer: ident.Transfer{Seq: 9}, Version: 2}
		err3 = errors.Join(err3, tx.PutRenewal(ctx, renewal),
			tx.PutTransfer(ctx, issuer.Transfer{Domain: d, ID: renewal.Transfer, License: renewal.License, State: issuer.Escrow, Sealed: []byte{1}}))
		for _, c := range []issuer.Claim{ // one was answered with the renewal, one with a license
			{Domain: d, Request: ident.Request{0x70}, License: renewal.License, Transfer: renewal.Transfer, At: 5},
			{Domain: d, Request: ident.Request{0x71}, License: renewal.License, Transfer: ident.Transfer{Seq: 8}, At: 5},
		} {
			_, _, err := tx.Claim(ctx, c)
			err3 = errors.Join(err3, err, tx.Answer(ctx, c))
		}
		_, err4 := tx.NextSeq(ctx, d, ident.Device{1}, ident.Incarnation{1})
		_, err5 := tx.PutEnd(ctx, issuer.End{Domain: d, License: ident.License{0x60}, How: issuer.EndRevoked, At: 5})
		return errors.Join(err, err2, err3, err4, err5, tx.PutOffer(ctx, rent))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Operators().Update(t.Context(), func(ctx context.Context, tx operator.Tx) error {
		return tx.PutKey(ctx, operator.Key{Name: "desk", Role: operator.Viewer})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Each way down leaves the tables of the schema before, with everything in them that
// both know; each way up again too. What only the newer one knows is named, and kept
// until somebody says that it may go.
func downAndUp(t *testing.T, empty func(*testing.T) database) {
	db := empty(t)
	inUse(t, db)
	newest := must(t)(db.check(t.Context())).Schema
	fresh, ofSchema := empty(t), map[int64]map[string][]string{}
	for v := int64(1); v < newest; v++ { // step by step, as an issuer that was kept up to date
		done(t)(fresh.migrate(t.Context(), v, false))
		_, ofSchema[v] = read(t, fresh)
	}
	gone := 0
	for v := newest; v > 1; v-- {
		before, _ := read(t, db)
		asked := done(t)(db.migrate(t.Context(), -1, false))
		if asked.Done { // there was nothing to ask about
			done(t)(db.migrate(t.Context(), v, false))
		}
		if same, _ := read(t, db); asked.Done != (len(asked.Gone) == 0) || asked.From != v || asked.To != v-1 || cmp.Diff(same, before) != "" {
			t.Fatalf("asked to go to schema %d, without leave: %+v", v-1, asked)
		}
		gone += len(asked.Gone)
		columns := ofSchema[v-1]
		if m := done(t)(db.migrate(t.Context(), -1, true)); !m.Done || cmp.Diff(m.Gone, asked.Gone) != "" {
			t.Errorf("schema %d: %+v", v-1, m)
		}
		down, left := read(t, db)
		if diff := cmp.Diff(left, columns); diff != "" {
			t.Errorf("schema %d has other columns on the way down: %s", v-1, diff)
		}
		if diff := cmp.Diff(down, kept(v, before, columns)); diff != "" {
			t.Errorf("schema %d does not keep what it knows: %s", v-1, diff)
		}
		done(t)(db.migrate(t.Context(), v, false))
		up, _ := read(t, db)
		if diff := cmp.Diff(up.known(columns), down); diff != "" {
			t.Errorf("up again to schema %d: %s", v, diff)
		}
		done(t)(db.migrate(t.Context(), v-1, true))
	}
	if gone != 15 {
		t.Errorf("%d things are gone on the way down", gone)
	}
	if err := db.open(t).Close(); err != nil {
		t.Fatal(err)
	}
	if got := must(t)(db.check(t.Context())); got.Schema != newest || len(got.Findings) > 0 {
		t.Errorf("up again: %+v", got)
	}
}

// kept is what is left in the tables that the schema before v knows.
func kept(v int64, before tables, columns map[string][]string) tables {
	all := before.known(columns)
	if v == 7 { // a renewal on its way goes with its transfer, and with the request that it answers
		of := func(row map[string]string) bool { return row["tid"] == before["renewal"][0]["tid"] }
		all["transfer"], all["idem"] = slices.DeleteFunc(all["transfer"], of), slices.DeleteFunc(all["idem"], of)
	}
	if v != 2 { // the first schema has two kinds of offers
		return all
	}
	other := func(row map[string]string) bool { return row["kind"] == "loan" }
	all["offer"], all["license_grant"] = slices.DeleteFunc(all["offer"], other), slices.DeleteFunc(all["license_grant"], other)
	of := func(rows []map[string]string, column string, in []map[string]string) []map[string]string {
		return slices.DeleteFunc(rows, func(row map[string]string) bool {
			return !slices.ContainsFunc(in, func(to map[string]string) bool { return to[column] == row[column] })
		})
	}
	all["license"] = of(all["license"], "grant_id", all["license_grant"])
	all["transfer"], all["idem"] = of(all["transfer"], "license_id", all["license"]), of(all["idem"], "license_id", all["license"])
	return all
}

func must(t *testing.T) func(store.Checked, error) store.Checked {
	return func(c store.Checked, err error) store.Checked {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func done(t *testing.T) func(store.Migration, error) store.Migration {
	return func(m store.Migration, err error) store.Migration {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// What no program of this version may touch, or not while it is served from.
func refusals(t *testing.T, empty func(*testing.T) database) {
	db := empty(t)
	s := db.open(t)
	if err := s.View(t.Context(), func(ctx context.Context, r issuer.Reader) error { _, err := r.Contents(ctx); return err }); err != nil {
		t.Fatal(err)
	}
	if _, err := db.migrate(t.Context(), -1, true); !errors.Is(err, store.ErrServed) {
		t.Errorf("while an issuer serves: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, to := range []int64{-99, 99} {
		if _, err := db.migrate(t.Context(), to, true); err == nil || !strings.Contains(err.Error(), "there is no schema") {
			t.Errorf("to %d: %v", to, err)
		}
	}
	db.exec(t, "INSERT INTO schema_version (version) VALUES (999)")
	if _, err := db.migrate(t.Context(), -1, true); err == nil || !strings.Contains(err.Error(), "use the newer program") {
		t.Errorf("down from a newer program's: %v", err)
	}
	var err error
	switch d := db.(type) {
	case liteFile:
		_, err = store.OpenSQLite(t.Context(), d.path)
	case pgDatabase:
		_, err = store.OpenPostgres(t.Context(), d.c.DSN(d.name))
	}
	if err == nil || !strings.Contains(err.Error(), "lares issuer db migrate --to") {
		t.Errorf("served by an older program: %v, want a refusal that says what to do", err)
	}
}

// The version before left this database (internal/cli/testdata/previous): it comes up
// with every row, whole, and what was answered then is answered once more.
func previous(t *testing.T, empty func(*testing.T) database) {
	text, err := os.ReadFile("../cli/testdata/previous/issuer.sql")
	if err != nil {
		t.Fatal(err)
	}
	db := empty(t)
	if _, ok := db.(pgDatabase); ok { // bytes are written in another way
		text = regexp.MustCompile(`X'([0-9a-f]*)'`).ReplaceAll(text, []byte(`'\x$1'::bytea`))
	}
	db.exec(t, string(text))
	before, columns := read(t, db)
	s := db.open(t)
	after, _ := read(t, db)
	if diff := cmp.Diff(after.known(columns), before); diff != "" {
		t.Errorf("it does not come up with what was in it: %s", diff)
	}
	for _, table := range []string{"license", "license_grant", "transfer", "idem", "peer_seq", "claim_code", "copy_loan", "copy_hold", "audit_entry", "operator_key"} {
		if len(before[table]) == 0 {
			t.Errorf("the version before left nothing in %s", table)
		}
	}
	if got := must(t)(db.check(t.Context())); len(got.Findings) > 0 {
		t.Errorf("%+v", got.Findings)
	}
	row := before["idem"][0]
	var d ident.Domain
	var r ident.Request
	if err := errors.Join(d.UnmarshalText([]byte(row["domain_id"])), r.UnmarshalText([]byte(row["request_id"]))); err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(ctx context.Context, tx issuer.Tx) error {
		c, fresh, err := tx.Claim(ctx, issuer.Claim{Domain: d, Request: r})
		if fresh || c.License.String() != row["license_id"] {
			t.Errorf("the request of then: %+v, new %v", c, fresh)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMigrate_Spec1(t *testing.T) {
	eachEngine(t, func(t *testing.T, empty func(*testing.T) database) {
		for name, test := range map[string]func(*testing.T, func(*testing.T) database){"DownAndUp": downAndUp, "Refusals": refusals, "PreviousVersion": previous} {
			t.Run(name, func(t *testing.T) { test(t, empty) })
		}
	})
}

// Every migration but the first has its way back.
func TestMigrate_Spec1_EachHasAWayBack(t *testing.T) {
	up, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(up) < 7 {
		t.Fatal(up, err)
	}
	for _, name := range up[1:] {
		if _, err := os.Stat(filepath.Join("migrations", "down", filepath.Base(name))); err != nil {
			t.Error(err)
		}
	}
}
