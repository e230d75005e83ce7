package home_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// checked is a house with a packed title and one of the household's own films.
type checked struct {
	*testing.T
	dir, folder, own string
	m                *content.Manifest
	module           *hometest.Module
	now              time.Time
	asked            func() // the time
	h                *home.Home
}

func newChecked(t *testing.T) *checked {
	t.Helper()
	c := &checked{T: t, dir: t.TempDir(), module: hometest.New(t, nil), now: time.Now()}
	c.folder, c.m, _ = hometest.Pack(t, cenc.SchemeCENC)
	c.restart()
	if _, err := c.h.Add(c.folder); err != nil {
		t.Fatal(err)
	}
	root := hometest.OwnFilm(t, "own.mp4")
	c.own = filepath.Join(root, "own.mp4")
	if _, err := c.h.Watch(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *checked) restart() {
	c.Helper()
	h, err := home.New(home.Config{Dir: c.dir, Module: c.module, Now: func() time.Time {
		if c.asked != nil {
			c.asked()
		}
		return c.now
	}})
	if err != nil {
		c.Fatal(err)
	}
	h.Look(c.Context())
	c.h = h
}

func (c *checked) check(read bool) []home.Suspect {
	c.Helper()
	r, err := c.h.Check(c.Context(), home.CheckOrder{Read: read})
	if err != nil || r.Films != 2 {
		c.Fatalf("%+v, %v", r, err)
	}
	return r.Suspects
}

// flip changes a byte of a file, and leaves its time as it was: no program did it.
func (c *checked) flip(path string) {
	c.Helper()
	info, err := os.Stat(path)
	if err != nil {
		c.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		c.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		c.Fatal(err)
	}
}

func (c *checked) wants(what string, got []home.Suspect, faults ...home.Fault) {
	c.Helper()
	var all []home.Fault
	for _, s := range got {
		all = append(all, s.Faults...)
	}
	if diff := cmp.Diff(faults, all); diff != "" {
		c.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestLibrary_3_FaultsAreNamed: a file that is missing, cut off, damaged or not to be
// read; each is named with its kind, survives a restart, and is gone when it is mended.
func TestLibrary_3_FaultsAreNamed(t *testing.T) {
	c := newChecked(t)
	c.wants("a sound library", c.check(true))
	if r := c.h.Checked(); r.Read != 2 || r.Oldest.IsZero() {
		t.Errorf("read: %+v", r)
	}
	seg := func(i int) (name, path string) {
		name = c.m.Tracks[0].Segments[i].Name
		return name, filepath.Join(c.folder, name)
	}
	gone, goneAt := seg(0)
	cut, cutAt := seg(1)
	damaged, damagedAt := seg(2)
	long, longAt := seg(3)
	was := map[string][]byte{}
	for _, path := range []string{goneAt, cutAt, damagedAt, longAt, c.own} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		was[path] = data
	}
	if err := errors.Join(os.Remove(goneAt), os.Truncate(cutAt, 10), os.WriteFile(longAt, append(was[longAt], 0), 0o600)); err != nil {
		t.Fatal(err)
	}
	c.flip(damagedAt)
	c.flip(c.own)
	c.wants("lengths", c.check(false), home.Fault{File: gone, Kind: home.FaultMissing}, home.Fault{File: cut, Kind: home.FaultMissing}, home.Fault{File: long, Kind: home.FaultMissing})
	found := []home.Fault{
		{File: gone, Kind: home.FaultMissing},
		{File: cut, Kind: home.FaultMissing},
		{File: damaged, Kind: home.FaultDamaged},
		{File: long, Kind: home.FaultDamaged},
		{File: c.own, Kind: home.FaultDamaged},
	}
	c.wants("bytes", c.check(true), found...)
	c.restart()
	c.wants("after a restart", c.h.Checked().Suspects, found...)
	for path, data := range was {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.now = c.now.Add(time.Minute) // so that the own film has settled
	c.h.Look(t.Context())
	c.wants("lengths, mended", c.check(false), home.Fault{File: damaged, Kind: home.FaultDamaged}, home.Fault{File: long, Kind: home.FaultDamaged}, home.Fault{File: c.own, Kind: home.FaultDamaged})
	if r := c.h.Checked(); r.Read != 1 {
		t.Errorf("what was mended is not read again: %+v", r)
	}
	c.wants("bytes, mended", c.check(true))
}

// TestLibrary_3_ContentJSONDamagedByItself is told from a film that is packed anew.
func TestLibrary_3_ContentJSONDamagedByItself(t *testing.T) {
	c := newChecked(t)
	c.check(true)
	name := filepath.Join(c.folder, content.ManifestName)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c.flip(name)
	c.wants("a bit flips", c.check(true), home.Fault{File: content.ManifestName, Kind: home.FaultDamaged})
	if err := os.WriteFile(name, append(data, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	c.wants("it is written anew", c.check(true))
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.h.Look(t.Context())
	c.wants("it makes no sense, and the title is shown as it was", c.check(false), home.Fault{File: content.ManifestName, Kind: home.FaultDamaged})
	c.restart()
	if r := c.h.Checked(); len(r.Unpacked) != 1 || r.Unpacked[0] != c.folder || r.Films != 1 {
		t.Errorf("it cannot be read: %+v", r)
	}
	if err := os.RemoveAll(c.folder); err != nil {
		t.Fatal(err)
	}
	c.h.Look(t.Context())
	if r := c.h.Checked(); len(r.Unpacked) != 0 || len(r.Away) != 1 {
		t.Errorf("its folder is away: %+v", r)
	}
}

// TestLibrary_3_UnreadableFiles: what may not be read is no damage. A folder in a file's
// place cannot be read by root either.
func TestLibrary_3_UnreadableFiles(t *testing.T) {
	c := newChecked(t)
	name := c.m.Tracks[0].Segments[0].Name
	path := filepath.Join(c.folder, name)
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	c.wants("a folder in its place", c.check(true), home.Fault{File: name, Kind: home.FaultUnreadable})
}

// TestLibrary_3_LengthsOfATitleThatIsAway: a disk that is off lacks no file, and what is
// counted beside the names is counted anew each time.
func TestLibrary_3_LengthsOfATitleThatIsAway(t *testing.T) {
	c := newChecked(t)
	off := c.folder + " off"
	if err := os.Rename(c.folder, off); err != nil { // and nobody has looked yet
		t.Fatal(err)
	}
	c.wants("its disk is off", c.check(false))
	if err := os.Rename(off, c.folder); err != nil {
		t.Fatal(err)
	}
	missing := 0
	for f := range c.m.Listed() {
		if err := os.Remove(filepath.Join(c.folder, f.Name)); err != nil {
			t.Fatal(err)
		}
		missing++
	}
	for range 3 {
		if got := c.check(false); len(got) != 1 || len(got[0].Faults)+got[0].Further != missing {
			t.Errorf("%+v, want %d missing files", got, missing)
		}
	}
}

// TestLibrary_3_WhatIsWrittenIsNotDamaged: the household writes its own film, and a film is
// packed anew, before the house has looked and while it reads.
func TestLibrary_3_WhatIsWrittenIsNotDamaged(t *testing.T) {
	c := newChecked(t)
	c.wants("a sound library", c.check(true))
	data, err := os.ReadFile(c.own)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(c.own, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.wants("its owner wrote it", c.check(true))
	last := &c.m.Tracks[0].Segments[len(c.m.Tracks[0].Segments)-1]
	pack := func() {
		segment := []byte("packed anew at " + c.now.String())
		last.Bytes, last.SHA256 = int64(len(segment)), sha256.Sum256(segment)
		text, err := c.m.Encode()
		if err := errors.Join(err, os.WriteFile(filepath.Join(c.folder, last.Name), segment, 0o600), os.WriteFile(filepath.Join(c.folder, content.ManifestName), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	pack()
	c.wants("packed anew", c.check(true))
	c.now = c.now.Add(time.Minute)
	c.h.Look(t.Context())
	c.wants("and looked at", c.check(true))
	if r := c.h.Checked(); r.Read != 2 {
		t.Errorf("read: %+v", r)
	}
	c.asked = func() { // after content.json was read, and before the last segment is
		c.asked, c.now = nil, c.now.Add(time.Minute)
		pack()
	}
	c.wants("packed anew while it is read", c.check(true))
	if c.asked != nil {
		t.Error("nothing was packed")
	}
	c.h.Look(t.Context())
	c.wants("and looked at again", c.check(true))
}
