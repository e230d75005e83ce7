//go:build unix

package vault

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/lares-drm/lares/security/keystore/simnv"
)

// killer ends this process with signal 9 at one of its changes of disk or
// register.
type killer struct {
	mu   sync.Mutex
	step int
	at   int  // the change before which it is killed
	half bool // only writes count, and it is killed in the middle of that one
}

// next counts a change, and kills the process when it is the one. A write that
// is to be cut is reported instead.
func (k *killer) next(write bool) (cut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.half && !write {
		return false
	}
	if k.step++; k.step == k.at && !k.half {
		k.kill()
	}
	return k.step == k.at
}

func (k *killer) kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // it does not return
}

// killFS is a real directory, of a process that is killed. Beside it grows a
// second one of what was synced: what a power cut leaves of the first, when the
// disk wrote nothing that it was not told to.
type killFS struct {
	FS
	*killer
	dir    string // of the vault
	shadow string
	live   map[string]int // the files of the directory, by number
	last   int
}

// newKillFS works in the working directory.
func newKillFS(k *killer) (*killFS, error) {
	f := &killFS{killer: k, dir: "vault", shadow: "shadow", live: map[string]int{}}
	return f, os.Mkdir(f.shadow, 0o700)
}

// reopen takes the real directory, for one opening of the vault.
func (f *killFS) reopen() (err error) {
	f.FS, err = openDir(f.dir)
	return err
}

func (f *killFS) data(id int) string { return filepath.Join(f.shadow, fmt.Sprint(id)) }

func (f *killFS) Create(name string) (File, error) {
	f.next(false)
	file, err := f.FS.Create(name)
	f.last++
	f.live[name] = f.last
	return killFile{file, f, name, f.last}, err
}

func (f *killFS) Rename(from, to string) error {
	f.next(false)
	f.live[to] = f.live[from]
	delete(f.live, from)
	return f.FS.Rename(from, to)
}

func (f *killFS) Remove(name string) error {
	f.next(false)
	delete(f.live, name)
	return f.FS.Remove(name)
}

func (f *killFS) SyncFile(name string) error {
	f.next(false)
	return errors.Join(f.FS.SyncFile(name), f.keep(name, f.live[name]))
}

func (f *killFS) Sync() error {
	f.next(false)
	if err := f.FS.Sync(); err != nil {
		return err
	}
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.live)) {
		fmt.Fprintln(&list, name, f.live[name])
	}
	return os.WriteFile(filepath.Join(f.shadow, "list"), []byte(list.String()), 0o600)
}

// keep copies what was synced.
func (f *killFS) keep(name string, id int) error {
	data, err := f.FS.Read(name)
	if err != nil {
		return err
	}
	return os.WriteFile(f.data(id), data, 0o600)
}

type killFile struct {
	File
	fs   *killFS
	name string // when it was created
	id   int
}

func (f killFile) Write(p []byte) (int, error) {
	if f.fs.next(true) {
		_, _ = f.File.Write(p[:len(p)/2])
		f.fs.kill()
	}
	return f.File.Write(p)
}

func (f killFile) Sync() error {
	f.fs.next(false)
	if err := f.File.Sync(); err != nil {
		return err
	}
	for name, id := range f.fs.live {
		if id == f.id {
			return f.fs.keep(name, id)
		}
	}
	return nil
}

func shadowList(dir string) (map[string]int, error) {
	data, err := os.ReadFile(filepath.Join(dir, "list"))
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for line := range strings.Lines(string(data)) {
		var name string
		var id int
		if _, err := fmt.Sscan(line, &name, &id); err != nil {
			return nil, err
		}
		out[name] = id
	}
	return out, nil
}

// powerCut makes the directory that a power cut leaves of dir/vault.
func powerCut(dir, to string) error {
	list, err := shadowList(filepath.Join(dir, "shadow"))
	if errors.Is(err, os.ErrNotExist) {
		list, err = nil, nil
	}
	if err = errors.Join(err, os.Mkdir(to, 0o700)); err != nil {
		return err
	}
	for name, id := range list {
		data, err := os.ReadFile(filepath.Join(dir, "shadow", fmt.Sprint(id)))
		if errors.Is(err, os.ErrNotExist) {
			err = nil // created, and nothing of it synced
		}
		if err = errors.Join(err, os.WriteFile(filepath.Join(to, name), data, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// killNV is a simulated register in a file, of a process that is killed before
// or after its steps.
type killNV struct {
	*killer
	extend *simnv.Extend
	count  *simnv.Counter
}

func (r killNV) Anchor() ([32]byte, error) { return r.extend.Anchor() }

func (r killNV) Extend(h [32]byte) error {
	r.next(false)
	err := r.extend.Extend(h)
	r.next(false)
	return err
}

func (r killNV) Count() (uint64, error) { return r.count.Count() }

func (r killNV) Increment() error {
	r.next(false)
	err := r.count.Increment()
	r.next(false)
	return err
}

func (r killNV) Close() error {
	if r.extend != nil {
		return r.extend.Close()
	}
	return r.count.Close()
}

// withNV opens the register in a file and puts it into a Config.
func withNV(cfg Config, kind anchorKind, file string, k *killer) (Config, io.Closer, error) {
	var err error
	nv := killNV{killer: k}
	if kind == extended {
		nv.extend, err = simnv.OpenExtend(file)
		cfg.Anchor = nv
	} else {
		nv.count, err = simnv.OpenCounter(file)
		cfg.Counter = nv
	}
	return cfg, nv, err
}
