package browsertest

import (
	"context"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
)

// playerPatience is how long a player that shows nothing is waited for. Source: local.
const playerPatience = 30 * time.Second

// MPV has mpv play three seconds of an address from a place, in seconds, and returns the
// last picture; nil where it shows none.
func MPV(tb testing.TB, url string, from int) image.Image {
	tb.Helper()
	dir := tb.TempDir()
	words := []string{needs.Tool(tb, "mpv"), "--no-config", "--really-quiet", "--vo=image", "--vo-image-format=png", "--vo-image-outdir=" + dir, "--ao=null", "--vf=fps=1", "--frames=3", url}
	if from > 0 { // also from 0 it would be a seek
		words = append(words, "--start="+strconv.Itoa(from))
	}
	run(tb, words...)
	return last(tb, dir)
}

// VLC has VLC play four seconds of an address from a place, in seconds, without a screen,
// and returns one of the last pictures; nil where it shows none.
func VLC(tb testing.TB, url string, from int) image.Image {
	tb.Helper()
	words, picture := VLCWords(tb, from)
	run(tb, append(words, url, "vlc://quit")...)
	return picture()
}

// VLCWords are the words that begin VLC so, to which an address is added, and what gives
// the picture then. VLC does not run as root: there it runs as nobody.
func VLCWords(tb testing.TB, from int) (words []string, picture func() image.Image) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "lares-vlc-*") //nolint:usetesting // others may not enter what is below tb.TempDir
	if err == nil {
		err = os.Chmod(dir, 0o777) //nolint:gosec // for nobody
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	words = []string{"env", "HOME=" + dir, needs.Tool(tb, "cvlc")}
	if os.Geteuid() == 0 {
		words = append([]string{needs.Tool(tb, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"}, words...)
	}
	return append(words, "--intf=dummy", "--vout=dummy", "--aout=dummy", "--no-media-library", "--video-filter=scene", "--scene-format=png", "--scene-ratio=12",
		"--scene-path="+dir, "--start-time="+strconv.Itoa(from), "--run-time=4", "--play-and-exit", "-q"), func() image.Image { return last(tb, dir) }
}

// run runs a player to its end. What it shows is judged by its pictures.
func run(tb testing.TB, words ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), playerPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // a tool of the tests
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Logf("%s: %v\n%s", filepath.Base(words[0]), err, out)
	}
}

// last is the newest picture of a folder.
func last(tb testing.TB, dir string) image.Image {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil || len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	return readPNG(tb, found[len(found)-1])
}
