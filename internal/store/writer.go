package store

import (
	"context"
	"errors"
	"fmt"
)

// job is one caller's transaction.
type job struct {
	fn   func(context.Context, conn) error
	bare bool       // if fn fails it has undone what it did, so it has no savepoint
	done chan error // gets exactly one value
	err  error      // of fn, kept until the group's commit
}

func newJob(fn func(context.Context, conn) error) *job {
	return &job{fn: fn, done: make(chan error, 1)}
}

// writer owns the one connection that writes. It runs what waits in one
// database transaction, each job under a savepoint unless it is bare, and answers
// all after the one commit. A caller's context does not reach the statements: an interrupted
// statement would roll the whole group back.
type writer struct {
	db     *statements
	jobs   <-chan *job
	most   int   // jobs of a group
	broken error // set once; no job runs afterwards
}

// run ends when jobs is closed.
func (w *writer) run() {
	for first := range w.jobs {
		if w.broken != nil {
			first.done <- w.broken
			continue
		}
		group := []*job{first}
		err := w.group(&group)
		if err != nil {
			w.broken = err
		}
		for _, j := range group {
			if err != nil {
				j.err = err
			}
			j.done <- j.err
		}
	}
}

// group runs the first job and those that wait meanwhile, and commits. An
// error is the engine's: no job of the group happened, or nobody can say.
func (w *writer) group(jobs *[]*job) error {
	return w.alone(context.Background(), func(ctx context.Context) error {
		for i := 0; ; i++ {
			if err := w.one(ctx, (*jobs)[i]); err != nil {
				return err
			}
			if len(*jobs) == w.most {
				return nil
			}
			select {
			case j, ok := <-w.jobs:
				if !ok {
					return nil
				}
				*jobs = append(*jobs, j)
			default:
				return nil
			}
		}
	})
}

// alone runs fn in a transaction of its own.
func (w *writer) alone(ctx context.Context, fn func(context.Context) error) error {
	if err := w.do(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := fn(ctx); err != nil {
		return errors.Join(err, w.do(ctx, "ROLLBACK"))
	}
	return w.do(ctx, "COMMIT")
}

// one runs a job. The error is the engine's; the job's own is in j.err. A savepoint
// has SQLite copy each page that changes, which costs a third of a license.
func (w *writer) one(ctx context.Context, j *job) error {
	if j.bare {
		j.err = guard(ctx, j.fn, w.db)
		if bad, ok := errors.AsType[*engineError](j.err); ok {
			return bad
		}
		return nil
	}
	if err := w.do(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	j.err = guard(ctx, j.fn, w.db)
	if _, bad := errors.AsType[*engineError](j.err); bad {
		return j.err
	}
	if j.err != nil {
		if err := w.do(ctx, "ROLLBACK TO job"); err != nil {
			return err
		}
	}
	return w.do(ctx, "RELEASE job")
}

// guard keeps a caller's panic from taking the other callers with it.
func guard(ctx context.Context, fn func(context.Context, conn) error, c conn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("store: transaction function panicked: %v", r)
		}
	}()
	return fn(ctx, c)
}

func (w *writer) do(ctx context.Context, stmt string) error {
	if _, err := w.db.exec(ctx, stmt); err != nil {
		return &engineError{fmt.Errorf("%s: %w", stmt, err)}
	}
	return nil
}
