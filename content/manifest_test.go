package content_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/cenc"
)

func file(name string) content.File {
	return content.File{Name: name, Bytes: 9, SHA256: content.Digest{1}}
}

// manifest is a small good one.
func manifest() *content.Manifest {
	poster := file("poster.jpg")
	track := func(name, kind string, tier content.Tier, w, h int) content.TrackFiles {
		return content.TrackFiles{
			Name: name, Kind: kind, Tier: tier, KID: kid1, BPS: 1, Bandwidth: 8, Codecs: "x", Timescale: 1000, Width: w, Height: h,
			Init:     file(name + "/init.mp4"),
			Segments: []content.Segment{{File: file(name + "/1.m4s"), DurationMS: 4000}, {File: file(name + "/2.m4s"), StartMS: 4000, DurationMS: 1}},
		}
	}
	return &content.Manifest{
		Format: 1, Content: "film", Title: "Film", Scheme: cenc.SchemeCENC, DurationMS: 4001, MPD: file("manifest.mpd"), Poster: &poster,
		Tracks: []content.TrackFiles{
			track("audio", "audio", content.Audio, 0, 0), track("sd", "video", content.SD, 640, 360),
			track("sd-2", "video", content.SD, 320, 180), track("hd", "video", content.HD, 1280, 720),
		},
	}
}

func TestManifest_RoundTrip(t *testing.T) {
	b, err := manifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ParseManifest(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(manifest(), m); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]bool{"hd/2.m4s": true, "sd/init.mp4": true, "manifest.mpd": true, "poster.jpg": true, "content.json": false, "keys.lkd": false, "": false} {
		if f, ok := m.File(name); ok != want || ok && f.Name != name {
			t.Errorf("File(%q) = %v, %v", name, f, ok)
		}
	}
	for tier, want := range map[content.Tier]string{content.Audio: "audio", content.SD: "sd", content.HD: "hd", content.UHD: "hd"} {
		if f, ok := m.Best(tier); !ok || f.Name != want {
			t.Errorf("Best(%v) = %v, %v, want %s", tier, f, ok, want)
		}
	}
	m.Tracks = m.Tracks[3:]
	if f, ok := m.Best(content.SD); ok {
		t.Errorf("Best(SD) of an HD ladder = %s", f.Name)
	}
	if _, ok := m.Track("hd"); !ok {
		t.Error("no track hd")
	}
	if _, ok := m.Track("sd"); ok {
		t.Error("track sd was taken out")
	}
}

func TestManifest_NamesStayInTheFolder(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", "../x", "a/../b", "a/..", "/etc/passwd", "a//b", "a/", `a\b`, `..\x`, "c:x", "C:", ".hidden", "a/.b",
		"a\x00b", "a b", "ä", "a%2fb", "a?b", strings.Repeat("a", 256),
	} {
		for what, set := range map[string]func(*content.Manifest){
			"mpd":     func(m *content.Manifest) { m.MPD.Name = name },
			"poster":  func(m *content.Manifest) { m.Poster.Name = name },
			"init":    func(m *content.Manifest) { m.Tracks[0].Init.Name = name },
			"segment": func(m *content.Manifest) { m.Tracks[0].Segments[1].Name = name },
			"track":   func(m *content.Manifest) { m.Tracks[0].Name = name },
		} {
			m := manifest()
			set(m)
			if err := m.Validate(); !errors.Is(err, content.ErrManifest) {
				t.Errorf("%s named %q: %v", what, name, err)
			}
		}
	}
}

func TestManifest_Rules(t *testing.T) {
	for name, spoil := range map[string]func(*content.Manifest){
		"format":             func(m *content.Manifest) { m.Format = 2 },
		"content ID":         func(m *content.Manifest) { m.Content = "" },
		"title":              func(m *content.Manifest) { m.Title = "" },
		"scheme":             func(m *content.Manifest) { m.Scheme = 0 },
		"duration":           func(m *content.Manifest) { m.DurationMS = 0 },
		"no tracks":          func(m *content.Manifest) { m.Tracks = nil },
		"file twice":         func(m *content.Manifest) { m.Tracks[1].Init.Name = "audio/init.mp4" },
		"own name":           func(m *content.Manifest) { m.MPD.Name = "content.json" },
		"empty file":         func(m *content.Manifest) { m.MPD.Bytes = 0 },
		"audio in HD":        func(m *content.Manifest) { m.Tracks[0].Tier = content.HD },
		"video in AUDIO":     func(m *content.Manifest) { m.Tracks[1].Tier = content.Audio },
		"kind":               func(m *content.Manifest) { m.Tracks[1].Kind = "text" },
		"no rate":            func(m *content.Manifest) { m.Tracks[1].BPS = 0 },
		"rate overflows":     func(m *content.Manifest) { m.Tracks[1].BPS = 1 << 63 },
		"no segments":        func(m *content.Manifest) { m.Tracks[1].Segments = nil },
		"segments backwards": func(m *content.Manifest) { m.Tracks[1].Segments[1].StartMS = 0 },
		"segment of no time": func(m *content.Manifest) { m.Tracks[1].Segments[1].DurationMS = 0 },
		"timescale":          func(m *content.Manifest) { m.Tracks[1].Timescale = 0 },
		"negative width":     func(m *content.Manifest) { m.Tracks[1].Width = -1 },
	} {
		m := manifest()
		spoil(m)
		if err := m.Validate(); !errors.Is(err, content.ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := m.Encode(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
	b, err := manifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"unknown key":   strings.Replace(string(b), `"format"`, `"x": 1, "format"`, 1),
		"second value":  string(b) + "{}",
		"short digest":  strings.Replace(string(b), `"sha256": "01`, `"sha256": "`, 1),
		"tier":          strings.Replace(string(b), `"AUDIO"`, `"LOUD"`, 1),
		"nothing":       "",
		"digest upcase": strings.Replace(string(b), `"sha256": "01`, `"sha256": "0A`, 1),
	} {
		if _, err := content.ParseManifest([]byte(text)); !errors.Is(err, content.ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTier_ByPixels(t *testing.T) {
	for _, tc := range []struct {
		w, h int
		want content.Tier
	}{{640, 360, content.SD}, {768, 576, content.SD}, {1280, 720, content.HD}, {1920, 1080, content.HD}, {1920, 1088, content.UHD}, {3840, 2160, content.UHD}} {
		if got := content.TierOf(tc.w, tc.h); got != tc.want {
			t.Errorf("%dx%d is %v, want %v", tc.w, tc.h, got, tc.want)
		}
	}
	if _, err := content.ParseTier("LOUD"); !errors.Is(err, content.ErrTier) {
		t.Error(err)
	}
}
