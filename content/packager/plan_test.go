package packager_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
)

// demoFile writes a file of the demo film, changed.
func demoFile(t *testing.T, name string, change func([]byte) []byte) string {
	t.Helper()
	data, err := film.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExamine_IsWhatPackMakes: the same tiers, and a folder that is no larger than was
// said, nor much smaller.
func TestExamine_IsWhatPackMakes(t *testing.T) {
	same := func(b []byte) []byte { return b }
	dir := filepath.Join(t.TempDir(), "packed")
	cfg := packager.Config{Inputs: []string{demoFile(t, film.SD, same), demoFile(t, film.HD, same)}, Dir: dir, Content: "c", Title: "t"}
	plan, err := packager.Examine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 0 {
		t.Errorf("it has written: %v, %v", left, err)
	}
	if _, err := packager.Pack(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	var size int64
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		return err
	})
	if err != nil || size > plan.Bytes || plan.Bytes > size+size/2+2<<20 || !slices.Equal(plan.Tiers, []content.Tier{content.Audio, content.SD, content.HD}) {
		t.Errorf("said %d bytes and %v, made %d (%v)", plan.Bytes, plan.Tiers, size, err)
	}
}

// hugeSamples has each picture be of a megabyte, as the tables say: then no keyframe comes
// in time.
func hugeSamples(b []byte) []byte {
	at := bytes.Index(b, []byte("stsz")) + 12
	for i := range binary.BigEndian.Uint32(b[at:]) {
		binary.BigEndian.PutUint32(b[at+4+4*int(i):], 1<<20)
	}
	return b
}

// TestExamine_Refuses what Pack would, and by the same words.
func TestExamine_Refuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"a codec":      {func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("avc1"), []byte("mp4v")) }, `codec "mp4v" of the video track`},
		"keyframes":    {hugeSamples, "its keyframes are too far apart"},
		"no MP4":       {func([]byte) []byte { return []byte("no film at all") }, ""},
		"half a table": {func(b []byte) []byte { return bytes.Replace(b, []byte("stsz"), []byte("stsx"), 1) }, ""},
	} {
		in := demoFile(t, film.SD, tc.change)
		cfg := packager.Config{Inputs: []string{in}, Dir: filepath.Join(t.TempDir(), "packed"), Content: "c", Title: "t"}
		_, err := packager.Examine(cfg)
		if !errors.Is(err, packager.ErrInput) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Examine = %v", name, err)
		}
		_, packed := packager.Pack(t.Context(), cfg)
		if !errors.Is(packed, packager.ErrInput) || packed.Error() != err.Error() {
			t.Errorf("%s: Pack = %v, Examine = %v", name, packed, err)
		}
		if left, err := os.ReadDir(filepath.Dir(cfg.Dir)); err != nil || len(left) != 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}
