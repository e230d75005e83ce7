package storebench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver of FillSQLite and SizeSQLite
)

// fillTerms are what each grant of the filling says.
const fillTerms = "PLAY; PLAY_COUNT=2; INTERVAL=48h"

// perHome is how many licenses a household of the filling has.
const perHome = 10

const (
	// fillRows is how many rows a statement inserts: more are hardly faster.
	fillRows = 32
	// fillCommit is how many rows a transaction has: what is not committed stands in the
	// log, which would be as large as the database.
	fillCommit = 100_000
)

// FillSQLite adds n licenses, rounded up to whole households, to the database of
// an issuer that does not run. It takes a few MB of memory, however many they are.
func FillSQLite(ctx context.Context, path string, n int) (err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-100000)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, t := range tables() {
		for from := 0; from < homes(n); from += fillCommit / t.rows {
			if err := t.fill(ctx, db, from, min(from+fillCommit/t.rows, homes(n)), homes(n)); err != nil {
				return fmt.Errorf("fill the database: %w", err)
			}
		}
	}
	_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// fill inserts the rows of some of the households in one transaction.
func (t *table) fill(ctx context.Context, db *sql.DB, from, to, of int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(t.columns)), ",") + ")"
	begin := "INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ") VALUES "
	many, err := tx.PrepareContext(ctx, begin+strings.TrimSuffix(strings.Repeat(row+",", fillRows), ","))
	if err != nil {
		return err
	}
	defer many.Close() //nolint:errcheck // it ends with the transaction
	var wait []any
	for place := from; place < to; place++ {
		h := householdOf(place, of)
		for i := range t.rows {
			if wait = append(wait, t.row(h, i)...); len(wait) < fillRows*len(t.columns) {
				continue
			}
			if _, err := many.ExecContext(ctx, wait...); err != nil {
				return err
			}
			wait = wait[:0]
		}
	}
	for ; len(wait) > 0; wait = wait[len(t.columns):] { // the rest
		if _, err := tx.ExecContext(ctx, begin+row, wait[:len(t.columns)]...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func homes(n int) int { return (n + perHome - 1) / perHome }

// SizeSQLite is the size of a database in bytes, with what is still in its log only.
func SizeSQLite(ctx context.Context, path string) (n int64, err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()").Scan(&n)
	return n, err
}

// SizePostgres is the size of a database in bytes, indexes and all.
func SizePostgres(ctx context.Context, dsn string) (n int64, err error) {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	err = c.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&n)
	return n, err
}
