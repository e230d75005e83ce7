package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// placement is where a table's rows are in a distributed database.
type placement struct {
	table, column string // column "": on every node
	with          string // the table whose rows of the same value are beside; "": it is the first of its kind
}

// placements derives where each table belongs from its primary key, as the
// migrations leave it: by household what a request touches, by title a library's
// copies, by its hash a claim code; all else is on every node.
func placements() ([]placement, error) {
	keys, err := tableKeys()
	if err != nil {
		return nil, err
	}
	first := map[string]string{"domain_id": "domain", "content_id": "stock", "code_hash": "claim_code"}
	var out []placement
	for table, key := range keys {
		head, spread := first[key]
		if table == "content" || table == "schema_version" || !spread {
			out = append(out, placement{table: table})
			continue
		}
		p := placement{table: table, column: key}
		if table != head {
			p.with = head
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b placement) int { // a table before those that stand beside it
		return strings.Compare(a.order(), b.order())
	})
	return out, nil
}

func (p placement) order() string {
	switch {
	case p.column == "":
		return "2 " + p.table
	case p.with == "":
		return "0 " + p.table
	}
	return "1 " + p.with + " " + p.table
}

var (
	createTable = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\);`)
	primaryKey  = regexp.MustCompile(`PRIMARY KEY \((\w+)`)
	renameTable = regexp.MustCompile(`ALTER TABLE (\w+) RENAME TO (\w+)`)
	dropTable   = regexp.MustCompile(`DROP TABLE (\w+)`)
)

// tableKeys is the first column of each table's primary key, as the migrations leave it.
func tableKeys() (map[string]string, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	keys := map[string]string{"schema_version": "version"}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, m := range createTable.FindAllStringSubmatch(string(text), -1) {
			k := primaryKey.FindStringSubmatch(m[2])
			if k == nil {
				return nil, fmt.Errorf("store: %s: table %s has no primary key", name, m[1])
			}
			keys[m[1]] = k[1]
		}
		for _, m := range dropTable.FindAllStringSubmatch(string(text), -1) {
			delete(keys, m[1])
		}
		for _, m := range renameTable.FindAllStringSubmatch(string(text), -1) {
			keys[m[2]] = keys[m[1]]
			delete(keys, m[1])
		}
	}
	return keys, nil
}

func (p placement) sql() string {
	switch {
	case p.column == "":
		return fmt.Sprintf("SELECT create_reference_table('%s')", p.table)
	case p.with == "":
		return fmt.Sprintf("SELECT create_distributed_table('%s', '%s', colocate_with => 'none')", p.table, p.column)
	}
	return fmt.Sprintf("SELECT create_distributed_table('%s', '%s', colocate_with => '%s')", p.table, p.column, p.with)
}

// CitusSQL is what Distribute runs, in its order.
func CitusSQL() ([]string, error) {
	all, err := placements()
	out := []string{"CREATE EXTENSION IF NOT EXISTS citus"}
	for _, p := range all {
		out = append(out, p.sql())
	}
	return out, err
}

// Distribute spreads an issuer's tables over the nodes of a Citus cluster (docs/spec/
// issuer-store.md section 8), and makes them first where there are none. Tables
// that are spread already are passed over, so it may be repeated after a failure.
func Distribute(ctx context.Context, dsn string) (done int, err error) {
	s, err := OpenPostgres(ctx, dsn) // the tables, by the migrations
	if err != nil {
		return 0, err
	}
	if err := s.Close(); err != nil {
		return 0, err
	}
	all, err := placements()
	if err != nil {
		return 0, err
	}
	cfg, err := pgConfig(dsn)
	if err != nil {
		return 0, err
	}
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return 0, pgClassify(ctx, err)
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	if _, err := c.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS citus"); err != nil {
		return 0, fmt.Errorf("store: this server has no Citus: %w", pgClassify(ctx, err))
	}
	for _, p := range all {
		var there int
		if err := c.QueryRow(ctx, "SELECT COUNT(*) FROM pg_dist_partition WHERE logicalrelid = $1::regclass", p.table).Scan(&there); err != nil {
			return done, pgClassify(ctx, err)
		}
		if there > 0 {
			continue
		}
		if _, err := c.Exec(ctx, p.sql()); err != nil {
			return done, fmt.Errorf("store: spread %s: %w", p.table, pgClassify(ctx, err))
		}
		done++
	}
	return done, nil
}
