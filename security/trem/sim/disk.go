package sim

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// sectorSize is what a disk writes whole or not at all, in bytes. Source:
// local, docs/spec/vault.md.
const sectorSize = 512

// Errors that the simulated disk gives. The vault must take each of them for
// the end of the box.
var (
	errCrash = errors.New("sim: the box stopped")
	errIO    = errors.New("sim: the disk failed")
)

// Plug is what happens to a box at one of its durable writes.
type Plug uint8

// What can happen at a write.
const (
	PlugNone  Plug = iota
	PlugKill       // the process is killed before it: what was written stays in the cache
	PlugPower      // the power fails before it: what was not synced may be gone, in part, out of order
	PlugHalf       // the power fails in the middle of it
	PlugIO         // the disk reports a failure; nothing, or half of it, was written
	PlugSync       // the write is made, and its sync fails: the data is there or dropped
)

// disk is a directory in memory that knows what a power cut leaves: data
// written since a file's last sync, and names changed since the directory's,
// are not safe. It implements vault.FS.
type disk struct {
	rnd     *rand.Rand
	durable map[string]*inode
	ops     []nameOp // since the directory's last sync
	mutant  Mutant

	plug    Plug // what happens when fuse reaches 0
	fuse    int  // changes until then
	fired   Plug // what has happened
	torn    bool // the last power cut left a write in part
	version uint64
	writes  int // changes so far
}

type inode struct {
	data   []byte
	synced int    // bytes that a power cut leaves, but for ghost
	ghost  [2]int // a part that the kernel takes for written, after its sync had failed
}

type nameOp struct {
	from, to string // from "": create; to "": remove
	node     *inode
}

func newDisk(rnd *rand.Rand, m Mutant) *disk {
	return &disk{rnd: rnd, durable: map[string]*inode{}, mutant: m}
}

// arm lets something happen at the n-th change from now, counted from 0.
func (d *disk) arm(p Plug, n int) { d.plug, d.fuse, d.fired = p, n, PlugNone }

func (d *disk) disarm() { d.plug = PlugNone }

// before is called before each change; what names it.
func (d *disk) before(what string) error {
	if d.fired != PlugNone {
		return errCrash // nothing works until the box starts again
	}
	d.version++
	d.writes++
	if d.plug == PlugNone {
		return nil
	}
	if d.fuse--; d.fuse >= 0 {
		return nil
	}
	if d.plug == PlugSync && what != "sync" || d.plug == PlugHalf && what != "write" {
		d.fuse = 0
		return nil // it waits for one
	}
	d.fired, d.plug = d.plug, PlugNone
	if d.fired == PlugIO || d.fired == PlugSync {
		return errIO
	}
	return errCrash
}

func apply(files map[string]*inode, ops []nameOp) map[string]*inode {
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

func (d *disk) live() map[string]*inode { return apply(d.durable, d.ops) }

func (d *disk) List() ([]string, error) { return slices.Sorted(maps.Keys(d.live())), nil }

func (d *disk) Read(name string) ([]byte, error) {
	n := d.live()[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(n.data), nil
}

func (d *disk) Create(name string) (vault.File, error) {
	if err := d.before("create"); err != nil {
		return nil, err
	}
	n := &inode{}
	d.ops = append(d.ops, nameOp{to: name, node: n})
	return &file{d, n}, nil
}

func (d *disk) Rename(from, to string) error {
	if err := d.before("rename"); err != nil {
		return err
	}
	n := d.live()[from]
	if n == nil {
		return fs.ErrNotExist
	}
	d.ops = append(d.ops, nameOp{from: from, to: to, node: n})
	return nil
}

func (d *disk) Remove(name string) error {
	if err := d.before("remove"); err != nil {
		return err
	}
	if d.live()[name] == nil {
		return fs.ErrNotExist
	}
	d.ops = append(d.ops, nameOp{from: name})
	return nil
}

// SyncFile writes the file again, as the vault's own FS does.
func (d *disk) SyncFile(name string) error {
	data, err := d.Read(name)
	if err != nil || d.mutant == NoSettle {
		return err
	}
	f, err := d.Create("sync.tmp")
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return d.Rename("sync.tmp", name)
}

func (d *disk) sync(n *inode) error {
	if err := d.before("sync"); err != nil {
		if d.fired == PlugSync {
			d.failSync(n)
		}
		return err
	}
	n.synced = len(n.data)
	return nil
}

// failSync is what a kernel may do when a sync has failed.
func (d *disk) failSync(n *inode) {
	switch d.rnd.IntN(3) {
	case 0: // it was written all the same
		n.synced = len(n.data)
	case 1: // the pages are dropped
		n.data = bytes.Clone(n.data[:n.synced])
	default: // the pages stay in the cache, and are never written
		if n.ghost == [2]int{} {
			n.ghost[0] = n.synced
		}
		n.synced, n.ghost[1] = len(n.data), len(n.data)
	}
}

func (d *disk) Sync() error {
	if err := d.before("sync"); err != nil {
		return err
	}
	d.durable, d.ops = d.live(), nil
	return nil
}

func (d *disk) Close() error { return nil }

type file struct {
	disk *disk
	node *inode
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.disk.before("write"); err != nil {
		n := 0
		if f.disk.fired == PlugHalf || f.disk.fired == PlugIO {
			n = f.disk.rnd.IntN(len(p) + 1)
		}
		f.node.data = append(f.node.data, p[:n]...)
		return n, err
	}
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

func (f *file) Sync() error {
	if f.disk.mutant == NoFsync {
		return f.disk.before("sync") // it says that it did
	}
	return f.disk.sync(f.node)
}

func (f *file) Close() error { return nil }

// surely is what a power cut leaves at least: the image that all promises must
// be kept with.
func (d *disk) surely() map[string]*inode {
	out := map[string]*inode{}
	for name, n := range d.durable {
		data := n.real(n.data[:n.synced:n.synced])
		out[name] = &inode{data: data, synced: len(data)}
	}
	return out
}

// real is a prefix of a file as the disk has it: what was never written is not
// there, or reads as zeros when something after it was.
func (n *inode) real(data []byte) []byte {
	if n.ghost == [2]int{} || len(data) <= n.ghost[0] {
		return data
	}
	if len(data) <= n.ghost[1] {
		return data[:n.ghost[0]:n.ghost[0]]
	}
	data = bytes.Clone(data)
	clear(data[n.ghost[0]:n.ghost[1]])
	return data
}

// cached is what a restart after a kill finds.
func (d *disk) cached() map[string]*inode {
	out := map[string]*inode{}
	for name, n := range d.live() {
		out[name] = &inode{data: slices.Clip(n.data), synced: len(n.data)}
	}
	return out
}

// clean reports whether everything is safe.
func (d *disk) clean() bool {
	for _, n := range d.live() {
		if n.synced < len(n.data) || n.ghost != [2]int{} {
			return false
		}
	}
	return len(d.ops) == 0
}

// powerCut decides what is left: a prefix of the unsynced names, and of each
// file's unsynced data any sectors, in any order.
func (d *disk) powerCut() {
	d.version++
	d.torn = false
	k := len(d.ops)
	if k > 0 {
		k = d.rnd.IntN(k + 1)
	}
	d.torn = k < len(d.ops)
	files := apply(d.durable, d.ops[:k])
	for _, name := range slices.Sorted(maps.Keys(files)) {
		n := files[name]
		data := n.data
		if n.synced < len(n.data) {
			data = d.tear(n)
		}
		data = n.real(data)
		d.torn = d.torn || !bytes.Equal(data, n.data)
		files[name] = &inode{data: data, synced: len(data)}
	}
	d.durable, d.ops = files, nil
}

// tear gives a state of a file after a power cut.
func (d *disk) tear(n *inode) []byte {
	rest := len(n.data) - n.synced
	var out []byte
	switch d.rnd.IntN(4) {
	case 0: // nothing of it
		return bytes.Clone(n.data[:n.synced])
	case 1: // cut anywhere
		return bytes.Clone(n.data[:n.synced+d.rnd.IntN(rest+1)])
	case 2: // cut at a sector
		end := n.synced + d.rnd.IntN(rest+1)
		out = bytes.Clone(n.data[:max(n.synced, end-end%sectorSize)])
	default:
		out = bytes.Clone(n.data)
	}
	for from := n.synced; from < len(out); { // sectors that were not written read as zeros
		to := min(from-from%sectorSize+sectorSize, len(out))
		if d.rnd.IntN(4) == 0 {
			clear(out[from:to])
		}
		from = to
	}
	return out
}

// image is a copy of what is there, for an owner who keeps one.
func (d *disk) image() map[string]*inode { return d.cached() }

// restore puts an image there.
func (d *disk) restore(files map[string]*inode) {
	d.version++
	d.durable, d.ops = maps.Clone(files), nil
}

// viewOf opens an image without changing it.
func viewOf(files map[string]*inode) *disk {
	out := newDisk(nil, None)
	for name, n := range files {
		out.durable[name] = &inode{data: n.data, synced: n.synced}
	}
	return out
}
