package browsertest

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// WebKit is WebKitGTK's small browser, which WebKitWebDriver drives on a screen of Xvfb.
const WebKit = "webkit"

// webkitBinary is that browser, which no PATH leads to.
func webkitBinary(tb testing.TB) string {
	tb.Helper()
	found, err := filepath.Glob("/usr/lib/*/webkit2gtk-4.1/MiniBrowser")
	if err != nil || len(found) == 0 {
		needs.NotRun(tb, "WebKitGTK's MiniBrowser is not installed (make setup installs it)")
	}
	return found[0]
}

// Where says where a title is looked at, and what its browser is made to lack.
type Where struct {
	Browser string   // of Browsers, or WebKit
	URL     string   // of the house, whose first title is played
	Without []string // of "keys", "pieces", "native", "secure"; not with WebKit
	Picture string   // file name of the picture in Pictures
}

// Found is what the browser saw.
type Found struct {
	Way       string  // by which it played: "keys", "playlist" or "native"; empty: by none
	At        float64 // currentTime, seconds
	Width     int     // of the video, pixels
	Height    int
	Encrypted bool
	Said      string   // what the page says where it does not play
	Curtain   bool     // and that it covers the picture
	Help      []string // what it says one can do
	Box       struct{ X, Y, Width, Height int }
	Console   []string    // errors
	Error     string      // the script's own
	Picture   image.Image `json:"-"`
}

// Run looks. Failures of the browser end the test; a page that says why it does not play
// is none.
func (w Where) Run(tb testing.TB) *Found {
	tb.Helper()
	got := &Found{}
	shot := filepath.Join(Pictures(tb), w.Picture)
	opt := map[string]any{"url": w.URL, "shot": shot}
	if len(w.Without) > 0 {
		opt["without"] = w.Without
	}
	drive(tb, w.Browser, "where.mjs", opt, got)
	if got.Error != "" {
		tb.Fatalf("%s: %s\nconsole: %q", w.Browser, got.Error, got.Console)
	}
	got.Picture = readPNG(tb, shot)
	return got
}

// Colors is Result.Colors.
func (f *Found) Colors() (colors int, black float64) {
	r := Result{Picture: f.Picture}
	r.Box = f.Box
	return r.Colors()
}

// Works, Limited and No are what a player can do by a path.
const (
	Works   = "works"
	Limited = "limited"
	No      = "no"
)

// Plays is what one player does by one path: a row of the README's table.
type Plays struct {
	Player string `json:"player"`
	Path   string `json:"path"`
	Result string `json:"result"`           // Works, Limited or No
	Reason string `json:"reason,omitempty"` // of the last two
}

// playsFile is the record, below the module's root.
const playsFile = "testdata/players.json"

// Check compares what a test saw with the record, or records it with LARES_RECORD=1.
func (p Plays) Check(tb testing.TB) {
	tb.Helper()
	name := filepath.Join(moduleRoot(tb), playsFile)
	data, err := os.ReadFile(name) //nolint:gosec // of this module
	if err != nil {
		tb.Fatal(err)
	}
	var rows []Plays
	if err := json.Unmarshal(data, &rows); err != nil {
		tb.Fatalf("%s: %v", playsFile, err)
	}
	i := slices.IndexFunc(rows, func(r Plays) bool { return r.Player == p.Player && r.Path == p.Path })
	if os.Getenv("LARES_RECORD") == "" {
		if i < 0 {
			tb.Errorf("%s has no row of %s by %s", playsFile, p.Player, p.Path)
		} else if was := rows[i]; was.Result != p.Result || was.Reason != p.Reason {
			tb.Errorf("%s by %s: %s (%s), and %s says %s (%s); LARES_RECORD=1 records it", p.Player, p.Path, p.Result, p.Reason, playsFile, was.Result, was.Reason)
		}
		return
	}
	if i < 0 {
		rows = append(rows, p)
	} else {
		rows[i] = p
	}
	if data, err = json.MarshalIndent(rows, "", " "); err == nil {
		err = os.WriteFile(name, append(data, '\n'), 0o644) //nolint:gosec // of the repository
	}
	if err != nil {
		tb.Fatal(err)
	}
}
