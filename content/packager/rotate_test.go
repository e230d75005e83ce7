package packager_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"os"
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

// rotated packs the demo film of 60 s with a clear lead and a new key every 20 s.
func rotated(t *testing.T, scheme cenc.Scheme, change func(*packager.Config)) (string, *packager.Result) {
	t.Helper()
	_, paths := inputs(t)
	vtt := filepath.Join(t.TempDir(), "en.vtt")
	if err := os.WriteFile(vtt, []byte("WEBVTT\n\n00:01.000 --> 00:03.000\nHello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := packager.Config{
		Inputs: paths, Dir: filepath.Join(t.TempDir(), "out"), Content: "c", Title: film.Title, Scheme: scheme, ClearLeadMS: 7000, RotateMS: 20_000,
		Subtitles: []packager.Subtitle{{Path: vtt, Language: "en", Label: `A "label"`}, {Path: vtt, Language: "en"}},
		Chapters:  []content.Chapter{{StartMS: 0, Title: "One"}, {StartMS: 30_000, Title: "Two"}},
	}
	if change != nil {
		change(&cfg)
	}
	res, err := packager.Pack(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Dir, res
}

// TestContent_4_ClearLeadAndRotation: what begins before the lead's end needs no
// key, what begins after it one key of its time, and another tier's never.
func TestContent_4_ClearLeadAndRotation(t *testing.T) {
	for _, scheme := range []cenc.Scheme{cenc.SchemeCENC, cenc.SchemeCBCS} {
		dir, res := rotated(t, scheme, nil)
		if len(res.Delivery.Keys) != 9 {
			t.Fatalf("%d keys, want 3 for each of 3 tiers", len(res.Delivery.Keys))
		}
		tier := map[ident.Key]content.Tier{}
		for _, k := range res.Delivery.Keys {
			tier[k.KID] = k.Tier
		}
		for i := range res.Manifest.Tracks {
			f := &res.Manifest.Tracks[i]
			if len(f.Keys) != 3 || f.Keys[0].KID != f.KID {
				t.Fatalf("%s: keys %v", f.Name, f.Keys)
			}
			in, err := content.ParseInit(load(t, dir, f.Init))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range f.Segments {
				frag, err := in.Fragment(load(t, dir, s.File))
				if err != nil {
					t.Fatal(err)
				}
				got := frag.KIDs()
				if s.StartMS < 7000 {
					if len(got) != 0 {
						t.Errorf("%s at %d ms needs %v", s.Name, s.StartMS, got)
					}
					continue
				}
				if want := f.Keys[s.StartMS/20_000].KID; len(got) != 1 || got[0] != want || tier[want] != f.Tier {
					t.Errorf("%s at %d ms needs %v, want %v", s.Name, s.StartMS, got, want)
				}
			}
		}
		src, _ := inputs(t)
		opens(t, src, dir, res)
	}
}

// TestContent_4_KeysAreNotMoreThanALicenseHolds: each tier and time has its key, and
// a license has room for 32.
func TestContent_4_KeysAreNotMoreThanALicenseHolds(t *testing.T) {
	needs.Tool(t, "ffmpeg")
	_, paths := inputs(t)
	cfg := packager.Config{Inputs: paths, Dir: filepath.Join(t.TempDir(), "out"), Content: "c", Title: "t", RotateMS: 10_000, AES128: true}
	n := 0
	cfg.Keys = func(content.Tier) (ident.Key, cenc.ContentKey, error) {
		n++
		return ident.NewKey(), cenc.GenerateKey(), nil
	}
	if _, err := packager.Pack(context.Background(), cfg); err != nil || n != 3*6+3 {
		t.Errorf("%d keys: %v", n, err)
	}
	cfg.Inputs = append(cfg.Inputs, encode(t, "-vf", "fps=5,loop=loop=-1:size=25:start=0", "-af", "apad", "-t", "250", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac"))
	for _, tc := range []struct {
		rotate int
		want   string
	}{{5000, "want 10000 at least"}, {-1, "want 10000 at least"}, {10_000, "a license has at most 32"}} {
		cfg.Dir, cfg.RotateMS = filepath.Join(t.TempDir(), "out"), tc.rotate
		if _, err := packager.Pack(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("a key every %d ms: %v", tc.rotate, err)
		}
	}
}

// playlist reads a playlist of a packed folder that content.json lists.
func playlist(t *testing.T, dir string, m *content.Manifest, name string) []string {
	t.Helper()
	f, ok := m.File(name)
	if !ok {
		t.Fatalf("content.json does not list %s", name)
	}
	return strings.Split(strings.TrimSpace(string(load(t, dir, f))), "\n")
}

func count(lines []string, part string) int {
	n := 0
	for _, l := range lines {
		if strings.Contains(l, part) {
			n++
		}
	}
	return n
}

// TestContent_4_Playlists: each format of key where its player looks for it, a
// tag where the key changes and nowhere else, and nothing named that is not listed.
func TestContent_4_Playlists(t *testing.T) {
	for _, tc := range []struct {
		scheme             cenc.Scheme
		method, name       string
		identity, clearkey int
	}{
		{cenc.SchemeCENC, "SAMPLE-AES-CTR", "hd.m3u8", 3, 3},
		{cenc.SchemeCBCS, "SAMPLE-AES,", "hd.m3u8", 3, 0},
		{cenc.SchemeCBCS, "SAMPLE-AES,", "hd-clearkey.m3u8", 0, 3},
	} {
		dir, res := rotated(t, tc.scheme, nil)
		m := res.Manifest
		lines := playlist(t, dir, m, tc.name)
		if count(lines, `KEYFORMAT="identity"`) != tc.identity || count(lines, `KEYFORMAT="org.w3.clearkey"`) != tc.clearkey || count(lines, "METHOD="+tc.method) != tc.identity+tc.clearkey || count(lines, "METHOD=NONE") != 0 {
			t.Errorf("%v %s:\n%s", tc.scheme, tc.name, strings.Join(lines, "\n"))
		}
		if first := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "#EXT-X-KEY") }); count(lines[:first], "#EXTINF") != 2 {
			t.Errorf("%v: the clear lead of two fragments has a key", tc.scheme)
		}
		masters := []string{m.HLS.Name}
		if tc.scheme == cenc.SchemeCBCS {
			masters = append(masters, "master-clearkey.m3u8")
		}
		for _, master := range masters {
			lines := playlist(t, dir, m, master)
			if count(lines, "#EXT-X-STREAM-INF") != 2 || count(lines, "TYPE=AUDIO") != 1 || count(lines, "TYPE=SUBTITLES") != 2 || count(lines, `NAME="A 'label'"`) != 1 {
				t.Errorf("%s:\n%s", master, strings.Join(lines, "\n"))
			}
			named(t, dir, m, master)
		}
	}
}

// named follows a playlist: everything it names is listed.
func named(t *testing.T, dir string, m *content.Manifest, name string) {
	t.Helper()
	for _, l := range playlist(t, dir, m, name) {
		to := l
		if strings.HasPrefix(l, "#") {
			_, rest, ok := strings.Cut(l, `URI="`)
			if !ok || strings.HasPrefix(l, "#EXT-X-KEY") {
				continue
			}
			to, _, _ = strings.Cut(rest, `"`)
		}
		to = filepath.ToSlash(filepath.Join(filepath.Dir(name), to))
		if _, ok := m.File(to); !ok {
			t.Errorf("%s names %s, which content.json does not list", name, to)
		}
		if strings.HasSuffix(to, ".m3u8") {
			named(t, dir, m, to)
		}
	}
}

// TestContent_4_AES128: a segment of HLS opens with the tier's further key and
// its own number as vector, and is the clear view.
func TestContent_4_AES128(t *testing.T) {
	dir, res := rotated(t, cenc.SchemeCBCS, func(c *packager.Config) { c.AES128 = true })
	named(t, dir, res.Manifest, "aes-128.m3u8")
	lines := playlist(t, dir, res.Manifest, "aes/hd.m3u8")
	_, rest, _ := strings.Cut(strings.Join(lines, "\n"), `METHOD=AES-128,URI="../key/`)
	var kid ident.Key
	if err := kid.UnmarshalText([]byte(rest[:36])); err != nil {
		t.Fatal(err)
	}
	key, err := keysOf(res.Delivery)(kid)
	if err != nil {
		t.Fatal(err)
	}
	block, err := key.Block()
	if err != nil {
		t.Fatal(err)
	}
	f, _ := res.Manifest.Track("hd")
	in, err := content.ParseInit(load(t, dir, f.Init))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range f.Segments {
		listed, _ := res.Manifest.File("aes/" + s.Name)
		b := load(t, dir, listed)
		iv := binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i)+1) //nolint:gosec // small
		cipher.NewCBCDecrypter(block, iv[:aes.BlockSize]).CryptBlocks(b, b)
		want := load(t, dir, s.File)
		frag, err := in.Fragment(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := frag.Decrypt(keysOf(res.Delivery)); err != nil {
			t.Fatal(err)
		}
		pad := int(b[len(b)-1])
		if pad < 1 || pad > 16 || !slices.Equal(b[:len(b)-pad], want) {
			t.Fatalf("%s is not the clear view", listed.Name)
		}
	}
}

func TestContent_4_RefusesSubtitlesThatAreNone(t *testing.T) {
	_, paths := inputs(t)
	for name, tc := range map[string]struct{ body, lang string }{
		"SubRip": {"1\n00:00:01,000 --> 00:00:02,000\nHello\n", "en"}, "prefix": {"WEBVTTX\n", "en"}, "bytes": {"WEBVTT\n\xff", "en"}, "language": {"WEBVTT\n", "../x"},
	} {
		file := filepath.Join(t.TempDir(), "s.vtt")
		if err := os.WriteFile(file, []byte(tc.body), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "out")
		_, err := packager.Pack(context.Background(), packager.Config{Inputs: paths[:1], Dir: dir, Content: "c", Title: "t", Subtitles: []packager.Subtitle{{Path: file, Language: tc.lang}}})
		if err == nil {
			t.Errorf("%s: packed", name)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a folder was left (%v)", name, err)
		}
	}
}
