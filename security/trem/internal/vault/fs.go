package vault

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// FS is what a vault needs of its directory. Names have no folder in them.
type FS interface {
	List() ([]string, error)
	Read(name string) ([]byte, error)
	Create(name string) (File, error) // empty and open for writing, whatever was there
	Rename(from, to string) error
	Remove(name string) error
	SyncFile(name string) error // makes a file that someone else wrote durable, even if its sync has failed
	Sync() error                // makes renames and removals durable
	io.Closer
}

// File is an open file of an FS.
type File interface {
	io.Writer
	Sync() error // makes what was written durable
	io.Closer
}

// dirFS is a directory of the operating system, locked for this process.
type dirFS struct{ dir *os.File }

// OpenDir is the FS of a directory, as Config.Dir makes it, for who wraps it.
func OpenDir(name string) (FS, error) { return openDir(name) }

// openDir makes the directory when it is missing and locks it. The lock ends
// with the process, however it ends.
func openDir(name string) (FS, error) {
	if err := makeDir(name); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	dir, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if err = lock(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("vault: %w", err), dir.Close())
	}
	return dirFS{dir}, nil
}

func makeDir(name string) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(name, 0o700); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func (d dirFS) path(name string) string { return filepath.Join(d.dir.Name(), name) }

func (d dirFS) List() ([]string, error) {
	entries, err := os.ReadDir(d.dir.Name())
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d dirFS) Read(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

func (d dirFS) Create(name string) (File, error) {
	return os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
}

// syncName is the file that takes another's place. It is not read when a crash
// leaves it, and written over the next time.
const syncName = "sync.tmp"

// SyncFile writes the file again, under a new name that it then exchanges.
// Syncing the old one is not enough: when that had failed before, the kernel
// may take its pages for written, and they are in the cache only.
func (d dirFS) SyncFile(name string) error {
	data, err := d.Read(name)
	if err != nil {
		return err
	}
	f, err := d.Create(syncName)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return d.Rename(syncName, name)
}

func (d dirFS) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d dirFS) Remove(name string) error     { return os.Remove(d.path(name)) }
func (d dirFS) Sync() error                  { return d.dir.Sync() }
func (d dirFS) Close() error                 { return d.dir.Close() }
