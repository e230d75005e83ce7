package vault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
)

// crashFS is a directory in memory on the disk that the vault's crash safety
// is shown for:
//
//   - A sync of a file makes its bytes and its length durable; a sync of the
//     directory makes creations, renames and removals durable. Nothing else does.
//   - Of what was written to files since, each sector of 512 bytes of each write
//     is on the disk or not, whatever came first. One that is not reads as zeros
//     when the file is as long, else the file ends before it: the length, too,
//     may be that after any of the writes.
//   - A write may also have ended in the middle of a sector: its process was
//     killed, or the disk was full. (Some cuts of each write are tried.)
//   - Of the creations, renames and removals since the last sync of the
//     directory, each has happened or not, whatever came first and whatever
//     became of the data. A rename happens whole or not at all.
//   - Sectors that were synced stay as they are; a register outside the disk
//     keeps every step that returned.
//
// crashes enumerates all that may be left then, for up to mostWrites unsynced
// writes: data written and directory operations. before is called before each
// change takes effect.
type crashFS struct {
	durable map[string]*inode // what a crash surely leaves
	ops     []dirOp           // in order, since the directory's last sync
	before  func() error
	drop    int    // the sync with this number, from 1, does nothing though it says it did; 0 = none
	syncs   int    // so far
	dropped string // what the sync was that did nothing
	most    int    // unsynced writes at once, so far
}

const mostWrites = 6

type inode struct {
	data   []byte
	synced int
	ends   []int // of the writes since
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
	if f.does("settle") {
		n.synced, n.ends = len(n.data), nil
	}
	return nil
}

func (f *crashFS) Sync() error {
	if err := f.before(); err != nil {
		return err
	}
	what := "directory"
	if slices.ContainsFunc(f.ops, func(op dirOp) bool { return op.to != "" }) {
		what = "directory after rename"
	}
	if f.does(what) {
		f.durable, f.ops = f.live(), nil
	}
	return nil
}

func (f *crashFS) Close() error { return nil }

// does counts a sync and says whether it is a true one.
func (f *crashFS) does(what string) bool {
	f.syncs++
	if f.syncs == f.drop {
		f.dropped = what
	}
	return f.syncs != f.drop
}

type crashFile struct {
	fs   *crashFS
	node *inode
}

func (f *crashFile) Write(p []byte) (int, error) {
	err := f.fs.before()
	if errors.Is(err, errHalf) {
		p = p[:len(p)/2]
	} else if err != nil {
		return 0, err
	}
	f.node.data = append(f.node.data, p...)
	f.node.ends = append(f.node.ends, len(f.node.data))
	return len(p), err
}

func (f *crashFile) Sync() error {
	if err := f.fs.before(); err != nil {
		return err
	}
	if f.fs.does("file") {
		f.node.synced, f.node.ends = len(f.node.data), nil
	}
	return nil
}

func (f *crashFile) Close() error { return nil }

// errHalf makes a write stop in the middle.
var errHalf = errors.New("disk full")

// unsynced is how many writes are not durable.
func (f *crashFS) unsynced() int {
	nodes := map[*inode]bool{}
	for _, op := range f.ops {
		nodes[op.node] = op.node != nil
	}
	for _, n := range f.durable {
		nodes[n] = true
	}
	sum := len(f.ops)
	for n, ok := range nodes {
		if ok {
			sum += len(n.ends)
		}
	}
	return sum
}

// crashes calls visit once with every directory that a crash now may leave.
func (f *crashFS) crashes(visit func(*crashFS) error) error {
	if f.most = max(f.most, f.unsynced()); f.most > mostWrites {
		panic("more unsynced writes than are enumerated")
	}
	seen := map[[32]byte]bool{}
	once := func(left map[string]*inode) error {
		key := sha256.New()
		for _, name := range slices.Sorted(maps.Keys(left)) {
			_, _ = fmt.Fprintf(key, "%s %d ", name, len(left[name].data))
			_, _ = key.Write(left[name].data)
		}
		if k := [32]byte(key.Sum(nil)); !seen[k] {
			seen[k] = true
			return visit(&crashFS{durable: maps.Clone(left), before: func() error { return nil }})
		}
		return nil
	}
	for mask := range 1 << len(f.ops) {
		var happened []dirOp
		for i, op := range f.ops {
			if mask>>i&1 == 1 {
				happened = append(happened, op)
			}
		}
		files := apply(f.durable, happened)
		if err := product(files, slices.Sorted(maps.Keys(files)), map[string]*inode{}, once); err != nil {
			return err
		}
	}
	return nil
}

// product gives every combination of what is left of each file.
func product(files map[string]*inode, names []string, out map[string]*inode, visit func(map[string]*inode) error) error {
	if len(names) == 0 {
		return visit(out)
	}
	for _, data := range files[names[0]].left() {
		out[names[0]] = &inode{data: data, synced: len(data)}
		if err := product(files, names[1:], out, visit); err != nil {
			return err
		}
	}
	return nil
}

// mostSectors is how many unsynced sectors of one file the enumeration takes.
const mostSectors = 10

// left is what a crash may leave of a file.
func (n *inode) left() (out [][]byte) {
	if n.synced == len(n.data) {
		return [][]byte{n.data}
	}
	var pieces [][2]int // sectors, cut where writes end
	for at, ends := n.synced, n.ends; at < len(n.data); {
		to := min(at-at%sector+sector, ends[0])
		if pieces = append(pieces, [2]int{at, to}); to == ends[0] {
			ends = ends[1:]
		}
		at = to
	}
	if len(pieces) > mostSectors {
		panic("more unsynced sectors than are enumerated")
	}
	for mask := range 1 << len(pieces) {
		data, last := bytes.Clone(n.data), n.synced
		for i, p := range pieces {
			if mask>>i&1 == 1 {
				last = p[1]
			} else {
				clear(data[p[0]:p[1]])
			}
		}
		for _, length := range append([]int{last}, n.ends...) {
			if length >= last {
				out = append(out, data[:length])
			}
		}
	}
	for start := n.synced; len(n.data) > start; { // ended in the middle
		end := n.ends[slices.IndexFunc(n.ends, func(e int) bool { return e > start })]
		for _, cut := range []int{1, 15, 16, 17, (end - start) / 2, end - start - 1} {
			if cut < end-start {
				out = append(out, n.data[:start+cut])
			}
		}
		start = end
	}
	return out
}

// TestCrashFS_EnumeratesEveryState counts what is left of known writes.
func TestCrashFS_EnumeratesEveryState(t *testing.T) {
	count := func(f *crashFS) (n int) {
		if err := f.crashes(func(*crashFS) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	names := []string{"a", "b", "c", "d", "e", "f"}
	full := func() *crashFS {
		f := newCrashFS()
		for i, name := range names {
			f.durable[name] = &inode{data: []byte{byte(i)}, synced: 1}
		}
		return f
	}
	f := full()
	for _, name := range names {
		if err := f.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(f); got != 1<<6 {
		t.Errorf("six removals leave %d states, want 64", got)
	}
	f = full()
	for _, n := range f.durable {
		if _, err := (&crashFile{f, n}).Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(f); got != 3*3*3*3*3*3 { // not there, zero, there
		t.Errorf("six writes of one byte to six files leave %d states, want 729", got)
	}
	f = full()
	for range 6 {
		if _, err := (&crashFile{f, f.durable["a"]}).Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(f); got != 1+2+4+8+16+32+64 { // each length, each byte there or not
		t.Errorf("six writes of one byte to one file leave %d states, want 127", got)
	}
	f = full()
	w, err := f.Create("g")
	if err == nil {
		_, err = w.Write(bytes.Repeat([]byte{7}, 3*sector))
	}
	if err = errors.Join(err, f.Rename("g", "h")); err != nil {
		t.Fatal(err)
	}
	// The file: gone, g, h (also where only the rename happened). Its data: 8
	// subsets of sectors at full length, and 4 of them that end before it; 6 cuts.
	if got := count(f); got != 1+2*(8+4+6) {
		t.Errorf("a file of three sectors that is created and renamed leaves %d states, want 37", got)
	}
}
