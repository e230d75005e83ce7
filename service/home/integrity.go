package home

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
)

const integrityFile = "integrity.json"

// Limits of what is kept of the films' files. Source: local, docs/spec/library.md section 3.
const (
	maxRecords = 40_000           // titles and films of which something is kept
	maxFaults  = 16               // of one title that are kept by name
	maxNamed   = 2 << 20          // bytes that the names of all faults take: with maxRecords the file stays below maxFile
	noteEvery  = 30 * time.Second // how much of a reading a crash may cost
	awayEvery  = 10 * time.Minute // after which what was away is tried again
)

// FaultKind says what is wrong with a file.
type FaultKind string

// The kinds.
const (
	FaultMissing    FaultKind = "missing"    // it is not there, or of another length
	FaultDamaged    FaultKind = "damaged"    // it has not the bytes that it should have
	FaultUnreadable FaultKind = "unreadable" // it may not be read, or its disk fails
)

// Fault is a file that is not as it should be.
type Fault struct {
	File string    `json:"file"` // of a packed film: in its folder; of an own one: its path
	Kind FaultKind `json:"kind"`
}

// record is what is known of the files of one title or own film.
type record struct {
	At      stampRecord    `json:"at"`                // of content.json, or of an own film: as it was when Sum was taken
	Sum     content.Digest `json:"sum"`               // likewise: SHA-256
	ReadMS  int64          `json:"read_ms,omitempty"` // when all was read last, Unix ms
	Next    int64          `json:"next,omitempty"`    // of a reading that is not done: the file, or the byte of an own film, that comes next
	Hash    []byte         `json:"hash,omitempty"`    // likewise: of an own film's bytes before Next
	Faults  []Fault        `json:"faults,omitempty"`
	Further int            `json:"further,omitempty"` // faults that are not kept by name
}

type stampRecord struct {
	Bytes      int64 `json:"bytes"`
	ModifiedNS int64 `json:"modified_ns"`
}

// fault adds a fault, once for each file.
func (r *record) fault(file string, kind FaultKind) {
	if slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.File == file }) {
		return
	}
	if len(r.Faults) == maxFaults {
		r.Further++
		return
	}
	r.Faults = append(r.Faults, Fault{file, kind})
}

// faulty reports whether something is wrong.
func (r record) faulty() bool { return len(r.Faults)+r.Further > 0 }

// named is what the record's faults take in the state file, in bytes, about.
func (r record) named() (n int) {
	const around = 80 // the braces, keys and kind
	for _, f := range r.Faults {
		n += len(f.File) + around
	}
	return n
}

// errAway is returned when a film leaves, or is written, while it is read: it is seen
// anew by the next look at the folders.
var errAway = errors.New("home: the film is away now")

// kindOf is what an error of opening or reading says of a file.
func kindOf(err error) FaultKind {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errTooLarge) {
		return FaultMissing
	}
	return FaultUnreadable
}

// integrity is what the house knows of its films' files.
type integrity struct {
	dir string

	mu      sync.Mutex
	records map[ident.Content]record // guarded by mu
	named   int                      // guarded by mu: what the records' faults take, in bytes
	saved   time.Time                // guarded by mu
	dirty   bool                     // guarded by mu
	later   map[ident.Content]int64  // guarded by mu: what was away when it was to be read, and is not tried before, Unix ms
}

type integrityState struct {
	Records map[ident.Content]record `json:"records"`
}

// openIntegrity reads what is known. When that cannot be read the house begins anew with
// nothing, and the error is for its log: films play without it.
func openIntegrity(dir string) (*integrity, error) {
	i := &integrity{dir: dir, records: map[ident.Content]record{}, later: map[ident.Content]int64{}}
	var st integrityState
	if err := loadAdvisory(dir, integrityFile, &st); err != nil {
		return i, err
	}
	for id, r := range st.Records {
		i.put(id, r)
	}
	return i, nil
}

// put keeps a record, and as many of its faults by name as there is room for. The
// caller holds mu, or is the only one.
func (i *integrity) put(id ident.Content, r record) {
	i.named -= i.records[id].named()
	for len(r.Faults) > 0 && i.named+r.named() > maxNamed {
		r.Faults = r.Faults[:len(r.Faults)-1]
		r.Further++
	}
	i.named += r.named()
	i.records[id] = r
}

// of is what is known of a title, for its reader to go on with.
func (i *integrity) of(id ident.Content) record {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.records[id]
	r.Faults = slices.Clone(r.Faults)
	return r
}

// putOff has a title passed over for a while, so that others are read.
func (i *integrity) putOff(id ident.Content, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.later[id] = now.Add(awayEvery).UnixMilli()
}

// notBefore is when a title is to be read at the earliest, Unix ms.
func (i *integrity) notBefore(id ident.Content) int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.later[id]
}

// note keeps a record, on disk at the latest with the next call of flush.
func (i *integrity) note(id ident.Content, r record, now time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.put(id, r)
	i.dirty = true
	if now.Sub(i.saved) < noteEvery && now.After(i.saved) {
		return nil
	}
	return i.write(now)
}

func (i *integrity) flush(now time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.dirty {
		return nil
	}
	return i.write(now)
}

// write writes all records. The caller holds mu.
func (i *integrity) write(now time.Time) error {
	if err := save(i.dir, integrityFile, integrityState{i.records}); err != nil {
		return err
	}
	i.saved, i.dirty = now, false
	return nil
}

// keep forgets what is of no title of the library, when there is too much of it: of
// those that are away something is worth to be known.
func (i *integrity) keep(has map[ident.Content]bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.records) > maxRecords {
		maps.DeleteFunc(i.records, func(id ident.Content, r record) bool {
			if !has[id] {
				i.named -= r.named()
			}
			return !has[id]
		})
	}
}
