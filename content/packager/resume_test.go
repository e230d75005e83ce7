package packager_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
)

// TestPack_Resumes: a packing that was stopped goes on where it was. What it had
// written stays, but what was damaged meanwhile; the folder opens with the keys of the
// second run, and nothing secret is left behind.
func TestPack_Resumes(t *testing.T) {
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		src, paths := inputs(t)
		dir := t.TempDir()
		ctx, stop := context.WithCancel(context.Background())
		fragments := 0
		cfg := packager.Config{
			Inputs: paths, Dir: filepath.Join(dir, "out"), Content: "c", Title: "t", Scheme: scheme, RotateMS: 30_000, AES128: true, Resume: filepath.Join(dir, "resume"),
			Progress: func(int64, int64) {
				if fragments++; fragments == 20 {
					stop()
				}
			},
		}
		if _, err := packager.Pack(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		part := filepath.Join(dir, ".out.part")
		old := time.Unix(1_000_000_000, 0)
		for _, name := range []string{"audio/3.m4s", "sd/2.m4s"} {
			if err := os.Chtimes(filepath.Join(part, name), old, old); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(part, "sd/3.m4s"), []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		journal, err := os.OpenFile(cfg.Resume, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := journal.WriteString(`{"name":"hd/1.m4s","by`); err != nil { // a line that was cut
			t.Fatal(err)
		}
		if info, err := journal.Stat(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		other := cfg
		other.Title = "another"
		if _, err := packager.Pack(context.Background(), other); !errors.Is(err, packager.ErrResume) {
			t.Errorf("with another title: %v", err)
		}
		res, err := packager.Pack(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for name, stays := range map[string]bool{"audio/3.m4s": true, "sd/2.m4s": true, "sd/3.m4s": false} {
			info, err := os.Stat(filepath.Join(cfg.Dir, name))
			if err != nil || info.ModTime().Equal(old) != stays {
				t.Errorf("%s: time %v, %v", name, info.ModTime(), err)
			}
		}
		for _, gone := range []string{part, cfg.Resume} {
			if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there (%v)", gone, err)
			}
		}
		opens(t, src, cfg.Dir, res)
	}
}

// opens holds every track of a packed folder against its source.
func opens(t *testing.T, src, dir string, res *packager.Result) {
	t.Helper()
	for i := range res.Manifest.Tracks {
		f := &res.Manifest.Tracks[i]
		name := film.HD
		if f.Tier == content.SD {
			name = film.SD
		}
		want, err := packager.StreamHashes(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "clear.mp4")
		if err := os.WriteFile(file, join(t, dir, f, true, func(fr *content.Fragment) error { return fr.Decrypt(keysOf(res.Delivery)) }), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := packager.StreamHashes(file); err != nil || got[f.Kind] != want[f.Kind] {
			t.Errorf("%s: the clear view is not the source (%v)", f.Name, err)
		}
	}
}

func TestPack_ResumeFileIsJudged(t *testing.T) {
	_, paths := inputs(t)
	for name, body := range map[string]string{"other": "a letter to my aunt\n", "cut": `{"format":1`, "secret": `{"format":1,"what":"","seed":"00"}` + "\n"} {
		file := filepath.Join(t.TempDir(), "resume")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := packager.Pack(context.Background(), packager.Config{Inputs: paths, Dir: filepath.Join(t.TempDir(), "out"), Content: "c", Title: "t", Resume: file})
		if got, _ := os.ReadFile(file); !errors.Is(err, packager.ErrResume) || string(got) != body {
			t.Errorf("%s: %v, and the file holds %q", name, err, got)
		}
	}
}
