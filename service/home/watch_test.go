package home

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestLibrary_1_WhereTheSystemDoesNotTell: as many inotify instances as there may be are
// used, and the folders are looked at now and then.
func TestLibrary_1_WhereTheSystemDoesNotTell(t *testing.T) {
	root, data := t.TempDir(), demoFilm(t)
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{Dir: t.TempDir(), Module: hometest.New(t, nil), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Watch(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		refused := func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }
		go func() { done <- h.watchFolders(ctx, refused) }()
		synctest.Wait()
		path := filepath.Join(root, "film.mp4")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Now() // of the bubble
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
		time.Sleep(h.cfg.Rescan - time.Second)
		if n := len(h.Films()); n != 0 {
			t.Errorf("%d films before it was looked", n)
		}
		time.Sleep(time.Second + h.cfg.Settle)
		synctest.Wait()
		if n := len(h.Films()); n != 1 {
			t.Errorf("%d films a minute later", n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func demoFilm(t *testing.T) []byte {
	t.Helper()
	data, err := film.Files.ReadFile(film.SD)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestLibrary_1_WhatWaitsIsLookedAtLessAndLess: a copy that does not go on costs little.
func TestLibrary_1_WhatWaitsIsLookedAtLessAndLess(t *testing.T) {
	h := &Home{cfg: Config{Settle: 3 * time.Second, Rescan: time.Minute}}
	patience := h.cfg.Settle
	for i, want := range []int{3, 6, 12, 24, 48, 60, 60} {
		var due time.Duration
		if due, patience = h.nextLook(true, true, false, patience); due != time.Duration(want)*time.Second {
			t.Errorf("look %d after %v, want %d s", i, due, want)
		}
	}
	for _, tc := range []struct {
		waits, all, fresh bool
		want              time.Duration
	}{{false, true, false, lookAnyway}, {false, false, false, time.Minute}, {false, true, true, afterChange}} {
		if due, _ := h.nextLook(tc.waits, tc.all, tc.fresh, time.Second); due != tc.want {
			t.Errorf("%+v: after %v", tc, due)
		}
	}
}

// TestLibrary_1_AFileThatCannotBeReadIsTriedAgain: a disk that fails, or too many open
// files, say nothing of the file.
func TestLibrary_1_AFileThatCannotBeReadIsTriedAgain(t *testing.T) {
	h, err := New(Config{Dir: t.TempDir(), Module: hometest.New(t, nil), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	path := "/films/x.mp4"
	for _, tc := range []struct {
		err        error
		bad, waits bool
	}{
		{&fs.PathError{Op: "read", Path: path, Err: syscall.EIO}, false, true},
		{fmt.Errorf("read a film: %w", &fs.PathError{Op: "open", Path: path, Err: syscall.EMFILE}), false, true},
		{&fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}, false, false},
		{errNoFilm, true, false},
		{fmt.Errorf("read a film: %w", content.ErrMalformed), true, false},
	} {
		l := &lookout{h: h, f: h.folders, found: map[string]Found{}, still: map[string]bool{path: true}}
		clear(h.folders.bad)
		l.refused(path, stamp{1, 1}, tc.err)
		if _, bad := h.folders.bad[path]; bad != tc.bad || l.still[path] != tc.waits {
			t.Errorf("%v: no film: %v, waits: %v", tc.err, bad, l.still[path])
		}
	}
	l := &lookout{h: h, f: h.folders, found: map[string]Found{}, still: map[string]bool{}}
	root := t.TempDir()
	path = filepath.Join(root, "left.mp4")
	took := l.film(root, path, stamp{1, 1}, map[string]*Film{})
	if _, bad := h.folders.bad[path]; took || bad {
		t.Errorf("a file that cannot be opened: taken %v, no film for ever %v", took, bad)
	}
}
