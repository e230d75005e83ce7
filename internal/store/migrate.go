package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// migrations are numbered SQL files, the same for every engine, and under the same
// name in down what takes each of them back but the first. A file that was released
// is never edited: a change is a new file.
//
//go:embed migrations/*.sql migrations/down/*.sql
var migrations embed.FS

const sqlVersionTable = `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL, PRIMARY KEY (version))`

// ErrServed means that an issuer has the database.
var ErrServed = errors.New("store: an issuer serves from this database: stop it first")

// gone is a line of a way down that says what it leaves out, and how to count it.
var gone = regexp.MustCompile(`(?m)^-- gone: ([^:]+): (.+)$`)

// newestSchema is the version that this program's statements are for.
func newestSchema() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	return int64(len(names)), err
}

// Gone is what a schema has no place for.
type Gone struct {
	What string `json:"what"`
	Rows int64  `json:"rows"`
}

// Migration is what was asked of a database's schema, and what became of it.
type Migration struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Gone []Gone `json:"gone"` // on the way down
	Done bool   `json:"done"` // false: something would be gone and nobody agreed, so nothing changed
}

// migrate brings the schema to the newest version. It runs in one transaction,
// so a killed migration leaves the old schema.
func migrate(ctx context.Context, c conn) error {
	newest, err := newestSchema()
	if err != nil {
		return err
	}
	m := Migration{To: newest}
	if m.From, err = schemaOf(ctx, c); err != nil {
		return err
	}
	if m.From > newest {
		return newerSchema(m.From, newest)
	}
	return m.steps(ctx, c)
}

// newerSchema is the refusal of a database that a newer program left behind.
func newerSchema(have, newest int64) error {
	return fmt.Errorf("store: the database has schema %d, this program knows %d: use the newer program, or have that one bring it down: lares issuer db migrate --to %d", have, newest, newest)
}

// schemaOf is the version of a database's tables; 0: there are none.
func schemaOf(ctx context.Context, c conn) (have int64, err error) {
	if _, err := c.exec(ctx, sqlVersionTable); err != nil {
		return 0, err
	}
	err = c.query(ctx, func(scan func(...any) error) error { return scan(&have) }, `SELECT COALESCE(MAX(version), 0) FROM schema_version`)
	return have, err
}

// steps goes from schema to schema, in the transaction of the caller.
func (m *Migration) steps(ctx context.Context, c conn) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for v := m.From + 1; v <= m.To; v++ {
		if err := runFile(ctx, c, names[v-1]); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `INSERT INTO schema_version (version) VALUES ($1)`, v); err != nil {
			return err
		}
	}
	for v := m.From; v > m.To; v-- {
		name := "migrations/down/" + path.Base(names[v-1])
		if err := m.count(ctx, c, name); err != nil {
			return err
		}
		if err := runFile(ctx, c, name); err != nil {
			return err
		}
		if _, err := c.exec(ctx, `DELETE FROM schema_version WHERE version = $1`, v); err != nil {
			return err
		}
	}
	return nil
}

// count finds what a way down leaves out.
func (m *Migration) count(ctx context.Context, c conn, name string) error {
	text, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	for _, line := range gone.FindAllStringSubmatch(string(text), -1) {
		g := Gone{What: line[1]}
		if err := c.query(ctx, func(scan func(...any) error) error { return scan(&g.Rows) }, "SELECT COUNT(*) FROM "+line[2]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if g.Rows > 0 {
			m.Gone = append(m.Gone, g)
		}
	}
	return nil
}

func runFile(ctx context.Context, c conn, name string) error {
	text, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	for stmt := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(stmt) == "" {
			continue
		}
		if _, err := c.exec(ctx, stmt); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// errKept rolls a migration back that nobody agreed to.
var errKept = errors.New("store: nothing was changed")

// run brings the schema to m.To; 0 is the newest, a negative number so many down. What
// the older schema has no place for is given up only if lose.
func (m *Migration) run(ctx context.Context, c conn, lose bool) error {
	newest, err := newestSchema()
	if err != nil {
		return err
	}
	if m.From, err = schemaOf(ctx, c); err != nil {
		return err
	}
	switch {
	case m.From > newest:
		return newerSchema(m.From, newest)
	case m.To == 0:
		m.To = newest
	case m.To < 0:
		m.To += m.From
	}
	if m.To < 1 || m.To > newest {
		return fmt.Errorf("store: there is no schema %d: this program knows 1 to %d, and the database has %d", m.To, newest, m.From)
	}
	m.Gone = []Gone{}
	if err := m.steps(ctx, c); err != nil {
		return err
	}
	if len(m.Gone) > 0 && !lose {
		return errKept
	}
	m.Done = true
	return nil
}

// MigrateSQLite brings the schema of a database file that no issuer serves from to a
// version: 0 is the newest, -1 the one before the database's. What the older one has
// no place for is given up only if lose; else nothing changes, and Done is false.
func MigrateSQLite(ctx context.Context, path string, to int64, lose bool) (m Migration, err error) {
	if _, err := os.Stat(path); err != nil {
		return m, fmt.Errorf("store: %w", err)
	}
	lock, err := lockFile(path + ".lock")
	if errors.Is(err, ErrLocked) {
		return m, ErrServed
	}
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	q := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}}
	db, err := connect("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode())
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	m.To = to
	err = (&writer{db: db}).alone(ctx, func(ctx context.Context) error { return m.run(ctx, db, lose) })
	return m, kept(err)
}

// MigratePostgres is MigrateSQLite of a database of a PostgreSQL server.
func MigratePostgres(ctx context.Context, dsn string, to int64, lose bool) (m Migration, err error) {
	cfg, err := pgConfig(dsn)
	if err != nil {
		return m, err
	}
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return m, pgClassify(ctx, err)
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	if err := pgUnserved(ctx, c); err != nil {
		return m, err
	}
	m.To = to
	err = inTx(ctx, c, pgx.TxOptions{}, func(ctx context.Context, c conn) error {
		if err := pgAlone(ctx, c); err != nil {
			return err
		}
		var others int64 // one that started before the lock was taken; who starts now waits for it
		if err := c.query(ctx, func(scan func(...any) error) error { return scan(&others) }, sqlOthers, pgName); err != nil {
			return err
		}
		if others > 0 {
			return ErrServed
		}
		return m.run(ctx, c, lose)
	})
	return m, kept(err)
}

const sqlOthers = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()"

// pgUnserved looks whether issuers are connected, for as long as one that has just
// ended may still be listed.
func pgUnserved(ctx context.Context, c *pgx.Conn) error {
	for end := time.After(pgLeave); ; {
		var others int
		err := c.QueryRow(ctx, sqlOthers, pgName).Scan(&others)
		if err != nil {
			return pgClassify(ctx, err)
		}
		if others == 0 {
			return nil
		}
		select {
		case <-end:
			return ErrServed
		case <-time.After(pgWait):
		}
	}
}

// kept is no error to whoever is told what would be gone.
func kept(err error) error {
	if errors.Is(err, errKept) {
		return nil
	}
	return err
}
