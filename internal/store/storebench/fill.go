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

// fill makes the rows of households: one grant each, used up by perHome licenses,
// each confirmed. {homes} and {licenses} are series of numbers, one a household and
// one a license of it; {16} is 16 random bytes, and so on. The order is that of the
// keys: a table of many rows that is built at random takes long.
var fill = []string{
	`INSERT INTO domain (domain_id, status, created_at) SELECT {16}, 'active', 1 FROM {homes}`,
	`INSERT INTO license_grant (domain_id, grant_id, content_id, offer_id, kind, terms, code, policy, tiers, min_epoch, remaining, expires_at, created_at, revoked, version, issued_at)
SELECT domain_id, {16}, {16}, '', 'rental', '` + fillTerms + `', {48}, {32}, '', 1, 0, 0, 1, 0, 1, 1 FROM domain WHERE created_at = 1 ORDER BY domain_id`,
	`INSERT INTO license (domain_id, license_id, device_id, grant_id, request_id, state, version, issued_at, digest)
SELECT domain_id, {16}, {16}, grant_id, {16}, 'delivered', 1, 1, {32} FROM license_grant, {licenses} WHERE created_at = 1 AND issued_at = 1 ORDER BY domain_id`,
	`INSERT INTO idem (domain_id, request_id, req_sha256, license_id, tid, at) SELECT domain_id, request_id, {32}, license_id, {48}, 1 FROM license WHERE issued_at = 1 ORDER BY domain_id`,
	`INSERT INTO transfer (domain_id, tid, license_id, peer, state, xfer_hash, sealed)
SELECT domain_id, tid, license_id, license_id, 'closed', req_sha256, {0} FROM idem WHERE at = 1 ORDER BY domain_id`,
	`INSERT INTO peer_seq (domain_id, peer, incarnation, seq) SELECT domain_id, domain_id, {8}, 10 FROM domain WHERE created_at = 1 ORDER BY domain_id`,
}

// fillTerms are what each grant of the filling says.
const fillTerms = "PLAY; PLAY_COUNT=2; INTERVAL=48h"

// perHome is how many licenses a household of the filling has.
const perHome = 10

// FillSQLite adds n licenses, rounded up to whole households, to the database of
// an issuer that does not run.
func FillSQLite(ctx context.Context, path string, n int) (err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=cache_size(-400000)&_pragma=temp_store(2)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	series := func(n int) string {
		return fmt.Sprintf("(WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s) AS s%d", n-1, n)
	}
	words := strings.NewReplacer("{homes}", series(homes(n)), "{licenses}", series(perHome), "{0}", "x''",
		"{8}", "randomblob(8)", "{16}", "randomblob(16)", "{32}", "randomblob(32)", "{48}", "randomblob(48)")
	for _, stmt := range fill {
		if _, err := tx.ExecContext(ctx, words.Replace(stmt)); err != nil {
			return fmt.Errorf("fill the database: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
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
