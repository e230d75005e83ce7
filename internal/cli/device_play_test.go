package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// streamHashes are ffmpeg's hashes of the streams of a file or address.
func streamHashes(t *testing.T, from ...string) string {
	t.Helper()
	args := append(append([]string{"-v", "error", "-nostdin"}, from...), "-c", "copy", "-f", "streamhash", "-hash", "md5", "-")
	out, err := exec.CommandContext(t.Context(), needs.Tool(t, "ffmpeg"), args...).Output()
	if err != nil {
		t.Fatalf("ffmpeg %q: %v", args, err)
	}
	return string(out)
}

// playingHouse is a house whose phone may play a title so often.
func playingHouse(t *testing.T, plays int) *demo {
	t.Helper()
	d := killHouse(t)
	d.buy(t, d.household(t), boughtCBCS, plays)
	if _, err := d.must(t.Context(), "device", "get", string(boughtCBCS), "--plays", fmt.Sprint(plays), "--dir", d.path("phone")); err != nil {
		t.Fatal(err)
	}
	return d
}

// household is the house as its shop knows it.
func (d *demo) household(t *testing.T) string {
	t.Helper()
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(t.Context(), &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	return house.ID
}

// byDevice is how the README's table calls what follows.
const byDevice = "lares device play"

// TestPlay_OtherPlayers plays a title in the players that are there, without a
// screen: by an address with sound, picture and seeking, and by a pipe; what they get is
// the source. Each is a play, and when there are none left no player is started.
func TestPlay_OtherPlayers(t *testing.T) {
	needs.Long(t)
	for _, name := range []string{"ffmpeg", "mpv", "ffplay"} {
		needs.Tool(t, name)
	}
	t.Setenv("SDL_VIDEODRIVER", "dummy")
	t.Setenv("SDL_AUDIODRIVER", "dummy")
	d := playingHouse(t, 7)
	got := d.path("hashes")
	play := func(args ...string) played {
		t.Helper()
		out, err := d.must(t.Context(), append([]string{"device", "play", string(boughtCBCS), "--dir", d.path("phone"), "--json"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var p played
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return p
	}
	hashed := func() string {
		b, err := os.ReadFile(got)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	hd := d.source(t, "hd.mp4")
	p := play("--player", "ffmpeg -v error -nostdin -i {} -map 0:v -map 0:a -c copy -f streamhash -hash md5 "+got)
	if want := streamHashes(t, "-i", hd, "-map", "0:v", "-map", "0:a"); hashed() != want || p.Tier != content.HD || p.Segments != 30 {
		t.Errorf("ffmpeg by the address: %s, want %s; %+v", hashed(), want, p)
	}
	if err := os.Remove(got); err != nil {
		t.Fatal(err)
	}
	p = play("--tier", "SD", "--pipe", "ffmpeg -v error -i pipe:0 -map 0 -c copy -f streamhash -hash md5 "+got)
	if want := streamHashes(t, "-i", d.source(t, "sd.mp4"), "-map", "0:v"); hashed() != want || p.Tier != content.SD || p.Segments != 15 {
		t.Errorf("ffmpeg by a pipe: %s, want %s; %+v", hashed(), want, p)
	}
	// A second at 50 s. What it reads on the way is mpv's to choose.
	if p = play("--player", "mpv --no-config --vo=null --ao=null --really-quiet --cache=no --start=50 --length=1"); p.Segments < 2 {
		t.Errorf("mpv: %+v", p)
	}
	browsertest.Plays{Player: "mpv", Path: byDevice, Result: browsertest.Works}.Check(t)
	words, picture := browsertest.VLCWords(t, 0) // it goes on with the play of mpv
	if p = play("--player", strings.Join(words, " ")+" {} vlc://quit"); p.Segments < 2 || picture() == nil {
		t.Errorf("VLC: %+v", p)
	}
	browsertest.Plays{Player: "VLC", Path: byDevice, Result: browsertest.Works}.Check(t)
	// ffplay leaves the pipe before the end of the film, and that is no error.
	if p = play("--pipe", "env SDL_VIDEODRIVER=dummy ffplay -v error -autoexit -t 1 -i pipe:0"); p.Segments == 0 {
		t.Errorf("ffplay: %+v", p)
	}
	t.Run("serve", func(t *testing.T) { d.serves(t, hd) })
	t.Run("render", func(t *testing.T) { d.renders(t, d.household(t), hd) })
	for left := 7; ; left-- { // how far ffplay came, and so what is left, is ffplay's to choose
		a, err := d.run(t.Context(), "device", "play", string(boughtCBCS), "--dir", d.path("phone"), "--json", "--again", "--pipe", "sha256sum")
		if err != nil || left == 0 {
			t.Fatalf("seven plays do not end: %+v, %v", a, err)
		}
		if a.code == statusRefused {
			break
		}
	}
	mark := d.path("started")
	a, err := d.run(t.Context(), "device", "play", string(boughtCBCS), "--dir", d.path("phone"), "--json", "--again", "--player", "touch "+mark)
	if err != nil || a.code != statusRefused || !strings.Contains(a.stdout, string(license.CountExhausted)) {
		t.Errorf("a play beyond the last: status %d, %s, %v", a.code, a.stdout, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a player was started for a play that is refused")
	}
}

// source is a film as it was before it was packed.
func (d *demo) source(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	b, err := os.ReadFile(filepath.Join("..", "..", "content", "film", name))
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// serves reads an address by ranges, as any player may.
func (d *demo) serves(t *testing.T, hd string) {
	cmd := d.command(t.Context(), []string{"device", "play", string(boughtCBCS), "--dir", d.path("phone"), "--json", "--serve"})
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var at served
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&at); err != nil {
		t.Fatal(err)
	}
	whole := fetchRange(t, at.Tracks["hd"], "", "", http.StatusOK) // once: twice is two plays
	file := filepath.Join(t.TempDir(), "whole.mp4")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := streamHashes(t, "-i", file, "-map", "0"), streamHashes(t, "-i", hd, "-map", "0:v"); got != want {
		t.Errorf("the whole file: %s, want %s", got, want)
	}
	for _, r := range [][2]int{{0, 99}, {500_000, 700_000}, {len(whole) - 5, len(whole) - 1}, {100_000, 100_000}} {
		part := fetchRange(t, at.Tracks["hd"], fmt.Sprintf("bytes=%d-%d", r[0], r[1]), "", http.StatusPartialContent)
		if !bytes.Equal(part, whole[r[0]:r[1]+1]) {
			t.Errorf("range %v is not that of the file", r)
		}
	}
	fetchRange(t, at.Tracks["hd"], fmt.Sprintf("bytes=%d-", len(whole)), "", http.StatusRequestedRangeNotSatisfiable)
	fetchRange(t, at.URL, "", "house.example:80", http.StatusNotFound)
	fetchRange(t, strings.Replace(at.URL, "/play.m3u8", "x/play.m3u8", 1), "", "", http.StatusNotFound)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

func fetchRange(t *testing.T, url, ranges, host string, want int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranges != "" {
		req.Header.Set("Range", ranges)
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // a test
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		t.Fatalf("%s %s: status %d, want %d (%v)", url, ranges, res.StatusCode, want, err)
	}
	return b
}

// TestPlay_ShowsWhatTheSessionHasKeysFor: outputs decide about keys, and keys about
// what a player gets.
func TestPlay_ShowsWhatTheSessionHasKeysFor(t *testing.T) {
	kid := func(n byte) ident.Key { return ident.Key{n} }
	m := &content.Manifest{Tracks: []content.TrackFiles{
		{Name: "audio", Kind: "audio", Tier: content.Audio, KID: kid(1)}, {Name: "sd", Tier: content.SD, KID: kid(2)}, {Name: "hd", Tier: content.HD, KID: kid(3)}, {Name: "uhd", Tier: content.UHD, KID: kid(4)},
	}}
	for _, tc := range []struct {
		kids []ident.Key
		most content.Tier
		want string
	}{
		{[]ident.Key{kid(1), kid(2), kid(3), kid(4)}, content.HD, "hd audio"},
		{[]ident.Key{kid(1), kid(2), kid(3), kid(4)}, content.UHD, "uhd audio"},
		{[]ident.Key{kid(1), kid(2)}, content.UHD, "sd audio"},
		{[]ident.Key{kid(1)}, content.UHD, "audio"},
		{[]ident.Key{kid(3)}, content.HD, "hd"},
		{[]ident.Key{kid(1), kid(3)}, content.Audio, "audio"},
		{nil, content.UHD, ""},
	} {
		var names []string
		for _, f := range usable(m, tc.kids, tc.most) {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != tc.want {
			t.Errorf("with %d keys up to %v: %q, want %q", len(tc.kids), tc.most, got, tc.want)
		}
	}
}

// TestPlay_IndexSaysWhereSegmentsAre: the box before the segments gives each its length
// and its time.
func TestPlay_IndexSaysWhereSegmentsAre(t *testing.T) {
	box := sidx([]content.Segment{{File: content.File{Bytes: 700}, StartMS: 40, DurationMS: 4000}, {File: content.File{Bytes: 80_000}, StartMS: 4030, DurationMS: 2001}})
	at := func(i int) uint32 { return binary.BigEndian.Uint32(box[i:]) }
	if int(at(0)) != len(box) || string(box[4:8]) != "sidx" || at(16) != 1000 || at(24) != 40 || at(36) != 2 {
		t.Fatalf("%x", box)
	}
	for i, want := range [][3]uint32{{700, 3990, 0x90000000}, {80_000, 2001, 0x90000000}} {
		if got := [3]uint32{at(40 + 12*i), at(44 + 12*i), at(48 + 12*i)}; got != want {
			t.Errorf("segment %d: %x, want %x", i, got, want)
		}
	}
}

func TestCLI_DevicePlay_WantsOnePlaceToPlayTo(t *testing.T) {
	for _, args := range [][]string{{}, {"--out", "x", "--serve"}, {"--player", "mpv", "--pipe", "mpv -"}, {"--player", " "}} {
		if _, msg, code := run(t, append([]string{"device", "play", "film", "--dir", t.TempDir()}, args...)...); code != statusUsage || !strings.Contains(msg, "want one of") {
			t.Errorf("%q: status %d: %s", args, code, msg)
		}
	}
}
