package care

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Files are the rights of what is in a folder.
type Files struct {
	Exposed []string // may be read or changed by other users, below the folder
	Foreign []string // belong to somebody else than who asks
	Seen    int
	Err     error
}

// maxSeen bounds the files that are looked at. Source: local.
const maxSeen = 200_000

// LookAtFiles reads the rights of all files of a folder. A file that others may
// read is no harm below a folder that they may not enter.
func LookAtFiles(dir string) (out Files) {
	self := os.Getuid()
	open := map[string]bool{filepath.Dir(dir): true} // folders that others may enter
	out.Err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) && name != dir {
				return nil // a temporary file that has gone
			}
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if out.Seen++; out.Seen > maxSeen {
			return fs.SkipAll
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != self {
			out.Foreign = append(out.Foreign, rel)
		}
		reached := open[filepath.Dir(name)]
		mode := info.Mode()
		if mode.IsDir() {
			open[name] = reached && mode.Perm()&0o011 != 0
			if reached && mode.Perm()&0o022 != 0 {
				out.Exposed = append(out.Exposed, rel)
			}
		} else if reached && mode.IsRegular() && mode.Perm()&0o066 != 0 {
			out.Exposed = append(out.Exposed, rel)
		}
		return nil
	})
	slices.Sort(out.Exposed)
	return out
}

// Disk is the file system under a folder.
type Disk struct {
	Free, Total uint64        // bytes, for this user
	Memory      bool          // it is gone at a power cut
	Flush       time.Duration // median of a small write that is flushed
	Err         error
}

const (
	// flushes is how many flushed writes are measured. Source: local.
	flushes = 9
	// flushBytes is the size of one of them: a small record of the vault.
	flushBytes = 512

	tmpfsMagic = 0x01021994 // statfs(2)
	ramfsMagic = 0x858458f6
)

// LookAtDisk measures the file system under a folder. It writes a few KB into a
// file of its own there and removes it.
func LookAtDisk(dir string, now func() time.Time) (d Disk) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return Disk{Err: fmt.Errorf("ask for the free space: %w", err)}
	}
	d.Free, d.Total = s.Bavail*uint64(s.Bsize), s.Blocks*uint64(s.Bsize) //nolint:gosec // a block size is positive; its type differs by platform
	kind := uint32(s.Type)                                               //nolint:gosec // likewise; it has 32 bits
	d.Memory = kind == tmpfsMagic || kind == ramfsMagic
	d.Flush, d.Err = flushTime(dir, now)
	return d
}

func flushTime(dir string, now func() time.Time) (_ time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, fmt.Errorf("write into the folder: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var took []time.Duration
	for range flushes {
		from := now()
		if _, err := f.Write(make([]byte, flushBytes)); err != nil {
			return 0, fmt.Errorf("write into the folder: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("flush to the disk: %w", err)
		}
		took = append(took, now().Sub(from))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
