package home

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// When watched folders are looked at. Source: local, docs/spec/library.md section 1.
const (
	afterChange = 500 * time.Millisecond // of names in a folder: what comes together is looked at together
	afterWrite  = 3                      // of a file that was there: so often Config.Settle
	lookAnyway  = 15 * time.Minute       // where the system tells: a disk in the network has other writers
)

// notifier is told by the system what changes in folders.
type notifier struct {
	w *fsnotify.Watcher // nil: the system does not tell
}

// watch has the system tell of changes in places, which are sorted, and in no others. It reports whether
// it does of all, and whether some are new.
func (n notifier) watch(places []string) (all, fresh bool) {
	if n.w == nil {
		return false, false
	}
	had := map[string]bool{}
	for _, p := range n.w.WatchList() {
		had[p] = true
		if _, wanted := slices.BinarySearch(places, p); !wanted {
			_ = n.w.Remove(p) // it may be gone
		}
	}
	all = true
	for _, p := range places {
		if had[p] {
			continue
		}
		if err := n.w.Add(p); err != nil {
			all = false
			continue
		}
		fresh = true
	}
	return all, fresh
}

// news is what the system told since it was asked for last.
type news struct {
	names, writes bool  // in folders, of files that were there
	lost          error // some changes were not told
}

// changes are what the system tells, until ctx ends; nothing where it does not. They are
// taken from the library apart from watch: it holds its lock while it says that a folder
// that was moved away cannot be let go, and watch waits for that lock.
func (n notifier) changes(ctx context.Context) <-chan news {
	if n.w == nil {
		return nil
	}
	told := make(chan news)
	go func() {
		var now news
		for {
			var to chan news
			if now.names || now.writes || now.lost != nil {
				to = told
			}
			select {
			case <-ctx.Done():
				return
			case e, open := <-n.w.Events:
				if !open {
					return
				}
				if e.Op&^(fsnotify.Write|fsnotify.Chmod) == 0 {
					now.writes = true
				} else {
					now.names = true
				}
			case err, open := <-n.w.Errors:
				if !open {
					return
				}
				now.lost = err
			case to <- now:
				now = news{}
			}
		}
	}()
	return told
}

// watchFolders looks at the watched folders when the system tells of a change there,
// while something waits, and every now and then: seldom where the system tells, at
// Config.Rescan where it refuses to (inotify watches are counted, and there are file
// systems without).
func (h *Home) watchFolders(ctx context.Context, open func() (*fsnotify.Watcher, error)) error {
	w, err := open()
	n := notifier{w}
	if err != nil {
		n.w = nil
		h.log.LogAttrs(ctx, slog.LevelWarn, "the system does not tell what changes in watched folders: they are looked at now and then", slog.Any("error", err))
	} else {
		defer w.Close() //nolint:errcheck // nothing is written
	}
	changes := n.changes(ctx)
	told, patience := true, h.cfg.Settle
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due time.Duration // after which the timer was set to ring
	sooner := func(d time.Duration) {
		if d < due {
			due = d
			timer.Reset(d)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-changes:
			if c.lost != nil {
				h.log.LogAttrs(ctx, slog.LevelWarn, "changes in watched folders were not told", slog.Any("error", c.lost))
			}
			if c.writes {
				sooner(afterWrite * h.cfg.Settle)
			}
			if c.names || c.lost != nil {
				sooner(afterChange)
			}
			continue
		case <-h.folders.poke:
		case <-timer.C:
		}
		waits, changing := h.Look(ctx)
		all, fresh := n.watch(h.placesToWatch())
		if n.w != nil && told && !all {
			h.log.LogAttrs(ctx, slog.LevelWarn, "the system does not tell of all watched folders: they are looked at now and then")
		}
		told = all
		if changing {
			patience = h.cfg.Settle
		}
		due, patience = h.nextLook(waits, all, fresh, patience)
		timer.Reset(due)
	}
}

// nextLook says when the folders are looked at next, and how patient to be with what
// waits: the longer it does, the more.
func (h *Home) nextLook(waits, all, fresh bool, patience time.Duration) (due, next time.Duration) {
	due, next = h.cfg.Rescan, h.cfg.Settle
	if all {
		due = lookAnyway
	}
	if waits {
		due, next = min(due, patience), min(2*patience, h.cfg.Rescan)
	}
	if fresh { // it may have changed before the system told
		due = min(due, afterChange)
	}
	return due, next
}

// placesToWatch are the folders that were looked into, and the packed folders that are
// in no watched one.
func (h *Home) placesToWatch() []string {
	f := h.folders
	f.mu.Lock()
	out := slices.Clone(f.places)
	f.mu.Unlock()
	for path := range h.library.loaded() {
		if _, in := f.rootOf(path); !in {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
