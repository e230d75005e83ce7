package care

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestDoctor_RightsOfFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "house")
	for name, mode := range map[string]os.FileMode{"": 0o700, "closed": 0o700, "open": 0o755, "shared": 0o777} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"secret": 0o600, "closed/readable": 0o644, "open/readable": 0o644, "open/secret": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if got := LookAtFiles(dir); got.Err != nil || len(got.Exposed) > 0 || got.Seen != 8 || len(got.Foreign) > 0 {
		t.Errorf("below a closed folder nothing is exposed: %+v", got)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // it is what the test is about
		t.Fatal(err)
	}
	if got := LookAtFiles(dir).Exposed; !slices.Equal(got, []string{"open/readable", "shared"}) {
		t.Errorf("exposed are %q", got)
	}
	if got := LookAtFiles(filepath.Join(dir, "nothing")); got.Err == nil {
		t.Error("a folder that is not there has no rights")
	}
}

func TestDoctor_Disk(t *testing.T) {
	dir := t.TempDir()
	now := noon
	d := LookAtDisk(dir, func() time.Time { now = now.Add(3 * time.Millisecond); return now })
	if d.Err != nil || d.Total == 0 || d.Free > d.Total || d.Flush != 3*time.Millisecond {
		t.Errorf("%+v", d)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if d := LookAtDisk(filepath.Join(dir, "nothing"), time.Now); d.Err == nil {
		t.Error("a folder that is not there has no disk")
	}
	if _, err := os.Stat("/dev/shm"); err == nil && !LookAtDisk("/dev/shm", time.Now).Memory {
		t.Error("/dev/shm is not seen to be in memory")
	}
}
