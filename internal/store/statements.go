package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// statements are a connection to SQLite with what was run on it, ready to run again:
// most of the time of a short statement is its translation, and much of the rest
// what database/sql does around it, so that is left out. The texts are constants of
// this package, so there are no more than those. One caller at a time uses them.
type statements struct {
	conn  preparer
	ready map[string]*ready
	args  []driver.NamedValue // of the statement that runs
}

type preparer interface {
	driver.Conn
	driver.ConnPrepareContext
}

// ready is a statement and where its rows are put.
type ready struct {
	preparedStmt

	row []driver.Value
}

type preparedStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

var _ conn = (*statements)(nil)

// connect opens a connection by its data source name.
func connect(dsn string) (*statements, error) {
	c, err := new(sqlite.Driver).Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s := &statements{ready: map[string]*ready{}}
	var ok bool
	if s.conn, ok = c.(preparer); !ok {
		return nil, errors.Join(errDriver, c.Close())
	}
	return s, nil
}

// errDriver is of a version of the driver that lacks what this package uses of it.
var errDriver = errors.New("store: the driver of SQLite is another one")

func (s *statements) prepared(ctx context.Context, query string) (*ready, error) {
	if p := s.ready[query]; p != nil {
		return p, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, classify(ctx, err)
	}
	able, ok := stmt.(preparedStmt)
	if !ok {
		return nil, errors.Join(errDriver, stmt.Close())
	}
	p := &ready{preparedStmt: able}
	s.ready[query] = p
	return p, nil
}

// named are the arguments as the driver takes them.
func (s *statements) named(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

func (s *statements) exec(ctx context.Context, query string, args ...any) (int64, error) {
	p, err := s.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := p.ExecContext(ctx, s.named(args))
	if err != nil {
		return 0, classify(ctx, err)
	}
	n, err := res.RowsAffected()
	return n, classify(ctx, err)
}

func (s *statements) query(ctx context.Context, each func(func(...any) error) error, query string, args ...any) (err error) {
	p, err := s.prepared(ctx, query)
	if err != nil {
		return err
	}
	rows, err := p.QueryContext(ctx, s.named(args))
	if err != nil {
		return classify(ctx, err)
	}
	defer func() { err = errors.Join(err, classify(ctx, rows.Close())) }()
	if p.row == nil {
		p.row = make([]driver.Value, len(rows.Columns()))
	}
	for {
		switch err := rows.Next(p.row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return classify(ctx, err)
		}
		if err := each(p.scan); err != nil {
			return err
		}
	}
}

// scan gives the columns of a row away.
func (p *ready) scan(dest ...any) error {
	if len(dest) != len(p.row) {
		return fmt.Errorf("store: %d columns for %d places", len(p.row), len(dest))
	}
	for i, v := range p.row {
		ok := false
		switch d := dest[i].(type) {
		case *int64:
			*d, ok = v.(int64)
		case *string:
			*d, ok = v.(string)
		case *[]byte:
			if *d, ok = v.([]byte); !ok {
				var text string
				text, ok = v.(string) // as other programs write bytes
				*d = []byte(text)
			}
		}
		if !ok {
			return &engineError{fmt.Errorf("column %d is a %T, a %T belongs there", i+1, v, dest[i])}
		}
	}
	return nil
}

func (s *statements) batch(ctx context.Context, all []statement) (rows []int64, err error) {
	for _, one := range all {
		n, err := s.exec(ctx, one.sql, one.args...)
		if rows = append(rows, n); err != nil || n != 1 { // the rest is not wanted any more
			return rows, err
		}
	}
	return rows, nil
}

func (s *statements) queries(ctx context.Context, all []question) error {
	for _, q := range all {
		if err := s.query(ctx, q.each, q.sql, q.args...); err != nil {
			return err
		}
	}
	return nil
}

// forget makes nothing ready any more, as when the schema has changed.
func (s *statements) forget() {
	for _, p := range s.ready {
		_ = p.Close() // what is wrong with it, its last run has said
	}
	clear(s.ready)
}

func (s *statements) close() error {
	s.forget()
	return s.conn.Close()
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

// reader is a connection that reads. It is used by one caller at a time.
type reader struct{ db *statements } // nil: not open yet

// view runs fn on one consistent state. A caller's context ends the wait for its
// turn and the time between statements; no statement that a request runs is long.
func (r *reader) view(ctx context.Context, dsn string, fn func(context.Context, conn) error) (err error) {
	inside := context.WithoutCancel(ctx) // to watch a context costs more than to read a row
	if r.db == nil {
		if r.db, err = connect(dsn); err != nil {
			return &engineError{err}
		}
	}
	c := &viewConn{statements: r.db}
	defer func() {
		if !c.begun {
			return
		}
		if _, failed := r.db.exec(inside, "ROLLBACK"); failed != nil { // nothing was written
			err = errors.Join(err, r.close(), &engineError{fmt.Errorf("end of a view: %w", failed)})
		}
	}()
	if err := guard(inside, fn, c); err != nil {
		return err
	}
	return ctx.Err()
}

// viewConn reads one state, from its first query on. What is asked at once, of
// several states maybe, needs none.
type viewConn struct {
	*statements

	begun bool
}

func (c *viewConn) query(ctx context.Context, each func(func(...any) error) error, query string, args ...any) error {
	if !c.begun {
		if _, err := c.exec(ctx, "BEGIN"); err != nil {
			return err
		}
		c.begun = true
	}
	return c.statements.query(ctx, each, query, args...)
}

// close closes what was opened.
func (r *reader) close() error {
	if r.db == nil {
		return nil
	}
	db := r.db
	r.db = nil
	return db.close()
}
