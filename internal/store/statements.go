package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// statements are a connection with what was run on it, ready to run again: most of
// the time of a short statement is its translation. The texts are constants of this
// package, so there are no more than those.
type statements struct {
	conn  *sql.Conn
	ready map[string]*sql.Stmt
}

func newStatements(c *sql.Conn) *statements {
	return &statements{conn: c, ready: map[string]*sql.Stmt{}}
}

func (s *statements) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if p := s.ready[query]; p != nil {
		return p, nil
	}
	p, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.ready[query] = p
	}
	return p, err
}

// ExecContext is as database/sql has it.
func (s *statements) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	p, err := s.prepared(ctx, query) //nolint:sqlclosecheck // it stays ready; close closes it
	if err != nil {
		return nil, err
	}
	return p.ExecContext(ctx, args...)
}

// QueryContext is as database/sql has it.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	p, err := s.prepared(ctx, query) //nolint:sqlclosecheck // it stays ready; close closes it
	if err != nil {
		return nil, err
	}
	return p.QueryContext(ctx, args...)
}

// forget makes nothing ready any more, as when the schema has changed.
func (s *statements) forget() {
	for _, p := range s.ready {
		_ = p.Close() // what is wrong with it, its last run has said
	}
	clear(s.ready)
}

// close gives the connection back; its pool's Close reports what went wrong.
func (s *statements) close() {
	s.forget()
	_ = s.conn.Close()
}

// reader is a connection that reads. It is used by one caller at a time.
type reader struct{ db *statements } // nil: not open yet

// view runs fn on one consistent state. A caller's context ends the wait for its
// turn and the time between statements; no statement that a request runs is long.
func (r *reader) view(ctx context.Context, pool *sql.DB, fn func(context.Context, conn) error) (err error) {
	inside := context.WithoutCancel(ctx) // to watch a context costs more than to read a row
	if r.db == nil {
		c, err := pool.Conn(ctx)
		if err != nil {
			return classify(ctx, err)
		}
		r.db = newStatements(c)
	}
	c := &viewConn{sqliteConn: sqliteConn{r.db}}
	defer func() {
		if !c.begun {
			return
		}
		if _, failed := r.db.ExecContext(inside, "ROLLBACK"); failed != nil { // nothing was written
			r.db.close()
			r.db = nil
			err = errors.Join(err, &engineError{fmt.Errorf("end of a view: %w", failed)})
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
	sqliteConn

	begun bool
}

func (c *viewConn) query(ctx context.Context, each func(func(...any) error) error, query string, args ...any) error {
	if !c.begun {
		if _, err := c.db.ExecContext(ctx, "BEGIN"); err != nil {
			return classify(ctx, err)
		}
		c.begun = true
	}
	return c.sqliteConn.query(ctx, each, query, args...)
}

// close closes what was opened.
func (r *reader) close() {
	if r.db != nil {
		r.db.close()
	}
}
