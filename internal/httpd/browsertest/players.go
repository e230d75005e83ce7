package browsertest

import (
	"encoding/json"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// Browsers are the browsers that a film is played in, each with its program, and as
// people call it.
var Browsers = []struct{ Name, Program, Title string }{{"chromium", "chromium", "Chromium"}, {"firefox", "firefox-esr", "Firefox"}}

// Show says what to play where. Either House or Player and Source are set.
type Show struct {
	Browser string // of Browsers
	URL     string // of the house, or of the page with the players
	House   string // content ID of a title that the house plays
	Player  string // "shaka" or "hls.js"
	Source  string // address of the manifest or playlist
	Picture string // file name of the picture in Pictures
}

// Shown is what the browser saw.
type Shown struct {
	Width, Height int // of the video, pixels, when the picture was taken
	Encrypted     bool
	Heights       []int    // that the player could choose from, pixels
	Texts         []string // languages of the subtitles
	Cues          []string // that were on the screen
	Sought        float64  // currentTime after the last seek, seconds
	Stops         []Stop   // of a house
	Box           struct{ X, Y, Width, Height int }
	Console       []string    // errors
	Error         string      // the script's own
	Picture       image.Image `json:"-"`
}

// Stop is how long a picture stayed after the house ended its session.
type Stop struct {
	MS  float64 `json:"ms"`  // by the page's clock
	Lag float64 `json:"lag"` // how late the page's timers were meanwhile, at most; milliseconds
}

// Pictures is the folder for the pictures that the tests take.
func Pictures(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("LARES_PICTURES")
	if dir == "" {
		dir = filepath.Join(moduleRoot(tb), "bin", "pictures")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // pictures to look at
		tb.Fatal(err)
	}
	return dir
}

// Page is the page with the two bare players, and their scripts: paths of files.
func Page(tb testing.TB) map[string]string {
	tb.Helper()
	root := moduleRoot(tb)
	hls := filepath.Join(root, "node_modules", "hls.js", "dist", "hls.min.js")
	return map[string]string{
		"/":         filepath.Join(root, "internal/httpd/browsertest/players.html"),
		"/shaka.js": filepath.Join(root, "internal/httpd/static/vendor/shaka/shaka-player.compiled-es2021.js"),
		"/hls.js":   needs.File(tb, hls, "hls.js is not installed (make setup installs it)"),
	}
}

// Run plays a show. Failures of the browser end the test.
func (s Show) Run(tb testing.TB) *Shown {
	tb.Helper()
	node, program := needs.Tool(tb, "node"), ""
	for _, b := range Browsers {
		if b.Name == s.Browser {
			program = needs.Tool(tb, b.Program)
		}
	}
	root := moduleRoot(tb)
	for _, name := range []string{"playwright-core", "puppeteer-core"} {
		needs.File(tb, filepath.Join(root, "node_modules", name, "package.json"), name+" is not installed (make setup installs it)")
	}
	shot := filepath.Join(Pictures(tb), s.Picture)
	arg, err := json.Marshal(map[string]any{
		"browser": s.Browser, "program": program, "modules": root, "url": s.URL, "house": s.House, "player": s.Player, "src": s.Source, "shot": shot,
	})
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), node, filepath.Join(root, "internal/httpd/browsertest/players.mjs"), string(arg))
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		tb.Fatalf("node: %v", err)
	}
	got := &Shown{}
	if err := json.Unmarshal(data, got); err != nil {
		tb.Fatalf("read the browser's result %q: %v", data, err)
	}
	if got.Error != "" {
		tb.Fatalf("%s: %s\nconsole: %q", s.Browser, got.Error, got.Console)
	}
	got.Picture = readPNG(tb, shot)
	tb.Logf("picture: %s", shot)
	return got
}

// Colors is Result.Colors.
func (s *Shown) Colors() (colors int, black float64) {
	r := Result{Picture: s.Picture}
	r.Box = s.Box
	return r.Colors()
}
