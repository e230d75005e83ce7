package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/service/issuer"
)

const (
	// maxReaders is how many reads run at once.
	maxReaders = 4
	// checkpointPages is how long the log gets, in pages of 4 KiB, before what is in
	// it goes to the database file: the longer, the more often a page that changes
	// again is written there once. 16 MB are read within a tenth of a second after a
	// crash. Source: measured here; SQLite's default is 1,000.
	checkpointPages = 4000
)

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
	lock *os.File
	read string       // data source name of readers
	idle chan *reader // maxReaders of them
	jobs chan *job
	w    *writer
	wg   sync.WaitGroup
	mu   sync.RWMutex // held for reading while sending to jobs
	shut bool         // guarded by mu

	closed error // of the writer's connection, once wg is done
}

func openSQLite(ctx context.Context, path string) (*sqliteEngine, error) {
	if err := makeFile(path); err != nil {
		return nil, err
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?"
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(ON)", fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages)}}
	w, err := connect(name + pragmas.Encode())
	if err != nil {
		return nil, err
	}
	pragmas.Add("_pragma", "query_only(ON)")
	e := &sqliteEngine{read: name + pragmas.Encode(), idle: make(chan *reader, maxReaders), jobs: make(chan *job)}
	for range maxReaders {
		e.idle <- new(reader) // opened when needed
	}
	if err := e.start(ctx, w); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return e, nil
}

// start checks that commits are durable, migrates, and starts the writer.
func (e *sqliteEngine) start(ctx context.Context, db *statements) error {
	var mode string
	var sync int64
	for pragma, into := range map[string]any{"PRAGMA journal_mode": &mode, "PRAGMA synchronous": &sync} {
		if err := db.query(ctx, func(scan func(...any) error) error { return scan(into) }, pragma); err != nil {
			return err
		}
	}
	if mode != "wal" || sync != 2 { // 2 = FULL
		return fmt.Errorf("store: the database would lose acknowledged commits (journal %s, synchronous %d)", mode, sync)
	}
	e.w = &writer{db: db, jobs: e.jobs, most: maxGroup}
	if err := e.w.alone(ctx, func(ctx context.Context) error { return migrate(ctx, db) }); err != nil {
		return err
	}
	db.forget()
	e.wg.Go(func() {
		e.w.run()
		e.closed = db.close()
	})
	return nil
}

func (e *sqliteEngine) update(ctx context.Context, fn func(context.Context, conn) error) error {
	return e.queue(ctx, newJob(fn))
}

// queue has the writer do a job.
func (e *sqliteEngine) queue(ctx context.Context, j *job) error {
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

func (e *sqliteEngine) ungroup() { e.w.most = 1 } // the writer reads it after it took a job

func (e *sqliteEngine) ahead(ctx context.Context, a *issuer.Asked) (issuer.Ahead, error) {
	return aheadAlone(ctx, e, a)
}

func (e *sqliteEngine) issue(ctx context.Context, is *issuer.Issue) (bool, error) {
	j := newJob(func(ctx context.Context, c conn) error { return issueOrUndo(ctx, c, is) })
	j.bare = true
	return recorded(e.queue(ctx, j))
}

func (e *sqliteEngine) license(ctx context.Context, domain ident.Domain, id ident.License) (issuer.License, error) {
	return licenseAlone(ctx, e, domain, id)
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
	errs := []error{e.closed}
	for range maxReaders {
		errs = append(errs, (<-e.idle).close())
	}
	close(e.idle)
	return errors.Join(append(errs, e.lock.Close())...)
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
