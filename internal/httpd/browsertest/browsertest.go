// Package browsertest is a test kit: it plays a title of a served house in real
// headless Chromium and says what happened there.
//
// It needs node, Chromium and node_modules/playwright-core (make setup installs
// them); a test without them is listed as NOT RUN.
package browsertest

import (
	"encoding/json"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// Options say what to play. The zero value plays the first title for three
// seconds and then stops it from the home server.
type Options struct {
	Title   string  // content ID
	Seconds float64 // to play; default 3
	Keep    bool    // leave the session open
	Pages   string  // folder for pictures of every page; empty: none
	HDCP    string  // version that a key system of this browser shall say is on; empty: none says anything
}

// Result is what the browser saw.
type Result struct {
	From      float64 // currentTime at the first look, seconds
	To        float64 // after Seconds
	Width     int     // of the video, pixels
	Height    int
	Encrypted bool // the video had media keys
	Session   string
	Confirmed string  // what the page asked before it played
	Ended     string  // the page's reason when it could not play
	StopMS    float64 // from the stop until the picture was gone, by the page's clock, milliseconds
	LagMS     float64 // how late the page's timers were meanwhile, at most
	After     struct {
		Paused, Hidden bool
		Loaded         int // readyState: 0 when nothing is left
		Reason         string
	}
	Text     string   // of the library page
	Overflow bool     // a page is wider than the screen
	Console  []string // errors
	Error    string   // the script's own
	Box      struct{ X, Y, Width, Height int }
	Picture  image.Image `json:"-"` // of the playing page
}

// Play opens the house at url and plays. Failures of the browser end the test;
// what the house did is for the caller to judge.
func Play(tb testing.TB, url string, o Options) *Result {
	tb.Helper()
	shot := filepath.Join(tb.TempDir(), "playing.png")
	opt := map[string]any{"url": url, "shot": shot, "stop": !o.Keep}
	if o.Title != "" {
		opt["title"] = o.Title
	}
	if o.Seconds > 0 {
		opt["seconds"] = o.Seconds
	}
	if o.Pages != "" {
		opt["pages"] = o.Pages
	}
	if o.HDCP != "" {
		opt["hdcp"] = o.HDCP
	}
	res := &Result{}
	script(tb, "play.mjs", opt, res)
	if res.Error != "" {
		tb.Fatalf("browser: %s\nconsole: %q\npage: %s", res.Error, res.Console, res.Ended)
	}
	if res.Ended == "" {
		res.Picture = readPNG(tb, shot)
	}
	return res
}

// script runs one of this package's scripts and reads the line of JSON that it
// prints.
func script(tb testing.TB, name string, opt map[string]any, into any) {
	tb.Helper()
	node, chromium := needs.Tool(tb, "node"), needs.Tool(tb, "chromium")
	root := moduleRoot(tb)
	needs.File(tb, filepath.Join(root, "node_modules", "playwright-core", "package.json"), "playwright-core is not installed (make setup installs it)")
	opt["chromium"], opt["modules"] = chromium, root
	arg, err := json.Marshal(opt)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), node, filepath.Join(root, "internal/httpd/browsertest", name), string(arg))
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		tb.Fatalf("node: %v", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		tb.Fatalf("read the browser's result %q: %v", data, err)
	}
}

func readPNG(tb testing.TB, name string) image.Image {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	img, err := png.Decode(f)
	if err != nil {
		tb.Fatal(err)
	}
	return img
}

// Colors counts how many different colors the video shows, and which share of
// its pixels is black, from 0 to 1.
func (r *Result) Colors() (colors int, black float64) {
	seen := map[[3]uint8]bool{}
	var dark, all int
	for y := r.Box.Y; y < r.Box.Y+r.Box.Height; y++ {
		for x := r.Box.X; x < r.Box.X+r.Box.Width; x++ {
			if !(image.Point{X: x, Y: y}).In(r.Picture.Bounds()) {
				continue
			}
			cr, cg, cb, _ := r.Picture.At(x, y).RGBA()
			c := [3]uint8{uint8(cr >> 8), uint8(cg >> 8), uint8(cb >> 8)} //nolint:gosec // 8 of 16 bits
			seen[c] = true
			all++
			if c[0] < 16 && c[1] < 16 && c[2] < 16 {
				dark++
			}
		}
	}
	if all == 0 {
		return 0, 1
	}
	return len(seen), float64(dark) / float64(all)
}

// moduleRoot is the folder of go.mod above the test's own.
func moduleRoot(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			tb.Fatal("no go.mod above the test")
		}
		dir = up
	}
}
