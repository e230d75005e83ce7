package home

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license/ident"
)

// lookout is one look at all watched folders. It is done by who holds looking.
type lookout struct {
	h      *Home
	f      *folders
	sights map[string]sight // by root
	found  map[string]Found // by root
	still  map[string]bool  // what waits, and is there

	remounted bool // other mount points are known than were before
	changing  bool // something that waits is not as it was at the last look
}

// sightOf is what was seen of the watched folder that a path lies in.
func (l *lookout) sightOf(path string) (s sight, root string, ok bool) {
	root, ok = innermost(maps.Keys(l.sights), path)
	return l.sights[root], root, ok
}

// settled waits for a file, and reports whether it has stayed as it is for a while: it
// was not changed lately, or not since it was first seen so.
func (l *lookout) settled(path string, at stamp) bool {
	now, settle := l.h.cfg.Now(), l.h.cfg.Settle
	l.still[path] = true
	w, ok := l.f.waits[path]
	if !ok || w.stamp != at {
		l.f.waits[path], l.changing = waiting{at, now}, true
		return now.Sub(time.Unix(0, at.modifiedNS)) >= settle
	}
	return now.Sub(w.since) >= settle
}

// taken says that nothing is waited for any more.
func (l *lookout) taken(path string) { delete(l.still, path) }

func (l *lookout) tell(root string, change func(*Found)) {
	x := l.found[root]
	change(&x)
	l.found[root] = x
}

// titles brings the packed folders of the library up to date.
func (l *lookout) titles() (changed bool, err error) {
	library := l.h.library
	loaded, known := library.loaded(), library.known()
	at := map[ident.Content]string{} // where the titles are that stay
	gone, hide := map[string]bool{}, map[string]bool{}
	var back []string // what came back, or was packed anew
	for _, path := range known {
		now, there, left := l.packed(path)
		was := loaded[path]
		switch {
		case left:
			gone[path] = true
		case !there && was != nil:
			hide[path] = true
		case there && was != nil && (l.f.seen[path] == now || l.f.seen[path] == stamp{}):
			l.f.seen[path], at[was.Content] = now, path
		case there:
			back = append(back, path)
		}
		if !there {
			delete(l.f.seen, path)
		}
	}
	add := l.back(back, loaded, at, hide)
	add = append(add, l.newTitles(known, at)...)
	if changed = len(add)+len(gone)+len(hide) > 0; changed {
		err = library.change(add, gone, hide)
	}
	for path := range library.loaded() {
		if _, root, ok := l.sightOf(path); ok {
			l.tell(root, func(x *Found) { x.Titles++ })
		}
	}
	return changed, err
}

// packed says whether a packed folder of the library is there, and whether it has left:
// its place is there without it. Of one in no watched folder, or deeper in one than is
// looked, nobody knows whether it is gone or its disk is off.
func (l *lookout) packed(path string) (at stamp, there, left bool) {
	s, root, watched := l.sightOf(path)
	if at, there = s.packed[path]; there {
		return at, true, false
	}
	info, err := os.Lstat(filepath.Join(path, content.ManifestName)) // it may lie deeper than is looked
	if err == nil {
		return stampOf(info), true, false
	}
	seen := watched && depth(root, path) < levels && !s.hides(root, path)
	return stamp{}, false, seen && errors.Is(err, fs.ErrNotExist)
}

// changed reads a folder of the library that came back, or was packed anew: then it is
// taken when it is whole, and shown as it was until then.
func (l *lookout) changed(path string, now stamp, was *Title) *Title {
	t, err := readTitle(path)
	if err != nil || was != nil && !t.whole() {
		l.settled(path, now)
		return nil
	}
	l.f.seen[path] = now
	return t
}

// back reads folders of the library that came back, or were packed anew, when it is
// known what stayed: of a title that is there from elsewhere none is taken.
func (l *lookout) back(paths []string, loaded map[string]*Title, at map[ident.Content]string, hide map[string]bool) (add []*Title) {
	for _, path := range paths {
		now, there, _ := l.packed(path)
		if !there || l.twin(path, now, at) {
			continue
		}
		delete(l.f.twins, path)
		was := loaded[path]
		t := cmp.Or(l.changed(path, now, was), was)
		switch {
		case t == nil:
		case at[t.Content] != "":
			l.f.twins[path] = t.Content
			if was != nil {
				hide[path] = true
			}
		default:
			if at[t.Content] = path; t != was {
				add = append(add, t)
			}
		}
	}
	return add
}

// twin reports whether a packed folder is known to be of a title that another one stays
// for.
func (l *lookout) twin(path string, now stamp, at map[ident.Content]string) bool {
	id, twin := l.f.twins[path]
	return twin && l.f.seen[path] == now && at[id] != ""
}

// newTitles are the packed folders that are not in the library yet, whole. Of two
// folders with one title the first is taken.
func (l *lookout) newTitles(known []string, at map[ident.Content]string) (add []*Title) {
	have := map[string]bool{}
	for _, p := range known {
		have[p] = true
	}
	for _, root := range slices.Sorted(maps.Keys(l.sights)) {
		s := l.sights[root]
		for _, path := range slices.Sorted(maps.Keys(s.packed)) {
			now := s.packed[path]
			if have[path] || l.twin(path, now, at) {
				continue
			}
			delete(l.f.twins, path)
			t, err := readTitle(path)
			if err != nil || !t.whole() {
				l.settled(path, now)
				l.tell(root, func(x *Found) { x.Waits++ })
				continue
			}
			l.f.seen[path] = now
			if at[t.Content] != "" {
				l.f.twins[path] = t.Content
				continue
			}
			at[t.Content] = path
			add = append(add, t)
		}
	}
	return add
}

// whole reports whether all files that content.json lists are there in their length:
// of a folder that is being copied, content.json may come before the rest.
func (t *Title) whole() bool {
	for f := range t.Listed() {
		info, err := os.Stat(filepath.Join(t.folder, filepath.FromSlash(f.Name)))
		if err != nil || info.Size() != f.Bytes {
			return false
		}
	}
	return true
}

// films brings the household's own films up to date.
func (l *lookout) films(ctx context.Context) (changed bool, err error) {
	l.f.mu.Lock()
	known := maps.Clone(l.f.films)
	l.f.mu.Unlock()
	before := len(known)
	maps.DeleteFunc(known, func(path string, f *Film) bool {
		s, root, ok := l.sightOf(path)
		return !ok || s.files[path] != f.stamp() && !s.hides(root, path)
	})
	noted := l.remounted || len(known) != before
	maps.DeleteFunc(l.f.bad, func(path string, at stamp) bool {
		s, _, ok := l.sightOf(path)
		return !ok || s.files[path] != at
	})
	for _, root := range slices.Sorted(maps.Keys(l.sights)) {
		s := l.sights[root]
		for _, path := range slices.Sorted(maps.Keys(s.files)) {
			if ctx.Err() != nil || len(known) >= maxFilms {
				break
			}
			if known[path] == nil && l.film(root, path, s.files[path], known) {
				noted = true
			}
		}
	}
	return l.show(known, noted)
}

// film reads a file that is not known, once it has settled.
func (l *lookout) film(root, path string, at stamp, known map[string]*Film) bool {
	_, bad := l.f.bad[path]
	switch {
	case bad:
	case !l.settled(path, at):
		l.tell(root, func(x *Found) { x.Waits++ })
		return false
	default:
		f, err := readFilm(root, path)
		if err == nil && f.stamp() == at {
			l.taken(path)
			known[path] = f
			return true
		}
		l.refused(path, at, err)
	}
	l.tell(root, func(x *Found) { x.Unread++ })
	return false
}

// refused notes that a file is no film, unless it could not be read: a disk or the system
// that fails now is tried again soon, and a file that the house may not read with the
// next look, to which a change of its rights leads.
func (l *lookout) refused(path string, at stamp, err error) {
	if _, unread := errors.AsType[*fs.PathError](err); !unread {
		l.f.bad[path] = at
	} else if !errors.Is(err, fs.ErrPermission) {
		return // it waits on
	}
	l.taken(path)
}

// show makes films the household's, and reports whether the pages are others now.
func (l *lookout) show(known map[string]*Film, noted bool) (changed bool, err error) {
	var shown []*Film
	once := map[ident.Content]bool{}
	for _, path := range slices.Sorted(maps.Keys(known)) {
		f := known[path]
		s, root, _ := l.sightOf(path)
		if _, there := s.files[path]; there && !once[f.ID] {
			once[f.ID] = true
			shown = append(shown, f)
			l.tell(root, func(x *Found) { x.Films++ })
		}
	}
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	changed = !slices.EqualFunc(shown, l.f.shown, func(a, b *Film) bool { return *a == *b })
	l.f.films, l.f.shown = known, shown
	if noted {
		err = l.f.save()
	}
	return changed, err
}

// known lists the folders of the library, in their order.
func (l *library) known() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.paths)
}

// loaded are the titles of the folders that could be read, by folder.
func (l *library) loaded() map[string]*Title {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]*Title, len(l.titles))
	for _, t := range l.titles {
		out[t.folder] = t
	}
	return out
}

// change puts titles in, takes folders out that are gone, and hides those that may
// come back, in one durable step.
func (l *library) change(add []*Title, gone, hide map[string]bool) error {
	l.whole()
	l.mu.Lock()
	defer l.mu.Unlock()
	paths := slices.DeleteFunc(slices.Clone(l.paths), func(p string) bool { return gone[p] })
	fresh, listed := map[string]bool{}, map[string]bool{}
	for _, p := range paths {
		listed[p] = true
	}
	for _, t := range add {
		if fresh[t.folder] = true; !listed[t.folder] {
			paths = append(paths, t.folder)
		}
		delete(l.carried, t.folder) // it may have come again with a newer state
	}
	titles := slices.DeleteFunc(slices.Clone(l.titles), func(t *Title) bool { return gone[t.folder] || hide[t.folder] || fresh[t.folder] })
	if !slices.Equal(paths, l.paths) {
		if err := save(l.dir, libraryFile, libraryState{Folders: paths}); err != nil {
			return err
		}
	}
	l.paths, l.titles = paths, append(titles, add...)
	return nil
}
