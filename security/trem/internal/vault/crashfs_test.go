package vault

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
)

// crashFS is a directory in memory that knows what is not yet durable: data
// written since a file's last sync, and renames and removals since the
// directory's. before is called before each change takes effect.
type crashFS struct {
	durable map[string]*inode // what a crash surely leaves
	ops     []dirOp           // in order, since the directory's last sync
	before  func() error
}

type inode struct {
	data   []byte
	synced int
}

type dirOp struct {
	from, to string // from "": create; to "": remove
	node     *inode
}

func newCrashFS() *crashFS {
	return &crashFS{durable: map[string]*inode{}, before: func() error { return nil }}
}

func apply(files map[string]*inode, ops []dirOp) map[string]*inode {
	out := maps.Clone(files)
	for _, op := range ops {
		if op.from != "" {
			delete(out, op.from)
		}
		if op.to != "" {
			out[op.to] = op.node
		}
	}
	return out
}

func (f *crashFS) live() map[string]*inode { return apply(f.durable, f.ops) }

func (f *crashFS) List() ([]string, error) { return slices.Sorted(maps.Keys(f.live())), nil }

func (f *crashFS) Read(name string) ([]byte, error) {
	n := f.live()[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(n.data), nil
}

func (f *crashFS) Create(name string) (File, error) {
	if err := f.before(); err != nil {
		return nil, err
	}
	n := &inode{}
	f.ops = append(f.ops, dirOp{to: name, node: n})
	return &crashFile{f, n}, nil
}

func (f *crashFS) Rename(from, to string) error {
	if err := f.before(); err != nil {
		return err
	}
	n := f.live()[from]
	if n == nil {
		return fs.ErrNotExist
	}
	f.ops = append(f.ops, dirOp{from: from, to: to, node: n})
	return nil
}

func (f *crashFS) Remove(name string) error {
	if err := f.before(); err != nil {
		return err
	}
	if f.live()[name] == nil {
		return fs.ErrNotExist
	}
	f.ops = append(f.ops, dirOp{from: name})
	return nil
}

func (f *crashFS) SyncFile(name string) error {
	if err := f.before(); err != nil {
		return err
	}
	n := f.live()[name]
	n.synced = len(n.data)
	return nil
}

func (f *crashFS) Sync() error {
	if err := f.before(); err != nil {
		return err
	}
	f.durable, f.ops = f.live(), nil
	return nil
}

func (f *crashFS) Close() error { return nil }

type crashFile struct {
	fs   *crashFS
	node *inode
}

func (f *crashFile) Write(p []byte) (int, error) {
	if err := f.fs.before(); err != nil {
		if !errors.Is(err, errHalf) {
			return 0, err
		}
		f.node.data = append(f.node.data, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

func (f *crashFile) Sync() error {
	if err := f.fs.before(); err != nil {
		return err
	}
	f.node.synced = len(f.node.data)
	return nil
}

func (f *crashFile) Close() error { return nil }

// errHalf makes a write stop in the middle.
var errHalf = errors.New("disk full")

// mostOps is how many directory operations that are not yet synced the
// enumeration cuts into; the vault never has more than six.
const mostOps = 6

// crashes calls visit with every directory that a crash now may leave: each
// prefix of the unsynced renames and removals, and for each file each state of
// its unsynced data that unsynced gives.
func (f *crashFS) crashes(visit func(*crashFS)) {
	if len(f.ops) > mostOps {
		panic("more unsynced directory operations than are enumerated")
	}
	for k := range len(f.ops) + 1 {
		files := apply(f.durable, f.ops[:k])
		names := slices.Sorted(maps.Keys(files))
		var choose func(i int, out map[string]*inode)
		choose = func(i int, out map[string]*inode) {
			if i == len(names) {
				visit(&crashFS{durable: maps.Clone(out), before: func() error { return nil }})
				return
			}
			for _, data := range unsynced(files[names[i]]) {
				out[names[i]] = &inode{data: data, synced: len(data)}
				choose(i+1, out)
			}
		}
		choose(0, map[string]*inode{})
	}
}

// unsynced gives the states of a file after a crash: prefixes of what was not
// synced, and the whole length with sectors that were never written.
func unsynced(n *inode) [][]byte {
	rest := len(n.data) - n.synced
	if rest == 0 {
		return [][]byte{n.data}
	}
	var out [][]byte
	for _, cut := range []int{0, 1, 15, 16, 17, rest / 2, rest - 1, rest} {
		if cut >= 0 && cut <= rest {
			out = append(out, n.data[:n.synced+cut])
		}
	}
	for from := n.synced; from < len(n.data); from = from - from%sector + sector {
		zeroed := bytes.Clone(n.data)
		clear(zeroed[from:min(from-from%sector+sector, len(zeroed))])
		out = append(out, zeroed)
	}
	zeroed := bytes.Clone(n.data)
	clear(zeroed[n.synced:])
	return append(out, zeroed)
}
