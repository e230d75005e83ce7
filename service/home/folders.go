package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

const (
	filmsFile  = "films.json"
	mountsFile = "mounts.json" // of its own, so that an earlier build can read films.json
)

// Limits of watched folders. Source: local, docs/spec/library.md section 1.
const (
	maxRoots  = 64
	maxPlaces = 1 << 16 // folders in one that are looked into
	maxFilms  = 1 << 15 // own films of a house
	levels    = 3       // the folder, those in it, and those in them
)

// ErrFolders is returned when no more folders can be watched.
var ErrFolders = errors.New("home: too many folders are watched")

// stamp is what changes of a file when its bytes do.
type stamp struct{ bytes, modifiedNS int64 }

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UnixNano()} }

// folders are the folders that the house watches, and what was found there.
type folders struct {
	dir  string
	poke chan struct{} // to look, and to watch, anew

	looking sync.Mutex               // held while the folders are looked at; guards what follows
	seen    map[string]stamp         // content.json of packed folders, as they were read last
	twins   map[string]ident.Content // packed folders of titles that are in the library from elsewhere
	waits   map[string]waiting       // what has just changed
	bad     map[string]stamp         // files that are no film

	mu     sync.Mutex
	roots  []string         // guarded by mu; absolute
	films  map[string]*Film // guarded by mu; by path, also of disks that are away
	shown  []*Film          // guarded by mu; of films, those that are there, each once
	found  map[string]Found // guarded by mu; by root, at the last look
	places []string         // guarded by mu; what was looked into
	mounts []string         // guarded by mu; sorted: mount points in watched folders, also of disks that are away
	noted  []string         // guarded by mu; mounts as they stand in their file
}

// waiting is something that is not shown until it stays as it is.
type waiting struct {
	stamp
	since time.Time
}

type filmsState struct {
	Roots  []string `json:"roots"`
	Films  []*Film  `json:"films"`
	Mounts []string `json:"mounts,omitempty"` // where a build of November 2026 had them: read, and not written
}

type mountsState struct {
	Mounts []string `json:"mounts"`
}

// Found is what lies in a watched folder.
type Found struct {
	Folder string `json:"folder"`
	Titles int    `json:"titles"` // protected
	Films  int    `json:"films"`  // the household's own
	Waits  int    `json:"waits"`  // not all there yet
	Unread int    `json:"unread"` // files with a film's name that are none: protected, damaged
	Away   bool   `json:"away"`   // the folder is not there: its disk is off
}

// openFolders reads what is watched. When that cannot be read the house watches nothing,
// and the error is for its log: what was found stays in the library.
func openFolders(dir string) (*folders, error) {
	f := &folders{
		dir: dir, poke: make(chan struct{}, 1), seen: map[string]stamp{}, twins: map[string]ident.Content{}, waits: map[string]waiting{}, bad: map[string]stamp{},
		films: map[string]*Film{}, found: map[string]Found{},
	}
	var st filmsState
	if err := loadAdvisory(dir, filmsFile, &st); err != nil {
		return f, err
	}
	var on mountsState
	unread := loadAdvisory(dir, mountsFile, &on)
	if unread != nil {
		on = mountsState{}
	}
	f.roots, f.noted = st.Roots, on.Mounts
	f.mounts = slices.Compact(slices.Sorted(slices.Values(slices.Concat(on.Mounts, st.Mounts))))
	for _, r := range f.roots {
		f.found[r] = Found{Folder: r}
	}
	for _, x := range st.Films {
		if x != nil {
			f.films[x.Path] = x
		}
	}
	return f, unread
}

// save writes what is watched and known. The caller holds mu.
func (f *folders) save() error {
	if !slices.Equal(f.noted, f.mounts) { // before what lies there
		if err := save(f.dir, mountsFile, mountsState{f.mounts}); err != nil {
			return err
		}
		f.noted = slices.Clone(f.mounts)
	}
	st := filmsState{Roots: f.roots}
	for _, path := range slices.Sorted(maps.Keys(f.films)) {
		st.Films = append(st.Films, f.films[path])
	}
	return save(f.dir, filmsFile, st)
}

// goneIn are the highest folders in watched ones that are not there and in which some
// titles lay. Noted as mount points they are disks that are off, until they were seen.
func goneIn(roots, titles []string) (out []string) {
	for _, path := range titles {
		root, watched := innermost(slices.Values(roots), path)
		if !watched || path == root || !isGone(path) {
			continue
		}
		for dir := filepath.Dir(path); dir != root && isGone(dir); dir = filepath.Dir(dir) {
			path = dir
		}
		out = append(out, path)
	}
	return out
}

// below reports whether a path is a folder or lies in it.
func below(folder, path string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
}

// covers reports whether a folder is looked into when another one is watched.
func covers(root, folder string) bool { return below(root, folder) && depth(root, folder) < levels }

// innermost is the one of some watched folders that a path lies in: one may lie in
// another so deep that the outer one does not cover it.
func innermost(roots iter.Seq[string], path string) (root string, ok bool) {
	for r := range roots {
		if below(r, path) && len(r) >= len(root) {
			root, ok = r, true
		}
	}
	return root, ok
}

// rootOf is the watched folder that a path lies in.
func (f *folders) rootOf(path string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return innermost(slices.Values(f.roots), path)
}

// Watch has a folder watched from now on, durably: packed films and the household's own
// that lie in it, in the folders in it and in those in them, are in the library as long
// as they are there. It returns what is there now.
func (h *Home) Watch(ctx context.Context, folder string) (Found, error) {
	info, err := os.Stat(folder)
	if err != nil || !info.IsDir() || !filepath.IsAbs(folder) {
		return Found{}, fmt.Errorf("%w: it has to be an absolute path of a folder: %w", ErrFolder, errors.Join(err, os.ErrInvalid))
	}
	folder = filepath.Clean(folder)
	f := h.folders
	root, ok := f.rootOf(folder) // it may lie in one that is watched
	if !ok || !covers(root, folder) {
		root = folder
		if err := f.change(func(roots []string) []string {
			return append(slices.DeleteFunc(roots, func(r string) bool { return covers(folder, r) }), folder)
		}); err != nil {
			return Found{}, err
		}
	}
	h.Look(ctx)
	f.again()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found[root], nil
}

// Unwatch ends it: what lies in the folder is not in the library any more. The files
// stay where they are.
func (h *Home) Unwatch(ctx context.Context, folder string) error {
	if err := h.unwatch(folder); err != nil {
		return err
	}
	h.Look(ctx)
	h.folders.again()
	h.publish(Event{Kind: EventLibrary})
	return nil
}

// unwatch is Unwatch without the look after it. A look that runs ends before, so that it
// does not put in what is taken out.
func (h *Home) unwatch(folder string) error {
	f := h.folders
	f.looking.Lock()
	defer f.looking.Unlock()
	if !slices.Contains(f.watched(), folder) {
		return fmt.Errorf("watched folder: %w", ErrUnknown)
	}
	if err := f.change(func(roots []string) []string {
		return slices.DeleteFunc(roots, func(r string) bool { return r == folder })
	}); err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, p := range h.library.known() {
		if _, watched := f.rootOf(p); below(folder, p) && !watched {
			gone[p] = true
		}
	}
	return h.library.change(nil, gone, nil)
}

// change changes the list of watched folders.
func (f *folders) change(to func([]string) []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.roots
	if f.roots = to(slices.Clone(was)); len(f.roots) > maxRoots {
		f.roots = was
		return ErrFolders
	}
	if err := f.save(); err != nil {
		f.roots = was
		return err
	}
	for _, r := range f.roots {
		if _, known := f.found[r]; !known {
			f.found[r] = Found{Folder: r}
		}
	}
	return nil
}

// again has the folders looked at soon.
func (f *folders) again() {
	select {
	case f.poke <- struct{}{}:
	default: // it is about to
	}
}

// Folders lists what is watched, and what was found there at the last look.
func (h *Home) Folders() []Found {
	h.folders.mu.Lock()
	defer h.folders.mu.Unlock()
	out := make([]Found, 0, len(h.folders.roots))
	for _, r := range h.folders.roots {
		out = append(out, h.folders.found[r])
	}
	slices.SortFunc(out, func(a, b Found) int { return cmp.Compare(a.Folder, b.Folder) })
	return out
}

// Watched are the watched folders of a state folder whose house does not run, and which
// of them are not there.
func Watched(dir string) ([]Found, error) {
	var st filmsState
	if err := load(dir, filmsFile, &st); err != nil {
		return nil, err
	}
	out := []Found{}
	for _, r := range st.Roots {
		info, err := os.Stat(r)
		out = append(out, Found{Folder: r, Away: err != nil || !info.IsDir()})
	}
	return out, nil
}

// Look looks at all watched folders now, and has the library say what is there. It reports
// whether something is not all there yet, and whether it has changed since the last.
func (h *Home) Look(ctx context.Context) (waits, changing bool) {
	f := h.folders
	f.looking.Lock()
	defer f.looking.Unlock()
	if h.library.look(ctx) != nil {
		return false, false
	}
	l := &lookout{h: h, f: f, sights: map[string]sight{}, found: map[string]Found{}, still: map[string]bool{}}
	var places []string
	for _, r := range f.watched() {
		s := walk(r)
		s.away = s.away || s.dark[r] && h.knowsIn(r)
		l.sights[r], l.found[r] = s, Found{Folder: r, Away: s.away}
		places = append(places, s.places...)
	}
	l.disks()
	titles, err := l.titles()
	films, e2 := l.films(ctx)
	if err = errors.Join(err, e2); err != nil {
		h.log.LogAttrs(ctx, slog.LevelWarn, "what lies in watched folders is not noted", slog.Any("error", err))
	}
	maps.DeleteFunc(f.waits, func(path string, _ waiting) bool { return !l.still[path] })
	f.mu.Lock()
	f.found, f.places = l.found, places
	f.mu.Unlock()
	if titles {
		h.LearnCarried(ctx)
	}
	if titles || films {
		h.publish(Event{Kind: EventLibrary})
	}
	return len(f.waits) > 0, l.changing
}

// knowsIn reports whether something is known to lie in a watched folder.
func (h *Home) knowsIn(root string) bool {
	paths := h.library.known()
	h.folders.mu.Lock()
	paths = slices.AppendSeq(paths, maps.Keys(h.folders.films))
	h.folders.mu.Unlock()
	return slices.ContainsFunc(paths, func(path string) bool { return below(root, path) })
}

func (f *folders) watched() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.roots)
}
