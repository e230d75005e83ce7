package packager_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/content/film"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// inputs writes the demo film to a folder.
func inputs(t testing.TB) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{film.SD, film.HD, film.Poster} {
		b, err := film.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, []string{filepath.Join(dir, film.SD), filepath.Join(dir, film.HD)}
}

func pack(t testing.TB, scheme cenc.Scheme) (dir string, res *packager.Result) {
	t.Helper()
	in, paths := inputs(t)
	dir = filepath.Join(t.TempDir(), "out")
	res, err := packager.Pack(context.Background(), packager.Config{
		Inputs: paths, Dir: dir, Content: "lares-demo-film", Title: film.Title, Scheme: scheme, Poster: filepath.Join(in, film.Poster),
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, res
}

func keysOf(d content.Delivery) content.Keys {
	return func(kid ident.Key) (cenc.ContentKey, error) {
		for _, k := range d.Keys {
			if k.KID == kid {
				return k.Key, nil
			}
		}
		return cenc.ContentKey{}, errors.New("no such key")
	}
}

// join puts a track together: init segment and fragments, each through edit.
func join(t testing.TB, dir string, f *content.TrackFiles, clearInit bool, edit func(*content.Fragment) error) []byte {
	t.Helper()
	raw := load(t, dir, f.Init)
	in, err := content.ParseInit(raw)
	if err != nil {
		t.Fatal(err)
	}
	out := slices.Clone(raw)
	if clearInit {
		if out, err = in.Clear(raw); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range f.Segments {
		seg := load(t, dir, s.File)
		frag, err := in.Fragment(seg)
		if err != nil {
			t.Fatal(err)
		}
		if start, dur := frag.Time(); start != s.StartMS || dur != s.DurationMS {
			t.Errorf("%s: time %d+%d, content.json says %d+%d", s.Name, start, dur, s.StartMS, s.DurationMS)
		}
		if edit != nil {
			if err := edit(frag); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, seg...)
	}
	return out
}

func load(t testing.TB, dir string, f content.File) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, f.Name))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != f.Bytes {
		t.Errorf("%s: %d bytes, content.json says %d", f.Name, len(b), f.Bytes)
	}
	return b
}

// hash is ffmpeg's MD5 over the packets of one stream.
func hash(t testing.TB, stream string, args ...string) string {
	t.Helper()
	args = append(append([]string{"-v", "error", "-nostdin"}, args...), "-map", stream, "-c", "copy", "-f", "streamhash", "-hash", "md5", "-")
	out, err := exec.Command(needs.Tool(t, "ffmpeg"), args...).CombinedOutput() //nolint:noctx // a test
	if err != nil {
		t.Fatalf("ffmpeg %q: %v: %s", args, err, out)
	}
	_, md5, ok := strings.Cut(strings.TrimSpace(string(out)), "MD5=")
	if !ok || strings.Contains(md5, "\n") {
		t.Fatalf("ffmpeg %q: %s", args, out)
	}
	return md5
}

// TestContent_1_FFmpegAgreesOnEveryTier holds three views of each track against
// the source: decrypted by us, decrypted by ffmpeg, and re-encrypted by us
// under a session key and then decrypted by ffmpeg.
func TestContent_1_FFmpegAgreesOnEveryTier(t *testing.T) {
	needs.Long(t)
	needs.Tool(t, "ffmpeg")
	src, _ := inputs(t)
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		dir, res := pack(t, scheme)
		if len(res.Manifest.Tracks) != 3 || len(res.Delivery.Keys) != 3 || len(res.Notes) != 0 {
			t.Fatalf("packed %d tracks with %d keys, notes %q", len(res.Manifest.Tracks), len(res.Delivery.Keys), res.Notes)
		}
		for i := range res.Manifest.Tracks {
			f := &res.Manifest.Tracks[i]
			t.Run(scheme.String()+"/"+f.Name, func(t *testing.T) {
				name, stream := film.HD, "0:v"
				switch f.Tier {
				case content.SD:
					name = film.SD
				case content.Audio:
					stream = "0:a"
				}
				want := hash(t, stream, "-i", filepath.Join(src, name))
				keys := keysOf(res.Delivery)
				file := filepath.Join(t.TempDir(), "track.mp4")
				put := func(b []byte) {
					if err := os.WriteFile(file, b, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				put(join(t, dir, f, true, func(fr *content.Fragment) error { return fr.Decrypt(keys) }))
				if got := hash(t, "0", "-i", file); got != want {
					t.Errorf("decrypted by us: %s, want %s", got, want)
				}
				put(join(t, dir, f, false, nil))
				title, err := keys(f.KID)
				if err != nil {
					t.Fatal(err)
				}
				if got := hash(t, "0", "-seekable", "0", "-decryption_key", hexKey(t, title), "-i", file); got != want {
					t.Errorf("decrypted by ffmpeg: %s, want %s", got, want)
				}
				session := cenc.GenerateKey()
				to := func(ident.Key) (cenc.ContentKey, error) { return session, nil }
				put(join(t, dir, f, false, func(fr *content.Fragment) error { return fr.Reencrypt(keys, to) }))
				if got := hash(t, "0", "-seekable", "0", "-decryption_key", hexKey(t, session), "-i", file); got != want {
					t.Errorf("re-encrypted: %s, want %s", got, want)
				}
				if got := hash(t, "0", "-seekable", "0", "-decryption_key", hexKey(t, title), "-i", file); got == want {
					t.Error("the title key opens the re-encrypted track")
				}
			})
		}
	}
}

func hexKey(t testing.TB, k cenc.ContentKey) string {
	t.Helper()
	b, err := k.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	return ident.License(b).String()
}
