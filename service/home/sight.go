package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/lares-drm/lares/content"
)

// sight is what lies in a watched folder.
type sight struct {
	away   bool
	packed map[string]stamp // folders, with the stamp of content.json
	files  map[string]stamp // that may be films
	places []string         // that were looked into
	dark   map[string]bool  // folders that show nothing, and may be disks that are off: empty, not to be read, or gone with their disk
	mounts []string         // folders on another disk than the one that they lie in
}

// hides reports whether what is known to lie at a path may be there unseen: the disk of
// an empty folder on the way to it may be off, and a mount point stays. Nobody who has
// taken out the last film of a folder misses it, so an empty folder is held to be a disk
// that is off.
func (s *sight) hides(root, path string) bool {
	for dir := path; ; dir = filepath.Dir(dir) {
		switch {
		case s.away, s.dark[dir]:
			return true
		case dir == root:
			return false
		}
	}
}

// depth is how many folders a path lies below a watched one.
func depth(root, path string) int {
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == "." {
		return 0
	}
	return strings.Count(rel, string(filepath.Separator)) + 1
}

// folderIn is a folder, and the disk of the one that it lies in.
type folderIn struct {
	path string
	disk uint64
}

// walk looks into a folder. Links are not followed, and what begins with a dot is
// somebody's who is not done.
func walk(root string) sight {
	s := sight{packed: map[string]stamp{}, files: map[string]stamp{}, dark: map[string]bool{}}
	level := []folderIn{{path: root}}
	for depth := 0; depth < levels && len(level) > 0; depth++ {
		var next []folderIn
		for _, in := range level {
			dir := in.path
			if len(s.places) == maxPlaces {
				s.dark[dir] = true
				continue
			}
			disk := s.diskOf(in, depth == 0)
			if info, err := os.Lstat(filepath.Join(dir, content.ManifestName)); err == nil && info.Mode().IsRegular() {
				s.packed[dir] = stampOf(info)
				continue
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				s.away, s.dark[dir] = s.away || dir == root, !errors.Is(err, fs.ErrNotExist)
				continue
			}
			s.dark[dir] = !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") })
			s.places = append(s.places, dir)
			for _, path := range s.take(dir, entries) {
				next = append(next, folderIn{path, disk})
			}
		}
		level = next
	}
	return s
}

// diskOf is the disk of a folder, and notes where another one begins. The first folder
// may be a link, and on any disk.
func (s *sight) diskOf(in folderIn, first bool) uint64 {
	info, err := os.Stat(in.path)
	if err != nil {
		return in.disk
	}
	disk := deviceOf(info)
	if !first && disk != in.disk {
		s.mounts = append(s.mounts, in.path)
	}
	return disk
}

// take notes the files of a folder and returns the folders in it.
func (s *sight) take(dir string, entries []fs.DirEntry) (next []string) {
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			next = append(next, path)
		case e.Type().IsRegular() && isFilm(e.Name()) && len(s.files) < maxFilms:
			if info, err := e.Info(); err == nil {
				s.files[path] = stampOf(info)
			}
		}
	}
	return next
}

// deviceOf is the number of the file system that a file lies on.
func deviceOf(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(st.Dev) //nolint:unconvert // of 32 bits on some systems, and only compared
}

// disks notes the mount points in watched folders. One that went together with its disk
// is told by that from a folder that was taken out: what lay in it is hidden, and not
// gone, as long as something is known to lie there.
func (l *lookout) disks() {
	l.f.mu.Lock()
	was := l.f.mounts
	l.f.mu.Unlock()
	var now []string
	for _, s := range l.sights {
		now = append(now, s.mounts...)
	}
	for _, path := range was {
		s, root, watched := l.sightOf(path)
		if !watched || slices.Contains(now, path) {
			continue
		}
		if isGone(path) {
			s.dark[path] = true
		}
		if s.hides(root, path) && l.h.knowsIn(path) {
			now = append(now, path)
		}
	}
	slices.Sort(now)
	now = slices.Compact(now)
	l.remounted = !slices.Equal(now, was)
	l.f.mu.Lock()
	l.f.mounts = now
	l.f.mu.Unlock()
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// off are the mount points in watched folders that went with their disks.
func (f *folders) off() []string {
	f.mu.Lock()
	mounts := slices.Clone(f.mounts)
	f.mu.Unlock()
	return slices.DeleteFunc(mounts, func(path string) bool { return !isGone(path) })
}
