package packager_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
)

// The demo film becomes protected fragments, a DASH manifest and content.json.
func Example() {
	dir, err := os.MkdirTemp("", "pack-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	source, err := film.Files.ReadFile(film.SD)
	if err != nil {
		fmt.Println(err)
		return
	}
	in := filepath.Join(dir, film.SD)
	if err := os.WriteFile(in, source, 0o600); err != nil {
		fmt.Println(err)
		return
	}
	res, err := packager.Pack(context.Background(), packager.Config{
		Inputs: []string{in}, Dir: filepath.Join(dir, "packed"), Content: "film", Title: film.Title, Scheme: cenc.SchemeCENC, LicenseURL: "license", FragmentMS: 4000,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range res.Manifest.Tracks {
		fmt.Println(t.Tier, t.Kind, t.Width, t.Height, len(t.Segments) > 10)
	}
	// Output: SD video 640 360 true
}
