package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/internal/needs"
)

// matroska makes a film in another container: two kinds of subtitles, chapters,
// codecs that are packed.
func matroska(t *testing.T) string {
	t.Helper()
	ffmpeg := needs.Tool(t, "ffmpeg")
	dir := t.TempDir()
	put := func(name, body string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	srt := put("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nGuten Tag\n")
	meta := put("meta", ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=3000\ntitle=Begin\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=3000\nEND=6000\ntitle=End\n")
	out := filepath.Join(dir, "film.mkv")
	args := strings.Fields("-v error -nostdin -f lavfi -i testsrc2=s=320x240:r=25:d=6 -f lavfi -i sine=r=48000:d=6 -i " + srt + " -i " + meta +
		" -map 0 -map 1 -map 2 -map_metadata 3 -c:v libx264 -preset ultrafast -g 25 -c:a libopus -c:s srt -metadata:s:s:0 language=ger " + out)
	if b, err := exec.Command(ffmpeg, args...).CombinedOutput(); err != nil { //nolint:noctx // a test
		t.Fatalf("ffmpeg: %v: %s", err, b)
	}
	return out
}

// TestCLI_Pack_OtherContainers: what is in the container comes along, and the
// streams are those of the source.
func TestCLI_Pack_OtherContainers(t *testing.T) {
	film := matroska(t)
	dir := filepath.Join(t.TempDir(), "film")
	vtt := filepath.Join(t.TempDir(), "fr.vtt")
	if err := os.WriteFile(vtt, []byte("WEBVTT\n\n00:01.000 --> 00:02.000\nBonjour\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, cert := recipient(t)
	out, msg, status := runPackCommands("pack", film, "--title", "t", "--content", "c", "--to", cert, "--out", dir, "--json", "--subtitle", "fr:"+vtt)
	if status != statusDone {
		t.Fatal(msg)
	}
	var p packed
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Tracks) != 2 || p.Tracks[0].Codecs != "opus" || p.Chapters != 2 || !slices.Equal(p.Subtitles, []string{"fr", "ger"}) {
		t.Errorf("packed %+v", p)
	}
	data, err := os.ReadFile(filepath.Join(dir, content.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if m.Poster == nil || m.Chapters[1] != (content.Chapter{StartMS: 3000, Title: "End"}) {
		t.Errorf("poster %v, chapters %v", m.Poster, m.Chapters)
	}
	if text, err := os.ReadFile(filepath.Join(dir, m.Subtitles[1].Name)); err != nil || !strings.Contains(string(text), "Guten Tag") {
		t.Errorf("subtitles %q, %v", text, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q (%v)", left, err)
	}
}

// TestCLI_Pack_RefusesWhatItCannotRead: the message says what is missing.
func TestCLI_Pack_RefusesWhatItCannotRead(t *testing.T) {
	_, cert := recipient(t)
	text := filepath.Join(t.TempDir(), "film.mkv")
	if err := os.WriteFile(text, []byte("not a film, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"pack", text, "--title", "t", "--content", "c", "--to", cert, "--out", filepath.Join(t.TempDir(), "film")}
	t.Run("without ffmpeg", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, msg, status := runPackCommands(args...); status != statusError || !strings.Contains(msg, "apt-get install ffmpeg") {
			t.Errorf("status %d: %s", status, msg)
		}
	})
	needs.Tool(t, "ffmpeg")
	if _, msg, status := runPackCommands(args...); status != statusError || !strings.Contains(msg, "ffprobe") {
		t.Errorf("status %d: %s", status, msg)
	}
	for _, bad := range [][]string{{"--subtitle", "fr"}, {"--subtitle", "../x:y"}, {"--rotate", "5s"}, {"--clear-lead", "-1s"}} {
		if _, msg, status := runPackCommands(append(slices.Clone(args), bad...)...); status != statusUsage {
			t.Errorf("%q: status %d: %s", bad, status, msg)
		}
	}
}

// TestCLI_Pack_WorksWithoutFFmpeg: an MP4 file needs nothing else.
func TestCLI_Pack_WorksWithoutFFmpeg(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, _, p := packFilm(t, filepath.Join(t.TempDir(), "film"), "--rotate", "20s", "--clear-lead", "5s", "--hls-aes128")
	if len(p.Tracks) != 3 || p.Tracks[1].Keys != 3 {
		t.Errorf("%+v", p.Tracks)
	}
}
