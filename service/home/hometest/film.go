package hometest

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/license/ident"
)

// OwnFilm makes a folder in which one of the household's own films lies, and has lain for
// a while.
func OwnFilm(tb testing.TB, name string) (folder string) {
	tb.Helper()
	data, err := film.Files.ReadFile(film.SD)
	if err != nil {
		tb.Fatal(err)
	}
	folder = filepath.Join(tb.TempDir(), "own films")
	path, old := filepath.Join(folder, name), time.Now().Add(-time.Hour)
	if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(path, data, 0o600), os.Chtimes(path, old, old)); err != nil {
		tb.Fatal(err)
	}
	return folder
}

// Pack packs the demo film and returns its folder, manifest and keys. change, if any,
// changes how.
func Pack(tb testing.TB, scheme cenc.Scheme, change ...func(*packager.Config)) (string, *content.Manifest, map[ident.Key]cenc.ContentKey) {
	tb.Helper()
	dir := tb.TempDir()
	for _, name := range []string{film.SD, film.HD, film.Poster} {
		data, err := film.Files.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	out := filepath.Join(dir, "packed")
	cfg := packager.Config{
		Inputs: []string{filepath.Join(dir, film.SD), filepath.Join(dir, film.HD)}, Dir: out,
		Content: "urn:lares:film:demo", Title: film.Title, Scheme: scheme, Poster: filepath.Join(dir, film.Poster),
	}
	for _, f := range change {
		f(&cfg)
	}
	res, err := packager.Pack(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	keys := map[ident.Key]cenc.ContentKey{}
	for _, k := range res.Delivery.Keys {
		keys[k.KID] = k.Key
	}
	return out, res.Manifest, keys
}

// Join makes one segment of all of a packed track, of two megabytes where it is the HD
// picture: fragments may follow each other in one.
func Join(tb testing.TB, folder string, m *content.Manifest, track *content.TrackFiles) {
	tb.Helper()
	var all []byte
	for _, s := range track.Segments {
		data, err := os.ReadFile(filepath.Join(folder, s.Name))
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, data...)
	}
	if len(all) < 3<<19 {
		tb.Fatalf("the picture has %d bytes", len(all))
	}
	one := track.Segments[0]
	one.Bytes, one.SHA256 = int64(len(all)), sha256.Sum256(all)
	one.DurationMS = m.DurationMS
	track.Segments = []content.Segment{one}
	text, err := m.Encode()
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(folder, one.Name), all, 0o600), os.WriteFile(filepath.Join(folder, content.ManifestName), text, 0o600)) //nolint:gosec // the test's folder
	}
	if err != nil {
		tb.Fatal(err)
	}
}
