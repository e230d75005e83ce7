package home_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// watching is a house that runs, with a folder that it watches.
type watching struct {
	*testing.T
	h      *home.Home
	dir    string // of the house
	root   string
	events <-chan home.Event
}

func watch(t *testing.T) *watching {
	t.Helper()
	w := &watching{T: t, dir: t.TempDir(), root: t.TempDir()}
	h, err := home.New(home.Config{Dir: w.dir, Module: hometest.New(t, nil), Now: time.Now, Settle: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w.h = h
	events, cancel, err := h.Subscribe("")
	if err != nil {
		t.Fatal(err)
	}
	w.events = events
	if got, err := h.Watch(t.Context(), w.root); err != nil || got != (home.Found{Folder: w.root}) {
		t.Fatalf("an empty folder: %+v, %v", got, err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(t.Context()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// wants waits for an event after which the library is as it should be, and says what it
// is else. Events are all that tells: nothing is asked in between.
func (w *watching) wants(what string, titles, films []string) {
	w.Helper()
	end := time.After(10 * time.Second)
	for {
		var diff string
		if diff = cmp.Diff(titles, names(w.h.Titles(), func(t *home.Title) string { return t.Title })) + cmp.Diff(films, names(w.h.Films(), func(f *home.Film) string { return f.Title })); diff == "" {
			return
		}
		select {
		case <-w.events:
		case <-end:
			w.Fatalf("%s: the pages are not told (-want +got):\n%s", what, diff)
		}
	}
}

// still says that nothing appears for a while.
func (w *watching) still(what string) {
	w.Helper()
	titles, films := w.h.Titles(), w.h.Films()
	for end := time.After(900 * time.Millisecond); ; { // longer than Settle and what a change waits for
		select {
		case <-w.events:
			if got := w.h.Titles(); !slices.Equal(got, titles) || len(w.h.Films()) != len(films) {
				w.Fatalf("%s: it is shown", what)
			}
		case <-end:
			return
		}
	}
}

func names[T any](list []T, name func(T) string) []string {
	var out []string
	for _, x := range list {
		out = append(out, name(x))
	}
	return out
}

func (w *watching) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func demo(t testing.TB, name string) []byte {
	t.Helper()
	data, err := film.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestLibrary_1_OwnFilmsComeAndGo: a film is put in by a slow copy, gets another name and
// place, and is taken out; the pages are told each time, and see no half of it.
func TestLibrary_1_OwnFilmsComeAndGo(t *testing.T) {
	w := watch(t)
	data, path := demo(t, film.SD), filepath.Join(w.root, "Metropolis.mp4")
	f, err := os.Create(path)
	w.must(err)
	_, err = f.Write(data[:len(data)/2])
	w.must(err)
	w.still("half a copy")
	if got := w.h.Folders(); len(got) != 1 || got[0].Waits+got[0].Unread != 1 {
		t.Errorf("the folder: %+v", got)
	}
	_, err = f.Write(data[len(data)/2:])
	w.must(err)
	w.must(f.Close())
	w.wants("the whole copy", nil, []string{"Metropolis"})
	id := w.h.Films()[0].ID

	below := filepath.Join(w.root, "Silent films", "Lang")
	w.must(os.MkdirAll(below, 0o700))
	w.must(os.Rename(path, filepath.Join(below, "M.mp4")))
	w.wants("moved", nil, []string{"M"})
	if got := w.h.Films()[0].ID; got != id {
		t.Errorf("moved, it is %v, was %v", got, id)
	}
	_, in, err := w.h.OpenFilm(id)
	w.must(err)
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	w.must(in.Close())
	w.must(os.RemoveAll(below))
	w.wants("taken out", nil, nil)
	if _, _, err := w.h.OpenFilm(id); err == nil {
		t.Error("it can still be opened")
	}
}

// copyTo copies a packed folder, but for the named file.
func copyTo(t testing.TB, from, to, but string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		switch {
		case err != nil || rel == but:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLibrary_1_PackedFilmsComeAndGo: content.json comes first, and the last segment
// last; the folder is moved within the library, and out of it.
func TestLibrary_1_PackedFilmsComeAndGo(t *testing.T) {
	w := watch(t)
	folder, m, _ := hometest.Pack(t, cenc.SchemeCENC)
	last := m.Tracks[0].Segments[len(m.Tracks[0].Segments)-1].Name
	to := filepath.Join(w.root, "demo")
	copyTo(t, folder, to, last)
	w.still("a folder that lacks a segment")
	data, err := os.ReadFile(filepath.Join(folder, last))
	w.must(err)
	w.must(os.WriteFile(filepath.Join(to, last), data[:len(data)-1], 0o600))
	w.still("a folder whose last segment is short")
	w.must(os.WriteFile(filepath.Join(to, last), data, 0o600))
	w.wants("a whole folder", []string{film.Title}, nil)

	w.must(os.Rename(to, filepath.Join(w.root, "elsewhere")))
	w.wants("moved", []string{film.Title}, nil)
	title, err := w.h.Title(m.Content)
	w.must(err)
	for range 100 { // until the look that sees the move
		if in, err := title.Open(last); err == nil {
			w.must(in.Close())
			break
		}
		time.Sleep(50 * time.Millisecond)
		title, err = w.h.Title(m.Content)
		w.must(err)
	}
	if in, err := title.Open(last); err != nil {
		t.Errorf("moved, it cannot be opened: %v", err)
	} else {
		w.must(in.Close())
	}
	copyTo(t, folder, filepath.Join(w.root, "twin"), "")
	w.still("a second copy of a title")
	w.must(os.RemoveAll(filepath.Join(w.root, "elsewhere")))
	w.wants("the first copy was taken out", []string{film.Title}, nil)
	w.must(os.RemoveAll(filepath.Join(w.root, "twin")))
	w.wants("both were", nil, nil)
}

// TestLibrary_1_WhatIsNotShown: links, hidden files, protected files, text, and what lies
// too deep.
func TestLibrary_1_WhatIsNotShown(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	put := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	packed, _, _ := hometest.Pack(t, cenc.SchemeCBCS)
	put("one.mp4", demo(t, film.SD))
	put("a copy.mp4", demo(t, film.SD))
	put("a/b/two.M4V", demo(t, film.HD))
	put("a/b/c/deep.mp4", demo(t, film.UHD))
	put(".part/hidden.mp4", demo(t, film.UHD))
	put(".hidden.mp4", demo(t, film.UHD))
	put("notes.mp4", []byte("not a film"))
	put("cut.mp4", demo(t, film.HD)[:100_000])
	put("film.txt", demo(t, film.UHD))
	protected, err := os.ReadFile(filepath.Join("..", "..", "content", "testdata", "golden", "shaka-cenc-video.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	put("protected.mp4", protected)
	if err := os.WriteFile(filepath.Join(outside, "secret.mp4"), demo(t, film.UHD), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link.mp4": filepath.Join(outside, "secret.mp4"), "linked": outside, "packed-link": packed} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	dir, m := t.TempDir(), hometest.New(t, nil)
	h, err := home.New(home.Config{Dir: dir, Module: m, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	want := home.Found{Folder: root, Films: 2, Unread: 3} // what is older than Settle is read at once
	if got, err := h.Watch(t.Context(), root); err != nil || got != want {
		t.Errorf("found %+v, %v, want %+v", got, err, want)
	}
	if got := names(h.Films(), func(f *home.Film) string { return f.Title }); !slices.Equal(got, []string{"a copy", "two"}) {
		t.Errorf("films: %q", got)
	}
	if got, err := h.Watch(t.Context(), filepath.Join(root, "a")); err != nil || got != want || len(h.Folders()) != 1 {
		t.Errorf("a folder in a watched one: %+v, %v, %+v", got, err, h.Folders())
	}
	for _, bad := range []string{"", "a", filepath.Join(root, "nothing"), filepath.Join(root, "one.mp4")} {
		if _, err := h.Watch(t.Context(), bad); err == nil {
			t.Errorf("%q is watched", bad)
		}
	}

	id := h.Films()[0].ID // a file becomes a link after it was read
	if err := os.Remove(filepath.Join(root, "a copy.mp4")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret.mp4"), filepath.Join(root, "a copy.mp4")); err != nil {
		t.Fatal(err)
	}
	if _, f, err := h.OpenFilm(id); err == nil {
		_ = f.Close()
		t.Error("a link leads out of the folder")
	}
}

// TestLibrary_1_DisksThatAreAway: what lies on a disk that is off is not shown, is not
// forgotten, and is there again with the disk; restarts change nothing.
func TestLibrary_1_DisksThatAreAway(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	folder, m, _ := hometest.Pack(t, cenc.SchemeCENC)
	copyTo(t, folder, filepath.Join(disk, "packed"), "")
	if err := os.WriteFile(filepath.Join(disk, "own.mp4"), demo(t, film.SD), 0o600); err != nil {
		t.Fatal(err)
	}
	dir, c, module := t.TempDir(), newClock(), hometest.New(t, nil)
	c.now = time.Now().Add(time.Hour) // so that the files are old
	h := open(t, dir, module, c)
	if got, err := h.Watch(t.Context(), disk); err != nil || got.Titles != 1 || got.Films != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	off := disk + " off"
	for _, step := range []struct {
		from, to  string
		shown     int
		restarted bool
	}{{disk, off, 0, false}, {off, disk, 1, false}, {disk, off, 0, true}, {off, disk, 1, true}} {
		if err := os.Rename(step.from, step.to); err != nil {
			t.Fatal(err)
		}
		if step.restarted {
			h = open(t, dir, module, c)
		}
		h.Look(t.Context())
		if len(h.Titles()) != step.shown || len(h.Films()) != step.shown || h.Folders()[0].Away != (step.shown == 0) {
			t.Errorf("%+v: %d titles, %d films, %+v", step, len(h.Titles()), len(h.Films()), h.Folders())
		}
	}
	if err := h.Unwatch(t.Context(), disk); err != nil || len(h.Titles())+len(h.Films())+len(h.Folders()) != 0 {
		t.Errorf("not watched any more: %v, %v %v", err, h.Titles(), h.Films())
	}
	if err := h.Unwatch(t.Context(), disk); err == nil {
		t.Error("it is not watched twice")
	}
	if _, err := h.Add(filepath.Join(disk, "packed")); err != nil { // by hand, in no watched folder
		t.Fatal(err)
	}
	if err := os.Rename(disk, off); err != nil {
		t.Fatal(err)
	}
	if h.Look(t.Context()); len(h.Titles()) != 0 {
		t.Error("a folder that is away is shown")
	}
	if err := os.Rename(off, disk); err != nil {
		t.Fatal(err)
	}
	if h.Look(t.Context()); len(h.Titles()) != 1 || h.Titles()[0].Content != m.Content {
		t.Error("a folder that came back is not shown")
	}
}

// TestLibrary_2_IDOfAnOwnFilm holds the worked example of docs/spec/library.md.
func TestLibrary_2_IDOfAnOwnFilm(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "library.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{3, 200_000} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i % 251)
		}
		id, err := home.OwnID(bytes.NewReader(data), int64(n))
		if err != nil || !strings.Contains(string(page), id.String()) {
			t.Errorf("%d bytes: %v, %v: not that of the page", n, id, err)
		}
		data[0]++
		if other, err := home.OwnID(bytes.NewReader(data), int64(n)); err != nil || other == id {
			t.Errorf("another file: %v, %v", other, err)
		}
	}
}

// TestLibrary_1_MountPointsThatStay: a disk that is off leaves an empty folder behind, or
// one that cannot be read; what was found on it is not forgotten.
func TestLibrary_1_MountPointsThatStay(t *testing.T) {
	for _, sub := range []string{"", "disk"} {
		root := t.TempDir()
		mount, off := filepath.Join(root, sub), filepath.Join(t.TempDir(), "off")
		folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
		copyTo(t, folder, filepath.Join(mount, "packed"), "")
		for _, path := range []string{filepath.Join(mount, "own.mp4"), filepath.Join(root, "beside.txt")} {
			if sub == "" && filepath.Base(path) == "beside.txt" {
				continue // then the folder would not be empty
			}
			if err := os.WriteFile(path, demo(t, film.SD), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		dir, c, module := t.TempDir(), newClock(), hometest.New(t, nil)
		c.now = time.Now().Add(time.Hour)
		h := open(t, dir, module, c)
		if got, err := h.Watch(t.Context(), root); err != nil || got.Titles != 1 || got.Films != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		state := func() string {
			library, err := os.ReadFile(filepath.Join(dir, "library.json"))
			films, e2 := os.ReadFile(filepath.Join(dir, "films.json"))
			if err != nil || e2 != nil {
				t.Fatal(err, e2)
			}
			return string(library) + string(films)
		}
		was := state()
		for _, restarted := range []bool{false, true} {
			if err := os.Rename(mount, off); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(mount, 0o700); err != nil {
				t.Fatal(err)
			}
			if restarted {
				h = open(t, dir, module, c)
			}
			h.Look(t.Context())
			if len(h.Titles())+len(h.Films()) != 0 || h.Folders()[0].Away != (sub == "") {
				t.Errorf("%q is off: %d titles, %d films, %+v", sub, len(h.Titles()), len(h.Films()), h.Folders())
			}
			if state() != was {
				t.Errorf("%q is off, and the house forgets: %s", sub, state())
			}
			if err := os.Remove(mount); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(off, mount); err != nil {
				t.Fatal(err)
			}
			if h.Look(t.Context()); len(h.Titles()) != 1 || len(h.Films()) != 1 || h.Folders()[0].Away {
				t.Errorf("%q is back: %d titles, %d films, %+v", sub, len(h.Titles()), len(h.Films()), h.Folders())
			}
		}
	}
}

// TestLibrary_1_WhatIsTooDeepIsNotCalledGone: nobody looked there.
func TestLibrary_1_WhatIsTooDeepIsNotCalledGone(t *testing.T) {
	root := t.TempDir()
	deep, off := filepath.Join(root, "a", "b", "c", "packed"), filepath.Join(t.TempDir(), "off")
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	copyTo(t, folder, deep, "")
	if err := os.WriteFile(filepath.Join(filepath.Dir(deep), "beside.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, t.TempDir(), hometest.New(t, nil), newClock())
	if _, err := h.Watch(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(deep); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		from, to string
		titles   int
	}{{deep, off, 0}, {off, deep, 1}} {
		if err := os.Rename(step.from, step.to); err != nil {
			t.Fatal(err)
		}
		if h.Look(t.Context()); len(h.Titles()) != step.titles {
			t.Errorf("%d titles, want %d", len(h.Titles()), step.titles)
		}
	}
}

// TestLibrary_1_AFolderTooDeepInAnotherIsWatchedForItself, whichever of the two came first.
func TestLibrary_1_AFolderTooDeepInAnotherIsWatchedForItself(t *testing.T) {
	outer := t.TempDir()
	inner := filepath.Join(outer, "a", "b", "c")
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	copyTo(t, folder, filepath.Join(inner, "packed"), "")
	c := newClock()
	c.now = time.Now().Add(time.Hour)
	if err := os.WriteFile(filepath.Join(inner, "own.mp4"), demo(t, film.SD), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, order := range [][]string{{outer, inner}, {inner, outer}} {
		h := open(t, t.TempDir(), hometest.New(t, nil), c)
		for _, dir := range order {
			if _, err := h.Watch(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
		}
		want := []home.Found{{Folder: outer}, {Folder: inner, Titles: 1, Films: 1}}
		for range 10 { // no order of a map decides
			h.Look(t.Context())
			if d := cmp.Diff(want, h.Folders()); d != "" {
				t.Error(d)
			}
		}
		if err := h.Unwatch(t.Context(), outer); err != nil || len(h.Titles()) != 1 || len(h.Films()) != 1 {
			t.Errorf("the outer one is not watched any more: %d titles, %d films, %v", len(h.Titles()), len(h.Films()), err)
		}
	}
}

// TestLibrary_1_EndingAWatchWhileItIsLooked: the look does not put back what is taken out.
func TestLibrary_1_EndingAWatchWhileItIsLooked(t *testing.T) {
	root := t.TempDir()
	folder, m, _ := hometest.Pack(t, cenc.SchemeCENC)
	copyTo(t, folder, filepath.Join(root, "half"), m.Tracks[0].Segments[0].Name) // the clock is read for it
	var h *home.Home
	var once sync.Once
	ended := make(chan error, 1)
	looking := false
	h, err := home.New(home.Config{Dir: t.TempDir(), Module: hometest.New(t, nil), Now: func() time.Time {
		if looking {
			once.Do(func() {
				go func() { ended <- h.Unwatch(t.Context(), root) }()
				time.Sleep(100 * time.Millisecond) // it comes as far as it may
			})
		}
		return time.Now()
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Watch(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	copyTo(t, folder, filepath.Join(root, "whole"), "")
	looking = true
	h.Look(t.Context())
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(h.Titles())+len(h.Folders()) != 0 {
		t.Errorf("%d titles, %+v", len(h.Titles()), h.Folders())
	}
}

// TestLibrary_1_ATitleThatIsThereTwiceIsShownOnce: while a disk is off, another copy is
// found; the disk comes back.
func TestLibrary_1_ATitleThatIsThereTwiceIsShownOnce(t *testing.T) {
	root := t.TempDir()
	packed, other, off := filepath.Join(root, "one", "packed"), filepath.Join(root, "other"), filepath.Join(root, "off", "packed")
	folder, m, _ := hometest.Pack(t, cenc.SchemeCENC)
	for _, to := range []string{packed, other} {
		copyTo(t, folder, to, "")
	}
	dir, module := t.TempDir(), hometest.New(t, nil)
	h := open(t, dir, module, newClock())
	move := func(from, to string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		h.Look(t.Context())
	}
	if _, err := h.Watch(t.Context(), filepath.Dir(packed)); err != nil {
		t.Fatal(err)
	}
	move(packed, off)
	if got, err := h.Watch(t.Context(), other); err != nil || got.Titles != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	move(off, packed)
	for range 2 { // the second time after a restart
		for range 2 {
			if h.Look(t.Context()); len(h.Titles()) != 1 || h.Titles()[0].Content != m.Content {
				t.Errorf("%d titles", len(h.Titles()))
			}
		}
		if got := h.Checked(); len(got.Unpacked)+len(got.Away) != 0 {
			t.Errorf("%+v", got)
		}
		h = open(t, dir, module, newClock())
	}
	h.Look(t.Context())
	move(packed, off)
	if got := h.Titles(); len(got) != 1 {
		t.Errorf("one copy is away: %d titles", len(got))
	}
	move(off, packed)
	move(other, filepath.Join(root, "other off"))
	if got := h.Titles(); len(got) != 1 {
		t.Errorf("the other one is: %d titles", len(got))
	}
}
