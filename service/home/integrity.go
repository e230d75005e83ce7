package home

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
)

const integrityFile = "integrity.json"

// Limits of the integrity check. Source: local, docs/spec/library.md section 3.
const (
	maxRecords  = 40_000           // titles and films of which something is kept
	maxFaults   = 16               // of one title that are kept by name
	maxNamed    = 2 << 20          // bytes that the names of all faults take: with maxRecords the file stays below maxFile
	noteEvery   = 30 * time.Second // how much of a reading a crash may cost
	checkChunk  = 1 << 20          // bytes that are read at one time
	idleBetween = time.Minute      // between two looks for something to read, when all was read
	faultyEvery = 24 * time.Hour   // after which what has faults is read again
	awayEvery   = 10 * time.Minute // after which what was away is tried again
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

// Suspect is a title or own film with files that are not as they should be.
type Suspect struct {
	ID      ident.Content `json:"id"`
	Title   string        `json:"title"`
	Own     bool          `json:"own"`
	Faults  []Fault       `json:"faults"`
	Further int           `json:"further,omitempty"` // faults beside these
}

// CheckReport is how the films' files are: of the whole library, or of one film that was
// asked about, and then of no folders.
type CheckReport struct {
	Films    int       `json:"films"`    // titles and own films
	Read     int       `json:"read"`     // of these, read whole within Config.CheckEvery
	Oldest   time.Time `json:"oldest"`   // when the one was read that was read the longest ago; zero: one was never
	Away     []string  `json:"away"`     // folders of the library that are not there
	Unpacked []string  `json:"unpacked"` // folders of the library whose content.json cannot be read
	Suspects []Suspect `json:"suspects"`
}

// subject is something to be checked: a title or an own film.
type subject struct {
	id    ident.Content
	name  string
	title *Title // or
	film  *Film
}

// subjects are all titles and films of the library.
func (h *Home) subjects() []subject {
	var out []subject
	for _, t := range h.Titles() {
		out = append(out, subject{id: t.Content, name: t.Title, title: t})
	}
	for _, f := range h.Films() {
		out = append(out, subject{id: f.ID, name: f.Title, film: f})
	}
	return out
}

// Checked says what is known of the files of all films, and of the library's folders.
func (h *Home) Checked() CheckReport {
	out := h.checked(h.subjects())
	loaded := h.library.loaded()
	for _, path := range h.library.known() {
		switch {
		case loaded[path] != nil:
		case IsPacked(path):
			if t, err := readTitle(path); err != nil || h.library.title(t.Content) == nil { // else it is a second copy
				out.Unpacked = append(out.Unpacked, path)
			}
		default:
			out.Away = append(out.Away, path)
		}
	}
	for _, f := range h.Folders() {
		if f.Away {
			out.Away = append(out.Away, f.Folder)
		}
	}
	return out
}

// checked says what is known of some films' files.
func (h *Home) checked(of []subject) CheckReport {
	now := h.cfg.Now()
	out := CheckReport{Away: []string{}, Unpacked: []string{}, Suspects: []Suspect{}}
	oldest := now.UnixMilli()
	for _, s := range of {
		r := h.integrity.of(s.id)
		out.Films++
		oldest = min(oldest, r.ReadMS)
		if now.Sub(time.UnixMilli(r.ReadMS)) < h.cfg.CheckEvery {
			out.Read++
		}
		if r.faulty() {
			out.Suspects = append(out.Suspects, Suspect{s.id, s.name, s.film != nil, append([]Fault{}, r.Faults...), r.Further})
		}
	}
	if out.Films > 0 && oldest > 0 {
		out.Oldest = time.UnixMilli(oldest).UTC()
	}
	return out
}

// CheckOrder says what is checked now.
type CheckOrder struct {
	Content ident.Content `json:"content,omitempty"` // empty: everything
	Read    bool          `json:"read"`              // the bytes of all files, and not only their lengths
}

// Check checks now, as fast as it goes, and says what is known then of what it was
// asked about. Cut off, it has noted how far it came.
func (h *Home) Check(ctx context.Context, o CheckOrder) (CheckReport, error) {
	all := h.subjects()
	if o.Content != "" {
		all = slices.DeleteFunc(all, func(s subject) bool { return s.id != o.Content })
		if len(all) == 0 {
			return CheckReport{}, ErrUnknown
		}
	}
	for _, s := range all {
		var err error
		if o.Read {
			err = h.readSubject(ctx, s, pace{})
		} else {
			err = h.measure(s)
		}
		if errors.Is(err, errAway) {
			err = nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return CheckReport{}, errors.Join(err, h.integrity.flush(h.cfg.Now()))
		}
	}
	if o.Content != "" {
		return h.checked(all), h.integrity.flush(h.cfg.Now())
	}
	return h.Checked(), h.integrity.flush(h.cfg.Now())
}

// checkFilms reads what was not read for the longest time, slowly, one after the other,
// as long as the house runs.
func (h *Home) checkFilms(ctx context.Context) error {
	for {
		s, ok := h.due()
		var err error
		if ok {
			err = h.readSubject(ctx, s, pace{h.cfg.CheckRate})
		} else {
			err = h.integrity.flush(h.cfg.Now())
		}
		if ok && errors.Is(err, errAway) {
			h.integrity.putOff(s.id, h.cfg.Now())
			continue
		}
		if ok && err == nil {
			continue
		}
		if err != nil && ctx.Err() == nil {
			h.log.LogAttrs(ctx, slog.LevelWarn, "what films were read is not noted", slog.Any("error", err))
		}
		if err := pause(ctx, idleBetween); err != nil {
			return errors.Join(h.integrity.flush(h.cfg.Now()), err)
		}
	}
}

// due is what is read next: what a reading was cut off in, else what was read the
// longest ago, if that is long enough.
func (h *Home) due() (subject, bool) {
	all := h.subjects()
	has := map[ident.Content]bool{}
	for _, s := range all {
		has[s.id] = true
	}
	h.integrity.keep(has)
	at := func(s subject) int64 { // when it is read, Unix ms
		r := h.integrity.of(s.id)
		switch {
		case r.Next > 0:
			return -1
		case r.ReadMS > 0 && r.faulty():
			return r.ReadMS + min(faultyEvery, h.cfg.CheckEvery).Milliseconds()
		case r.ReadMS > 0:
			return r.ReadMS + h.cfg.CheckEvery.Milliseconds()
		}
		return 0
	}
	now := h.cfg.Now().UnixMilli()
	all = slices.DeleteFunc(all, func(s subject) bool { return h.integrity.notBefore(s.id) > now })
	if len(all) == 0 {
		return subject{}, false
	}
	s := slices.MinFunc(all, func(a, b subject) int { return cmp.Compare(at(a), at(b)) })
	return s, at(s) <= now
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
