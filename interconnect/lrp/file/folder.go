package file

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/lares-drm/lares/interconnect/lrp"
)

// Limits of a folder. Source: local, docs/spec/lrp.md section 13.
const (
	// MaxBoxes is how many addresses' folders are looked at.
	MaxBoxes = 256
	// MaxFiles is how many files of one address are looked at.
	MaxFiles = 1024

	maxAsk = 2*lrp.MaxFrame + 64                 // bytes: a HELLO and a frame
	maxAns = lrp.MaxFrames * (lrp.MaxFrame + 64) // bytes
)

// Endings of names.
const (
	asked    = ".ask"  // a frame for the address whose folder it is in
	answered = ".ans"  // what answers one
	mail     = ".mail" // a frame that waited in a mailbox
)

// folder is the place on the medium, and nothing outside of it.
type folder struct{ root *os.Root }

func openFolder(dir string) (folder, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return folder{}, fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	return folder{r}, nil
}

// name is that of the file of a frame, in the folder of its destination; of an
// answer, that of the frame it answers, in the folder of that frame's source.
func name(box, other lrp.Addr, tx lrp.Tx, seq uint64, ending string) string {
	return path.Join(box.String(), fmt.Sprintf("%v-%v-%d%s", other, tx, seq, ending))
}

// write makes a file whole or not at all, and durable.
func (d folder) write(to string, data []byte) error {
	box := path.Dir(to)
	if err := d.root.Mkdir(box, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	var mark [8]byte
	rand.Read(mark[:]) // never returns an error
	tmp := path.Join(box, ".new-"+hex.EncodeToString(mark[:]))
	f, err := d.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = d.root.Rename(tmp, to)
	}
	if err != nil {
		_ = d.root.Remove(tmp) // it is passed over anyway
		return fmt.Errorf("%w: %w", lrp.ErrLost, err)
	}
	return d.sync(box)
}

func (d folder) sync(box string) error {
	for _, at := range []string{box, "."} {
		f, err := d.root.Open(at)
		if err != nil {
			return fmt.Errorf("%w: %w", lrp.ErrLost, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("%w: %w", lrp.ErrLost, err)
		}
	}
	return nil
}

// read reads a file of at most most bytes. What is no plain file is not opened to
// be read: a pipe would make the reader wait, a link lead it elsewhere.
func (d folder) read(at string, most int64) ([]byte, error) {
	info, err := d.root.Lstat(at)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, lrp.ErrFrame
	}
	f, err := d.root.OpenFile(at, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = lrp.ErrFrame
	}
	return data, err
}

// list names the files with an ending in an address's folder, in order.
func (d folder) list(box lrp.Addr, ending string) (out []string) {
	f, err := d.root.Open(box.String())
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // read only
	entries, _ := f.ReadDir(MaxFiles)
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ending) && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, path.Join(box.String(), e.Name()))
		}
	}
	return out
}

// boxes are the addresses that have a folder.
func (d folder) boxes() (out []lrp.Addr) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // read only
	for len(out) < MaxBoxes {
		entries, err := f.ReadDir(MaxBoxes)
		for _, e := range entries {
			if a, ok := parseAddr(e.Name()); ok && e.IsDir() && len(out) < MaxBoxes {
				out = append(out, a)
			}
		}
		if err != nil || len(entries) == 0 {
			break
		}
	}
	return out
}

func parseAddr(s string) (a lrp.Addr, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(a) || s != strings.ToLower(s) {
		return a, false
	}
	return lrp.Addr(b), true
}

// fits reports whether a file's name is that of a frame in it: one that was renamed
// is not answered under another's name.
func fits(at string, f lrp.Frame) bool { return at == name(f.Dst, f.Src, f.Tx, f.Seq, asked) }

func numbered(box lrp.Addr, n uint64) string {
	return path.Join(box.String(), strconv.FormatUint(n, 10)+mail)
}
