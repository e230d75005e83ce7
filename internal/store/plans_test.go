package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/internal/store/storebench"
)

var updatePlans = flag.Bool("update-plans", false, "write testdata/plans-sqlite.txt anew")

// small are tables that stay small however much is issued, and may be read whole.
var small = map[string]string{
	"content":          "an issuer's titles",
	"offer":            "an issuer's offers",
	"operator_key":     "its operators",
	"operator_session": "who of them is signed in",
	"proposal":         "what two of them decide",
	"audit_head":       "one a day",
	"audit_last":       "one row",
}

// offline are files whose statements no request runs.
var offline = []string{"check.go", "migrate.go", "citus.go"}

// statementsOf finds every statement in the sources of this package, by its name or place.
func statementsOf(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{} // constants
	out := map[string]string{}
	var parsed []*ast.File
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(offline, name) {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	for range 3 { // constants of constants
		for _, f := range parsed {
			ast.Inspect(f, func(n ast.Node) bool {
				if v, ok := n.(*ast.ValueSpec); ok {
					for i, id := range v.Names {
						if i < len(v.Values) {
							if text, ok := textOf(v.Values[i], words); ok {
								words[id.Name] = text
							}
						}
					}
				}
				return true
			})
		}
	}
	statement := regexp.MustCompile(`^(SELECT|INSERT|UPDATE|DELETE)\b`)
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := textOf(e, words)
			if !ok || !statement.MatchString(text) || strings.HasPrefix(text, "SELECT pg_") || strings.Contains(text, "current_setting") || strings.Contains(text, "pg_extension") {
				return true
			}
			name := ""
			for word, is := range words {
				if is == text {
					name = word
				}
			}
			if _, known := e.(*ast.Ident); known && name == "" {
				return true
			}
			if name == "" {
				name = fmt.Sprintf("%s %.40s", set.Position(e.Pos()).Filename, text)
			}
			out[name] = text
			return false
		})
	}
	if len(out) < 90 {
		t.Fatalf("%d statements found", len(out))
	}
	return out
}

// textOf is the value of an expression of literals and known constants.
func textOf(e ast.Expr, words map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		s, ok := words[e.Name]
		return s, ok
	case *ast.BinaryExpr:
		a, ok := textOf(e.X, words)
		b, ok2 := textOf(e.Y, words)
		return a + b, ok && ok2 && e.Op == token.ADD
	}
	return "", false
}

// arguments is how many a statement takes.
func arguments(sql string) (n int) {
	for _, m := range regexp.MustCompile(`\$(\d+)`).FindAllStringSubmatch(sql, -1) {
		i, err := strconv.Atoi(m[1])
		if err == nil {
			n = max(n, i)
		}
	}
	return n
}

// TestStatements_Spec3_FindTheirRowsByAnIndex: with ten million licenses no statement of
// a request reads a table from its beginning, on either engine. The plans of SQLite are a
// file, so that whoever changes a statement sees what becomes of it.
func TestStatements_Spec3_FindTheirRowsByAnIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.db")
	s, err := OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := connect("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close() //nolint:errcheck // only read
	all := statementsOf(t)
	whole := regexp.MustCompile(`\bSCAN (\w+)`)
	var got strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sql := all[name]
		if strings.Contains(sql, "unnest(") { // PostgreSQL's alone
			continue
		}
		var plan []string
		err := db.query(t.Context(), func(scan func(...any) error) error {
			var id, parent, unused int64
			var detail string
			err := scan(&id, &parent, &unused, &detail)
			plan = append(plan, detail)
			return err
		}, "EXPLAIN QUERY PLAN "+sql, make([]any, arguments(sql))...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, step := range plan {
			if m := whole.FindStringSubmatch(step); m != nil && small[m[1]] == "" {
				t.Errorf("%s reads the whole of %s: %s", name, m[1], step)
			}
		}
		if strings.Contains(sql, " FROM ") || len(plan) > 0 {
			fmt.Fprintf(&got, "%s: %s\n", name, strings.Join(plan, "; "))
		}
	}
	golden := filepath.Join("testdata", "plans-sqlite.txt")
	if *updatePlans {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("plans have changed (go test ./internal/store -run Spec3_Find -update-plans):\n%s", d)
	}
}

// TestStatements_Spec3_PostgreSQL is the same there, with the plan that a connection
// makes once for all arguments.
func TestStatements_Spec3_PostgreSQL(t *testing.T) {
	needs.Long(t)
	ctx := t.Context()
	cluster, err := storebench.StartCluster(ctx)
	if errors.Is(err, storebench.ErrNoPostgres) {
		needs.NotRun(t, err.Error())
	}
	if err == nil {
		defer cluster.Stop(context.Background()) //nolint:errcheck // what is left is in a temporary folder
		err = cluster.Create(ctx, "plans")
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenPostgres(ctx, cluster.DSN("plans"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing was written
	c, err := pgx.Connect(ctx, cluster.DSN("plans"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // as above
	if err := c.PgConn().Exec(ctx, pgPlans).Close(); err != nil {
		t.Fatal(err)
	}
	for name, sql := range statementsOf(t) {
		if err := c.PgConn().Exec(ctx, "DEALLOCATE ALL; PREPARE s AS "+sql).Close(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		run := "EXPLAIN (COSTS OFF) EXECUTE s"
		if n := arguments(sql); n > 0 {
			run += "(" + strings.TrimSuffix(strings.Repeat("NULL,", n), ",") + ")"
		}
		rows, err := c.Query(ctx, run, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range readsWhole(plan) {
			if small[table] == "" {
				t.Errorf("%s reads the whole of %s:\n%s", name, table, strings.Join(plan, "\n"))
			}
		}
	}
}

// readsWhole are the tables that a plan reads from their beginning: by a scan of the
// table, or by one of an index that begins nowhere.
func readsWhole(plan []string) (out []string) {
	scan := regexp.MustCompile(`(Seq Scan|Index Scan|Index Only Scan|Bitmap Index Scan)(?: Backward)?(?: using \w+)? on (\w+)`)
	for i, line := range plan {
		m := scan.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		found := false
		for _, next := range plan[i+1:] {
			if scan.MatchString(next) || strings.Contains(next, "->") {
				break
			}
			found = found || strings.Contains(next, "Index Cond:")
		}
		if !found {
			out = append(out, m[2])
		}
	}
	return out
}
