package home

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// Limits of the copies of logs that are kept. Source: local, docs/spec/witness.md.
const (
	maxLogDevices  = 64      // modules, whose logs are kept
	maxLogCopies   = 4       // of one module
	maxLogSegments = 128     // of one copy
	maxLogBytes    = 8 << 20 // of one copy
	maxLogWanted   = 256     // segments that may be on their way
)

// LogCopy describes a copy of a module's sealed log, which other members keep so
// that the module can heal when it is set back. Only the module can read it, so
// what stands here is not proven: it says what to try first.
type LogCopy struct {
	Incarnation ident.Incarnation `json:"incarnation"`
	Counter     uint64            `json:"counter"` // batches
	Segments    []LogSegment      `json:"segments"`
}

// LogSegment is one file of a LogCopy.
type LogSegment struct {
	SHA256 content.Digest `json:"sha256"`
	Bytes  int64          `json:"bytes"`
}

// CopyOf is what a module says of its own log, as others keep it.
func CopyOf(l trem.Log) LogCopy {
	c := LogCopy{Incarnation: l.Incarnation, Counter: l.Counter, Segments: []LogSegment{}}
	for _, s := range l.Segments {
		c.Segments = append(c.Segments, LogSegment{SHA256: s.Hash, Bytes: s.Size})
	}
	return c
}

// ErrLog is returned for a copy of a log that is not kept.
var ErrLog = errors.New("home: this copy of a log is not kept")

func (c LogCopy) check() error {
	var bytes int64
	for _, s := range c.Segments {
		if s.Bytes <= 0 || s.Bytes > maxLogBytes {
			return ErrLog
		}
		bytes += s.Bytes
	}
	if len(c.Segments) == 0 || len(c.Segments) > maxLogSegments || bytes > maxLogBytes {
		return fmt.Errorf("%w: %d segments of %d bytes in all", ErrLog, len(c.Segments), bytes)
	}
	return nil
}

// Logs is a folder of copies of logs. It is safe for concurrent use.
type Logs struct {
	dir string

	mu     sync.Mutex
	copies map[ident.Device][]LogCopy      // guarded by mu; ascending by counter
	wanted map[content.Digest]ident.Device // guarded by mu; segments of copies that were offered
}

const copiesFile = "copies.json"

// OpenLogs reads the folder, or makes it.
func OpenLogs(dir string) (*Logs, error) {
	l := &Logs{dir: dir, copies: map[ident.Device][]LogCopy{}, wanted: map[content.Digest]ident.Device{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of logs: %w", err)
	}
	return l, load(dir, copiesFile, &l.copies)
}

// Devices are the modules of whose logs a copy is kept.
func (l *Logs) Devices() (out []ident.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.copies {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b ident.Device) int { return slices.Compare(a[:], b[:]) })
	return out
}

// Copies are those of one module, the furthest first.
func (l *Logs) Copies(id ident.Device) []LogCopy {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.copies[id])
	slices.Reverse(out)
	return out
}

// Offer keeps a copy of which all segments are here, and names those that are
// not. seen is how far a trusted module has seen that log, zero if it does not
// know: a copy that reaches there stays until that module has seen more and a
// further copy reaches that. So whoever was set back and goes on, or lies, cannot
// crowd out what heals it.
func (l *Logs) Offer(id ident.Device, c LogCopy, seen trem.LogSeen) (missing []content.Digest, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.copies[id]; !known && len(l.copies) >= maxLogDevices {
		return nil, fmt.Errorf("%w: too many modules", ErrLog)
	}
	for _, s := range c.Segments {
		if info, err := os.Stat(l.path(id, s.SHA256)); err == nil && info.Size() == s.Bytes {
			continue
		}
		if _, on := l.wanted[s.SHA256]; !on && len(l.wanted) >= maxLogWanted {
			clear(l.wanted) // who is still at it offers again
		}
		l.wanted[s.SHA256] = id
		missing = append(missing, s.SHA256)
	}
	if len(missing) > 0 {
		return missing, nil
	}
	list := worthKeeping(l.copies[id], c, seen)
	if slices.EqualFunc(list, l.copies[id], LogCopy.same) {
		return nil, nil
	}
	next := maps.Clone(l.copies)
	next[id] = list
	if err := save(l.dir, copiesFile, next); err != nil {
		return nil, err
	}
	l.copies = next
	return nil, l.sweep(id)
}

func (c LogCopy) same(o LogCopy) bool {
	return c.Incarnation == o.Incarnation && c.Counter == o.Counter && slices.Equal(c.Segments, o.Segments)
}

// worthKeeping adds a copy to a list, and drops what it makes needless.
func worthKeeping(list []LogCopy, c LogCopy, seen trem.LogSeen) []LogCopy {
	if slices.ContainsFunc(list, c.same) {
		return list
	}
	list = append(slices.Clone(list), c)
	slices.SortStableFunc(list, func(a, b LogCopy) int {
		switch {
		case a.Counter < b.Counter:
			return -1
		case a.Counter > b.Counter:
			return 1
		}
		return 0
	})
	reaches := func(c LogCopy) bool { return c.Incarnation == seen.Incarnation && c.Counter >= seen.Counter }
	if slices.ContainsFunc(list, reaches) {
		list = slices.DeleteFunc(list, func(c LogCopy) bool { return !reaches(c) })
	}
	for len(list) > maxLogCopies {
		list = slices.Delete(list, 1, 2) // the first that reaches, and the furthest
	}
	return list
}

// Forget drops the copies of a module that is not of the house any more.
func (l *Logs) Forget(id ident.Device) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.copies[id]; !ok {
		return nil
	}
	next := maps.Clone(l.copies)
	delete(next, id)
	if err := save(l.dir, copiesFile, next); err != nil {
		return err
	}
	l.copies = next
	return os.RemoveAll(filepath.Join(l.dir, id.String()))
}

// Put keeps a segment that Offer has named.
func (l *Logs) Put(id ident.Device, data []byte) error {
	sum := content.Digest(sha256.Sum256(data))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted[sum] != id {
		return fmt.Errorf("%w: nobody has offered this segment", ErrLog)
	}
	if err := os.MkdirAll(filepath.Join(l.dir, id.String()), 0o700); err != nil {
		return fmt.Errorf("keep a log: %w", err)
	}
	if err := writeAtomic(filepath.Join(l.dir, id.String()), filepath.Base(l.path(id, sum)), data); err != nil {
		return err
	}
	delete(l.wanted, sum)
	return nil
}

// Segment reads a segment that is kept.
func (l *Logs) Segment(id ident.Device, sum content.Digest) ([]byte, error) {
	data, err := os.ReadFile(l.path(id, sum))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("read a log: %w", err)
	}
	if sha256.Sum256(data) != sum {
		return nil, fmt.Errorf("%w: the file of segment %v has changed", ErrLog, sum)
	}
	return data, nil
}

// Whole reads all segments of a copy, in order.
func (l *Logs) Whole(id ident.Device, c LogCopy) (segments [][]byte, err error) {
	for _, s := range c.Segments {
		data, err := l.Segment(id, s.SHA256)
		if err != nil {
			return nil, err
		}
		segments = append(segments, data)
	}
	return segments, nil
}

func (l *Logs) path(id ident.Device, sum content.Digest) string {
	return filepath.Join(l.dir, id.String(), hex.EncodeToString(sum[:])+".seg")
}

// sweep removes the segments of a module that no copy has and nobody has offered.
func (l *Logs) sweep(id ident.Device) error {
	used := map[string]bool{}
	for _, c := range l.copies[id] {
		for _, s := range c.Segments {
			used[filepath.Base(l.path(id, s.SHA256))] = true
		}
	}
	entries, err := os.ReadDir(filepath.Join(l.dir, id.String()))
	if err != nil {
		return fmt.Errorf("sweep the logs: %w", err)
	}
	for _, e := range entries {
		if !used[e.Name()] && strings.HasSuffix(e.Name(), ".seg") {
			err = errors.Join(err, os.Remove(filepath.Join(l.dir, id.String(), e.Name())))
		}
	}
	return err
}
