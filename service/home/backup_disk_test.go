package home_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/service/home"
	"github.com/lares-drm/lares/service/home/hometest"
)

// A house that is restored before its disk is on has the disk's titles when it comes, for
// the backup does not say what was a mount point. Once seen, a folder that is taken out is
// taken out.
func TestBackup_ADiskThatIsOffIsNotTakenOut(t *testing.T) {
	packed, _, keys := hometest.Pack(t, cenc.SchemeCENC)
	root, away := t.TempDir(), filepath.Join(t.TempDir(), "away")
	disk := filepath.Join(root, "disk")
	if err := os.MkdirAll(filepath.Join(root, "beside", "it"), 0o700); err != nil { // else an empty folder
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(disk, "film"), os.DirFS(packed)); err != nil {
		t.Fatal(err)
	}
	k, c := &keeper{Module: hometest.New(t, keys), code: true}, newClock()
	c.now = time.Now().Add(time.Hour) // so that the film is old
	start := func(dir string) *home.Home {
		t.Helper()
		h, err := home.New(home.Config{Dir: dir, Module: k, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := start(t.TempDir())
	if _, err := h.Watch(t.Context(), root); err != nil || len(h.Titles()) != 1 {
		t.Fatal(len(h.Titles()), err)
	}
	_, file, err := h.Backup(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(disk, away)
	dir := t.TempDir()
	for range 2 {
		if _, _, err := home.Restore(t.Context(), home.Restoring{Dir: dir, Module: k, File: file, Now: newClock().Now}); err != nil {
			t.Fatal(err)
		}
	}
	known := func(what string, shown int, stands bool) {
		t.Helper()
		again := start(dir)
		again.Look(t.Context())
		lib, err := os.ReadFile(filepath.Join(dir, "library.json"))
		if got := bytes.Contains(lib, []byte(filepath.Join(disk, "film"))); err != nil || got != stands || len(again.Titles()) != shown {
			t.Errorf("%s: %d titles, in the library %v, %v: %s", what, len(again.Titles()), got, err, lib)
		}
	}
	known("the disk is off", 0, true)
	known("and still", 0, true)
	move(away, disk)
	known("it is on", 1, true)
	move(disk, away)
	known("its folder was taken out", 0, false)
}
