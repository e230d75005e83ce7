package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

// Errors of a store.
var (
	// ErrBroken is returned after an error of the disk or the database. Only a
	// restart of the process helps.
	ErrBroken = errors.New("store: broken by an earlier error; restart")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("store: closed")
	// ErrLocked is returned by Open when another process has the database.
	ErrLocked = errors.New("store: in use by another process")
)

// Store is an open database of an issuer. It is safe for concurrent use.
type Store struct {
	engine engine
	done   chan struct{} // closed when broken
	once   sync.Once
	cause  error // set before done is closed
}

var _ issuer.Store = (*Store)(nil)

// engine is one kind of database.
type engine interface {
	// update runs fn in a transaction and commits it durably.
	update(ctx context.Context, fn func(context.Context, conn) error) error
	// view runs fn on one consistent state.
	view(ctx context.Context, fn func(context.Context, conn) error) error
	// license reads one license.
	license(ctx context.Context, domain ident.Domain, id ident.License) (issuer.License, error)
	// ahead reads what issue will decide by.
	ahead(ctx context.Context, a *issuer.Asked) (issuer.Ahead, error)
	// issue records a license in one transaction; false if something is not as
	// foreseen.
	issue(ctx context.Context, is *issuer.Issue) (bool, error)
	// ungroup has every job be one transaction from now on.
	ungroup()
	close() error
}

// conn runs statements. Arguments are []byte, int64 or string. A failure that
// is not the statement's own doing (a violated constraint) is an *engineError.
type conn interface {
	exec(ctx context.Context, sql string, args ...any) (rows int64, err error)
	query(ctx context.Context, each func(scan func(dest ...any) error) error, sql string, args ...any) error
	// batch and queries are exec and query of several statements in order, which
	// may be sent at once.
	batch(ctx context.Context, all []statement) (rows []int64, err error)
	queries(ctx context.Context, all []question) error
}

// statement is one to be run.
type statement struct {
	sql  string
	args []any
}

// question is a statement and who takes its rows.
type question struct {
	statement
	each func(scan func(dest ...any) error) error
}

// engineError is an error of the disk or the database, after which nothing is
// to be believed.
type engineError struct{ err error }

func (e *engineError) Error() string { return "store: " + e.err.Error() }
func (e *engineError) Unwrap() error { return e.err }

func newStore(e engine) *Store { return &Store{engine: e, done: make(chan struct{})} }

// Update runs fn in one transaction; nil means that it is durable.
func (s *Store) Update(ctx context.Context, fn func(ctx context.Context, tx issuer.Tx) error) error {
	return s.run(ctx, s.engine.update, func(ctx context.Context, c conn) error { return fn(ctx, &tx{conn: c}) })
}

// View runs fn on one consistent state.
func (s *Store) View(ctx context.Context, fn func(ctx context.Context, r issuer.Reader) error) error {
	return s.run(ctx, s.engine.view, func(ctx context.Context, c conn) error { return fn(ctx, &tx{conn: c}) })
}

// License reads one license.
func (s *Store) License(ctx context.Context, domain ident.Domain, id ident.License) (l issuer.License, err error) {
	err = s.judge(func() (err error) {
		l, err = s.engine.license(ctx, domain, id)
		return err
	})
	return l, err
}

// Ahead reads what Issue will decide by.
func (s *Store) Ahead(ctx context.Context, a issuer.Asked) (out issuer.Ahead, err error) {
	err = s.judge(func() (err error) {
		out, err = s.engine.ahead(ctx, &a)
		return err
	})
	return out, err
}

// Issue records all of one license that counts; true means that it is durable.
func (s *Store) Issue(ctx context.Context, is issuer.Issue) (ok bool, err error) {
	err = s.judge(func() (err error) {
		ok, err = s.engine.issue(ctx, &is)
		return err
	})
	return ok && err == nil, err
}

// Apart has what each caller asks for be a database transaction of its own from now
// on, as in a program that does not share them. It is for measuring what sharing
// brings; call it before the first use. It does not change what anything does.
func (s *Store) Apart() { s.engine.ungroup() }

func (s *Store) run(ctx context.Context, how func(context.Context, func(context.Context, conn) error) error, fn func(context.Context, conn) error) error {
	return s.judge(func() error { return how(ctx, fn) })
}

// judge does something with the database unless it is broken, and finds out whether
// it is now.
func (s *Store) judge(do func() error) error {
	if err := s.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	err := do()
	if bad, ok := errors.AsType[*engineError](err); ok {
		s.fail(bad)
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	// Whoever committed together with a failure must not be acknowledged.
	if broken := s.Err(); err == nil && broken != nil {
		return fmt.Errorf("%w: %w", ErrBroken, broken)
	}
	return err
}

func (s *Store) fail(err error) {
	s.once.Do(func() {
		s.cause = err
		close(s.done)
	})
}

// Done is closed when the store broke: the process must stop serving and end
// with an error, so that its supervisor starts it again.
func (s *Store) Done() <-chan struct{} { return s.done }

// Err returns what broke the store, or nil.
func (s *Store) Err() error {
	select {
	case <-s.done:
		return s.cause
	default:
		return nil
	}
}

// Close waits for what is being written and closes the database.
func (s *Store) Close() error { return s.engine.close() }
