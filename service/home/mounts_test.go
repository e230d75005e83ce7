package home

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Mount points stand in a file of their own, so that the build before still reads
// films.json; where the one in between had them they are found.
func TestLibrary_1_MountPointsHaveAFileOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, filmsFile), []byte(`{"roots": ["/films"], "films": [], "mounts": ["/films/disk"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := openFolders(dir)
		if err != nil || !slices.Equal(f.roots, []string{"/films"}) || !slices.Equal(f.mounts, []string{"/films/disk"}) {
			t.Fatalf("%v, %v, %v", f.roots, f.mounts, err)
		}
		if err := f.save(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, filmsFile)); err != nil || strings.Contains(string(text), "mounts") {
			t.Errorf("%v: %s", err, text)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, mountsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := openFolders(dir); err == nil || !slices.Equal(f.roots, []string{"/films"}) || len(f.mounts) != 0 {
		t.Errorf("unreadable mount points: %v, %v, %v", f.roots, f.mounts, err)
	}
}
