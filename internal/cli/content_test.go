package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/content/packager"
	"github.com/lares-drm/lares/internal/needs"
)

const (
	goldenDir = "../../content/testdata/golden/"
	goldenKID = "01111111111111111111111111111111"
	goldenKey = goldenKID + "=00112233445566778899aabbccddeeff"
	wrongKey  = goldenKID + ":00112233445566778899aabbccddee00"
)

// sameStreams compares what is in two MP4 files.
func sameStreams(t *testing.T, got, want string) {
	t.Helper()
	a, err := packager.StreamHashes(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := packager.StreamHashes(want)
	if err != nil {
		t.Fatal(err)
	}
	for kind := range a {
		if a[kind] != b[kind] {
			t.Errorf("%s: the %s stream is not that of %s", got, kind, want)
		}
	}
	if len(a) == 0 {
		t.Errorf("%s has no streams", got)
	}
}

func TestContent_DecryptGivesTheClearFile(t *testing.T) {
	for _, name := range []string{"ffmpeg-progressive", "ffmpeg-faststart", "shaka-cbcs-video", "shaka-cens-audio"} {
		out := filepath.Join(t.TempDir(), "out.mp4")
		if _, errs, code := run(t, "content", "decrypt", "--key", goldenKey, goldenDir+name+".mp4", out); code != 0 {
			t.Fatalf("%s: %d, %s", name, code, errs)
		}
		sameStreams(t, out, goldenDir+"clear.mp4")
	}
}

func TestContent_DecryptFromAPipeToAPipe(t *testing.T) {
	in, err := os.ReadFile(goldenDir + "ffmpeg-faststart.mp4")
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	env := &Env{Stdin: bytes.NewReader(in), Stdout: &out, Stderr: &errs, Now: time.Now}
	if code := Main(t.Context(), []string{"content", "decrypt", "--key", goldenKey, "-", "-"}, env); code != 0 {
		t.Fatal(code, errs.String())
	}
	name := filepath.Join(t.TempDir(), "out.mp4")
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	sameStreams(t, name, goldenDir+"clear.mp4")
}

// TestContent_RefusedKeys: a key that is missing is named, with the license that
// would give it; one that gives noise is found out; and the file that was there
// before is left as it was.
func TestContent_RefusedKeys(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.mp4")
	if err := os.WriteFile(out, []byte("the old one"), 0o600); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(dir, "sd")
	if err := os.Mkdir(beside, 0o700); err != nil {
		t.Fatal(err)
	}
	manifest := `{"format":1,"content":"the-film","title":"T","scheme":"cenc","duration_ms":3000,
	 "mpd":{"name":"manifest.mpd","bytes":1,"sha256":"` + strings.Repeat("0", 64) + `"},
	 "tracks":[{"name":"sd","kind":"video","tier":"SD","kid":"01111111-1111-1111-1111-111111111111","bps":1,"bandwidth":8,"codecs":"avc1","timescale":1000,"width":96,"height":54,
	  "init":{"name":"sd/init.mp4","bytes":1,"sha256":"` + strings.Repeat("0", 64) + `"},
	  "segments":[{"name":"sd/1.m4s","bytes":1,"sha256":"` + strings.Repeat("0", 64) + `","start_ms":0,"duration_ms":3000}]}]}`
	if _, err := content.ParseManifest([]byte(manifest)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, content.ManifestName), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(goldenDir + "shaka-cenc-video.mp4")
	if err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(beside, "1.m4s")
	if err := os.WriteFile(packed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(goldenKey, "01", "02", 1)
	for name, tc := range map[string]struct {
		key, in string
		code    int
		say     []string
	}{
		"missing":          {other, goldenDir + "shaka-cenc-video.mp4", 3, []string{"01111111-1111-1111-1111-111111111111", "no --key"}},
		"with a manifest":  {other, packed, 3, []string{"tier SD", `"the-film"`, "lares device get"}},
		"wrong, sound":     {wrongKey, goldenDir + "shaka-cenc-audio.mp4", 3, []string{"wrong key", "01111111-1111-1111-1111-111111111111", "--force"}},
		"wrong, two kinds": {wrongKey, goldenDir + "ffmpeg-progressive.mp4", 3, []string{"wrong key"}},
		"no key":           {"12:34", goldenDir + "shaka-cenc-audio.mp4", 2, []string{"KID=KEY"}},
	} {
		_, errs, code := run(t, "content", "decrypt", "--key", tc.key, tc.in, out)
		if code != tc.code {
			t.Errorf("%s: status %d, want %d: %s", name, code, tc.code, errs)
		}
		for _, s := range tc.say {
			if !strings.Contains(errs, s) {
				t.Errorf("%s: %q does not say %q", name, errs, s)
			}
		}
		if strings.Contains(errs, "aabbccdd") {
			t.Errorf("%s: a key was printed", name)
		}
		if b, err := os.ReadFile(out); err != nil || string(b) != "the old one" {
			t.Errorf("%s: the old output is gone: %v", name, err)
		}
	}
	if _, errs, code := run(t, "content", "decrypt", "--force", "--key", wrongKey, goldenDir+"shaka-cenc-audio.mp4", out); code != 0 {
		t.Errorf("--force: %d, %s", code, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".lares-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestContent_UnprovenKeysAreNamed: so little of a picture is protected that noise
// may pass for it. It is said.
func TestContent_UnprovenKeysAreNamed(t *testing.T) {
	_, errs, code := run(t, "content", "decrypt", "--key", goldenKey, goldenDir+"shaka-cbcs-video.mp4", filepath.Join(t.TempDir(), "out"))
	if code != 0 || !strings.Contains(errs, "tells a wrong key from the right one") {
		t.Errorf("%d, %q", code, errs)
	}
}

// TestContent_DiskFullLeavesTheOldFileWhole lets no file grow over 4 KiB: writing
// fails in the middle. The limit is that of a process, so it is one of its own: this
// program, run again.
func TestContent_DiskFullLeavesTheOldFileWhole(t *testing.T) {
	const folder = "LARES_TEST_DISK_FULL"
	if dir := os.Getenv(folder); dir != "" {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: 4096}); err != nil {
			t.Fatal(err)
		}
		_, errs, code := run(t, "content", "decrypt", "--key", goldenKey, goldenDir+"ffmpeg-progressive.mp4", filepath.Join(dir, "out.mp4"))
		if code != 1 || !strings.Contains(errs, "file too large") {
			t.Errorf("status %d, %s", code, errs)
		}
		return
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out.mp4")
	if err := os.WriteFile(out, []byte("the old one"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v") //nolint:gosec // this program
	cmd.Env = append(os.Environ(), folder+"="+dir)
	if msg, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(msg, []byte("--- PASS")) {
		t.Errorf("%v: %s", err, msg)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "the old one" {
		t.Errorf("the old output: %q, %v", b, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".lares-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestContent_InspectExplainsOtherPeoplesFiles(t *testing.T) {
	for name, say := range map[string][]string{
		"shaka-rotation":     {"3 fragments", "key rotation: 3 keys", "Common (W3C)", "vectors of 8 bytes", "tier SD"},
		"shaka-cbcs-video":   {"clear lead: 1000 ms", "pattern 1:9", "a constant vector", "24 samples, 24 with subsamples"},
		"ffmpeg-progressive": {"a progressive file", "mp4a.40.2, cenc", "48 samples, whole", "tier AUDIO"},
		"clear":              {"in the clear"},
	} {
		out, errs, code := run(t, "content", "inspect", goldenDir+name+".mp4")
		for _, s := range say {
			if code != 0 || !strings.Contains(out, s) {
				t.Errorf("%s: status %d, %s: %q does not say %q", name, code, errs, out, s)
			}
		}
		out, _, _ = run(t, "content", "inspect", goldenDir+name+".mp4", "--json")
		var in inspection
		if err := json.Unmarshal([]byte(out), &in); err != nil || in.Protected == (name == "clear") {
			t.Errorf("%s: %v, protected %v", name, err, in.Protected)
		}
	}
}

func TestContent_EncryptByTier(t *testing.T) {
	dir := t.TempDir()
	clear := filepath.Join(dir, "clear.mp4")
	cmd := exec.CommandContext(t.Context(), needs.Tool(t, "ffmpeg"), "-v", "error", "-i", goldenDir+"clear.mp4", "-c", "copy", "-movflags", "+frag_keyframe+empty_moov+default_base_moof", clear)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v, %s", err, msg)
	}
	sound, picture := "AUDIO:"+strings.Repeat("0a", 16)+"="+strings.Repeat("0b", 16), "SD:"+strings.Repeat("0c", 16)+"="+strings.Repeat("0d", 16)
	protected, back := filepath.Join(dir, "protected.mp4"), filepath.Join(dir, "back.mp4")
	if _, errs, code := run(t, "content", "encrypt", "--key", sound, clear, protected); code != 3 || !strings.Contains(errs, "--key SD:KID=KEY") {
		t.Errorf("a tier without a key: %d, %s", code, errs)
	}
	if _, err := os.Stat(protected); err == nil {
		t.Error("a file was left")
	}
	for _, scheme := range []string{"cenc", "cbcs"} {
		if _, errs, code := run(t, "content", "encrypt", "--scheme", scheme, "--key", sound, "--key", picture, clear, protected); code != 0 {
			t.Fatalf("encrypt: %d, %s", code, errs)
		}
		if _, errs, code := run(t, "content", "decrypt", "--key", sound[6:], "--key", picture[3:], protected, back); code != 0 {
			t.Fatalf("decrypt: %d, %s", code, errs)
		}
		sameStreams(t, back, goldenDir+"clear.mp4")
	}
	for _, bad := range []string{"SD", "4K:" + sound[6:], "SD:" + sound} {
		if _, errs, code := run(t, "content", "encrypt", "--key", bad, clear, protected); code != 2 {
			t.Errorf("--key %s: %d, %s", bad, code, errs)
		}
	}
}

// TestContent_InterruptedLeavesNothing: Ctrl-C ends it, and no half file stays.
func TestContent_InterruptedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs, Now: time.Now}
	if code := Main(ctx, []string{"content", "decrypt", "--key", goldenKey, goldenDir + "ffmpeg-progressive.mp4", filepath.Join(dir, "out.mp4")}, env); code != 1 {
		t.Errorf("status %d: %s", code, errs.String())
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
