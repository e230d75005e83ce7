package home_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/service/home/hometest"
)

// TestLibrary_1_AMountPointThatGoesWithItsDisk: the folder in which a disk was mounted
// goes with it, as udisks does; what lay there is not forgotten, over a restart either,
// until the watch is ended. A folder that was none is taken out.
func TestLibrary_1_AMountPointThatGoesWithItsDisk(t *testing.T) {
	if os.Getenv("LARES_TEST_MOUNTS") == "" { // a process of its own may mount
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // this program
		cmd.Env = append(os.Environ(), "LARES_TEST_MOUNTS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		switch {
		case cmd.Process == nil || strings.Contains(string(out), "no mount here"):
			needs.NotRun(t, "no namespaces or mounts here: "+string(out))
		case err != nil || !strings.Contains(string(out), "--- PASS"):
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	root := t.TempDir()
	disk, plain, kept := filepath.Join(root, "disk"), filepath.Join(root, "plain"), t.TempDir()
	folder, _, _ := hometest.Pack(t, cenc.SchemeCENC)
	copyTo(t, folder, filepath.Join(kept, "packed"), "")
	write := func(path, of string) {
		t.Helper()
		if err := os.WriteFile(path, demo(t, of), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(kept, "own.mp4"), film.SD)
	mount := func() {
		t.Helper()
		if err := os.Mkdir(disk, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("films", disk, "tmpfs", 0, ""); err != nil {
			t.Fatal("no mount here: ", err)
		}
		copyTo(t, kept, disk, "")
	}
	unmount := func() {
		t.Helper()
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(disk); err != nil {
			t.Fatal(err)
		}
	}
	mount()
	if err := os.Mkdir(plain, 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(plain, "beside.mp4"), film.HD)
	write(filepath.Join(root, "beside.txt"), film.SD) // else it would be empty in the end
	dir, c, module := t.TempDir(), newClock(), hometest.New(t, nil)
	c.now = time.Now().Add(time.Hour) // so that the files are old
	h := open(t, dir, module, c)
	known := func(what string, titles, films, lines int) {
		t.Helper()
		h.Look(t.Context())
		noted, err := os.ReadFile(filepath.Join(dir, "films.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Titles()) != titles || len(h.Films()) != films || strings.Count(string(noted), ".mp4") != lines || h.Folders()[0].Away {
			t.Errorf("%s: %d titles, %d films, %+v, known: %s", what, len(h.Titles()), len(h.Films()), h.Folders(), noted)
		}
	}
	if _, err := h.Watch(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	known("all is there", 1, 2, 2)
	for _, restarted := range []bool{false, true} {
		if unmount(); restarted {
			h = open(t, dir, module, c)
		}
		known("the disk is off, and its folder is gone", 0, 1, 2)
		if away := h.Checked().Away; len(away) != 2 || away[1] != disk { // and the packed film in it
			t.Errorf("away: %q", away)
		}
		mount()
		known("it is back", 1, 2, 2)
	}
	if err := os.RemoveAll(plain); err != nil {
		t.Fatal(err)
	}
	known("a folder that was none is taken out", 1, 1, 1)
	unmount()
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(disk, "new.mp4"), film.HD)
	known("another folder has its name, and shows what is in it", 0, 1, 1)
	if err := os.RemoveAll(disk); err != nil {
		t.Fatal(err)
	}
	known("that was no disk", 0, 0, 0)
}
