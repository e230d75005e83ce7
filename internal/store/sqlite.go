package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lares-drm/lares/service/issuer"
)

// maxReaders is how many reads run at once.
const maxReaders = 4

// OpenSQLite opens the database file, which it makes when it is not there, and
// takes it for this process.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	e, err := openSQLite(ctx, path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e.lock = lock
	return newStore(e), nil
}

type sqliteEngine struct {
	lock  *os.File
	write *sql.DB // one connection
	read  *sql.DB
	idle  chan *reader // maxReaders of them
	jobs  chan *job
	wg    sync.WaitGroup
	mu    sync.RWMutex // held for reading while sending to jobs
	shut  bool         // guarded by mu
}

func openSQLite(ctx context.Context, path string) (*sqliteEngine, error) {
	if err := makeFile(path); err != nil {
		return nil, err
	}
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(ON)"}}
	w, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	w.SetMaxOpenConns(1)
	pragmas.Add("_pragma", "query_only(ON)")
	r, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), w.Close())
	}
	r.SetMaxOpenConns(maxReaders)
	e := &sqliteEngine{write: w, read: r, idle: make(chan *reader, maxReaders), jobs: make(chan *job)}
	for range maxReaders {
		e.idle <- new(reader) // opened when needed
	}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, w.Close(), r.Close())
	}
	return e, nil
}

// start checks that commits are durable, migrates, and starts the writer.
func (e *sqliteEngine) start(ctx context.Context) error {
	c, err := e.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var mode string
	var sync int
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return errors.Join(fmt.Errorf("store: %w", err), c.Close())
	}
	if err := c.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync); err != nil {
		return errors.Join(fmt.Errorf("store: %w", err), c.Close())
	}
	if mode != "wal" || sync != 2 { // 2 = FULL
		return errors.Join(fmt.Errorf("store: the database would lose acknowledged commits (journal %s, synchronous %d)", mode, sync), c.Close())
	}
	w := &writer{db: newStatements(c), jobs: e.jobs}
	if err := w.alone(ctx, func(ctx context.Context) error { return migrate(ctx, sqliteConn{c}) }); err != nil {
		w.db.close()
		return err
	}
	w.db.forget()
	e.wg.Go(func() {
		w.run()
		w.db.close()
	})
	return nil
}

func (e *sqliteEngine) update(ctx context.Context, fn func(context.Context, conn) error) error {
	j := newJob(fn)
	e.mu.RLock()
	if e.shut {
		e.mu.RUnlock()
		return ErrClosed
	}
	select {
	case e.jobs <- j:
		e.mu.RUnlock()
	case <-ctx.Done():
		e.mu.RUnlock()
		return ctx.Err()
	}
	return <-j.done // it was taken: whether it happened is known only then
}

func (e *sqliteEngine) issue(ctx context.Context, is *issuer.Issue) (bool, error) {
	return issueAlone(ctx, e, is)
}

func (e *sqliteEngine) view(ctx context.Context, fn func(context.Context, conn) error) error {
	var r *reader
	var open bool
	select {
	case r, open = <-e.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !open {
		return ErrClosed
	}
	defer func() { e.idle <- r }()
	return r.view(ctx, e.read, fn)
}

func (e *sqliteEngine) close() error {
	e.mu.Lock()
	if e.shut {
		e.mu.Unlock()
		return nil
	}
	e.shut = true
	close(e.jobs)
	e.mu.Unlock()
	e.wg.Wait()
	for range maxReaders {
		(<-e.idle).close()
	}
	close(e.idle)
	return errors.Join(e.read.Close(), e.write.Close(), e.lock.Close())
}

// sqliteConn runs statements on a connection or a transaction.
type sqliteConn struct {
	db interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

func (c sqliteConn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := c.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, classify(ctx, err)
	}
	n, err := res.RowsAffected()
	return n, classify(ctx, err)
}

func (c sqliteConn) query(ctx context.Context, each func(func(...any) error) error, query string, args ...any) (err error) {
	rows, err := c.db.QueryContext(ctx, query, args...)
	if err != nil {
		return classify(ctx, err)
	}
	defer func() { err = errors.Join(err, classify(ctx, rows.Close())) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return classify(ctx, rows.Err())
}

func (c sqliteConn) batch(ctx context.Context, all []statement) (rows []int64, err error) {
	for _, s := range all {
		n, err := c.exec(ctx, s.sql, s.args...)
		if rows = append(rows, n); err != nil || n != 1 { // the rest will be given up
			return rows, err
		}
	}
	return rows, nil
}

func (c sqliteConn) queries(ctx context.Context, all []question) error {
	for _, q := range all {
		if err := c.query(ctx, q.each, q.sql, q.args...); err != nil {
			return err
		}
	}
	return nil
}

// classify tells a caller's end and a violated constraint from errors of the disk.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var se *sqlite.Error
	if errors.As(err, &se) && se.Code()&0xff == sqlite3.SQLITE_CONSTRAINT {
		return fmt.Errorf("store: %w", err)
	}
	return &engineError{err}
}

// makeFile makes the database file for its owner alone and puts its name on disk.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// lockFile takes a lock that ends with the process, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrLocked, path), f.Close())
	}
	return f, nil
}
