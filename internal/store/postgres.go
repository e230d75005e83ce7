package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	// pgConns is how many transactions run at once.
	pgConns = 16
	// pgTries is how often a transaction is tried before the store is broken.
	pgTries = 10
	// pgPatience is how long a transaction is tried in all, and waited for.
	pgPatience = 10 * time.Second
	// pgWait is the pause before the second try; each later one doubles it.
	pgWait = 20 * time.Millisecond
	// pgLeave is how long a connection is given to end what is not wanted any more.
	pgLeave = time.Second
	// pgMigrate is the key of the lock that migrations hold.
	pgMigrate = 0x6c61726573
	// pgName is what the server's list of connections calls an issuer's.
	pgName = "lares issuer"
	// pgPlans has each statement planned once for a connection, as look-ups by key
	// whatever the tables' sizes are at that time: each one is.
	pgPlans = `SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off`
	// pgPlansCitus has Citus plan by itself: a plan for all values is refused where the
	// rows of a statement are on several nodes.
	pgPlansCitus = `RESET plan_cache_mode; SET jit = off; RESET enable_seqscan; RESET enable_hashjoin; RESET enable_mergejoin`
	// sqlIsCitus says whether the tables may be spread over several machines.
	sqlIsCitus = `SELECT COUNT(*) > 0 FROM pg_extension WHERE extname = 'citus'`
)

// OpenPostgres opens a database of a PostgreSQL server, version 15 or newer,
// by its connection string. Several issuers may share it.
func OpenPostgres(ctx context.Context, dsn string) (*Store, error) {
	cfg, err := pgConfig(dsn)
	if err != nil {
		return nil, err
	}
	e := &pgEngine{cfg: cfg, free: make(chan *pgx.Conn, pgConns), patience: pgPatience, plans: pgPlans}
	cfg.AfterConnect = func(ctx context.Context, c *pgconn.PgConn) error { return c.Exec(ctx, e.plans).Close() }
	e.looks = newGatherer(pgLooks, e.aheadTogether)
	e.reads = newGatherer(pgLooks, e.licensesTogether)
	e.issues = newGatherer(pgGroups, e.issueTogether)
	for range pgConns {
		e.free <- nil // opened when needed
	}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return newStore(e), nil
}

// pgConfig reads a connection string.
func pgConfig(dsn string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("store: the connection string is malformed") // it may hold a password
	}
	cfg.RuntimeParams["application_name"] = pgName
	return cfg, nil
}

// pgAlone waits until nobody else migrates, for as long as the transaction lasts.
func pgAlone(ctx context.Context, c conn) error {
	return c.query(ctx, func(func(...any) error) error { return nil }, "SELECT pg_advisory_xact_lock($1)", int64(pgMigrate))
}

type pgEngine struct {
	cfg      *pgx.ConnConfig
	free     chan *pgx.Conn // nil: not open yet
	patience time.Duration
	plans    string // said on each new connection
	looks    *gatherer[*issuer.Asked, issuer.Ahead]
	reads    *gatherer[ident.License, issuer.License]
	issues   *gatherer[*issuer.Issue, bool]
	alone    bool // no groups: ungroup was called, or the database is distributed, so that a group would be on several nodes
}

func (e *pgEngine) start(ctx context.Context) error {
	return e.with(ctx, func(c *pgx.Conn) error {
		if err := c.QueryRow(ctx, sqlIsCitus).Scan(&e.alone); err != nil {
			return pgClassify(ctx, err)
		}
		if e.alone {
			e.plans = pgPlansCitus
			if err := c.PgConn().Exec(ctx, pgPlansCitus).Close(); err != nil {
				return pgClassify(ctx, err)
			}
		}
		for setting, lossy := range map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"} {
			var v string
			if err := c.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&v); err != nil {
				return pgClassify(ctx, err)
			}
			if v == lossy {
				return fmt.Errorf("store: the database would lose acknowledged commits (%s is %s)", setting, v)
			}
		}
		return inTx(ctx, c, pgx.TxOptions{}, func(ctx context.Context, c conn) error {
			if err := pgAlone(ctx, c); err != nil {
				return err
			}
			return migrate(ctx, c)
		})
	})
}

// update runs fn until its commit is acknowledged. After a lost connection
// nobody knows whether it was; fn then runs again and finds what it did by its key.
func (e *pgEngine) update(ctx context.Context, fn func(context.Context, conn) error) error {
	return e.retry(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, fn)
}

func (e *pgEngine) view(ctx context.Context, fn func(context.Context, conn) error) error {
	return e.retry(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

// retry runs a transaction until it is done, with the same keys each time. A
// database that is frozen, or away for long, is not waited for: whoever asks again
// finds what was done meanwhile.
func (e *pgEngine) retry(ctx context.Context, opt pgx.TxOptions, fn func(context.Context, conn) error) error {
	inner, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	return e.busy(inner, ctx, e.again(inner, opt, fn))
}

// busy says of an error whether it is that patience, which inner has, is at its end.
func (e *pgEngine) busy(inner, ctx context.Context, err error) error {
	if inner.Err() != nil && ctx.Err() == nil && err != nil {
		return fmt.Errorf("%w: %w", issuer.ErrBusy, inner.Err())
	}
	return err
}

func (e *pgEngine) again(ctx context.Context, opt pgx.TxOptions, fn func(context.Context, conn) error) error {
	wait := pgWait
	for try := 1; ; try++ {
		err := e.with(ctx, func(c *pgx.Conn) error { return inTx(ctx, c, opt, fn) })
		if try == pgTries || !pgAgain(err) || ctx.Err() != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		wait *= 2
	}
}

// with lends a connection; a broken one is replaced.
func (e *pgEngine) with(ctx context.Context, fn func(*pgx.Conn) error) error {
	var c *pgx.Conn
	var open bool
	select {
	case c, open = <-e.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !open {
		return ErrClosed
	}
	if c == nil || c.IsClosed() {
		var err error
		if c, err = pgx.ConnectConfig(ctx, e.cfg); err != nil {
			e.free <- nil
			return pgClassify(ctx, err)
		}
	}
	defer func() {
		leave(ctx, c)
		e.free <- c
	}()
	return fn(c)
}

// leave closes a connection on which a transaction is still open: of whoever went
// away between two statements nothing is sent any more, and the next one to have it
// would find itself in somebody else's transaction.
func leave(ctx context.Context, c *pgx.Conn) {
	if c.IsClosed() || c.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pgLeave)
	defer cancel()
	c.Close(ctx) //nolint:errcheck // it is closed in any case
}

func (e *pgEngine) ungroup() { e.alone = true }

// close waits for the transactions that run.
func (e *pgEngine) close() error {
	e.looks.close()
	e.reads.close()
	e.issues.close()
	var errs []error
	for range pgConns {
		c, open := <-e.free
		if !open {
			return nil
		}
		if c != nil {
			errs = append(errs, c.Close(context.Background()))
		}
	}
	close(e.free)
	return errors.Join(errs...)
}

func inTx(ctx context.Context, c *pgx.Conn, opt pgx.TxOptions, fn func(context.Context, conn) error) error {
	t := &pgConn{c: c, begin: "BEGIN ISOLATION LEVEL " + string(opt.IsoLevel) + " " + string(opt.AccessMode)}
	if opt.IsoLevel == "" {
		t.begin = "BEGIN"
	}
	err := guard(ctx, fn, t)
	if !t.begun {
		return err
	}
	end := "COMMIT"
	if err != nil || opt.AccessMode == pgx.ReadOnly {
		end = "ROLLBACK"
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pgLeave)
		defer cancel()
		c.Exec(ctx, end) //nolint:errcheck // a connection that cannot roll back is closed, which does
		return err
	}
	tag, err := c.Exec(ctx, end)
	if err == nil && tag.String() != end {
		err = errors.New("the transaction was rolled back") // an error in it that nobody heard of
	}
	return pgClassify(ctx, err)
}

// pgConn runs statements in a transaction, which begins with the first one of them.
type pgConn struct {
	c     *pgx.Conn
	begin string
	begun bool
}

// start begins the transaction by itself.
func (c *pgConn) start(ctx context.Context) error {
	if c.begun {
		return nil
	}
	c.begun = true
	_, err := c.c.Exec(ctx, c.begin)
	return pgClassify(ctx, err)
}

func (c *pgConn) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	if err := c.start(ctx); err != nil {
		return 0, err
	}
	tag, err := c.c.Exec(ctx, sql, args...)
	return tag.RowsAffected(), pgClassify(ctx, err)
}

func (c *pgConn) query(ctx context.Context, each func(func(...any) error) error, sql string, args ...any) error {
	if err := c.start(ctx); err != nil {
		return err
	}
	rows, err := c.c.Query(ctx, sql, args...)
	return take(ctx, rows, err, each)
}

// take gives each row to who asked.
func take(ctx context.Context, rows pgx.Rows, err error, each func(func(...any) error) error) error {
	if err != nil {
		return pgClassify(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return pgClassify(ctx, rows.Err())
}

// batch sends statements at once, after the transaction's begin if it has not begun.
func (c *pgConn) batch(ctx context.Context, all []statement) (rows []int64, err error) {
	b := new(pgx.Batch)
	first := !c.begun
	if first {
		b.Queue(c.begin)
	}
	for _, s := range all {
		b.Queue(s.sql, s.args...)
	}
	c.begun = true
	res := c.c.SendBatch(ctx, b)
	if first {
		_, err = res.Exec()
	}
	for range all {
		if err != nil {
			break
		}
		var tag pgconn.CommandTag
		tag, err = res.Exec()
		rows = append(rows, tag.RowsAffected())
	}
	return rows, pgClassify(ctx, errors.Join(err, res.Close()))
}

// queries needs no transaction of its own where none has begun: what is sent at
// once is one already.
func (c *pgConn) queries(ctx context.Context, all []question) error {
	b := new(pgx.Batch)
	for _, q := range all {
		b.Queue(q.sql, q.args...)
	}
	res := c.c.SendBatch(ctx, b)
	var err error
	for _, q := range all {
		rows, failed := res.Query()
		if err = take(ctx, rows, failed, q.each); err != nil {
			break
		}
	}
	return errors.Join(err, pgClassify(ctx, res.Close()))
}

// pgClassify tells a caller's end and a violated constraint from errors of the
// database. Text from the server may hold values and is dropped.
func pgClassify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return &engineError{err}
	}
	if strings.HasPrefix(pe.Code, "23") { // integrity constraint violation
		return fmt.Errorf("store: constraint %s of %s violated", pe.ConstraintName, pe.TableName)
	}
	return &engineError{&sqlState{pe.Code, pe.Message}}
}

// sqlState is a server's error by its code.
type sqlState struct{ code, message string }

func (e *sqlState) Error() string { return "SQLSTATE " + e.code + ": " + e.message }

// pgAgain reports whether the same transaction may succeed: a serialization
// failure, a deadlock, a server that goes or comes, a lost connection.
func pgAgain(err error) bool {
	if _, bad := errors.AsType[*engineError](err); !bad {
		return false
	}
	var st *sqlState
	if !errors.As(err, &st) {
		return true // no answer from the server
	}
	return st.code == "40001" || st.code == "40P01" || strings.HasPrefix(st.code, "57P0") || strings.HasPrefix(st.code, "08")
}
