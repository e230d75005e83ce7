package browsertest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// Sizes are the screens that pages are looked at on, pixels.
var Sizes = []struct {
	Name          string
	Width, Height int
}{{"desktop", 1280, 800}, {"phone", 390, 844}}

// Setup is what the owner of a new house has, and with what they begin it.
type Setup struct {
	Browser       string // of Browsers
	Width, Height int    // of the screen, pixels
	URL           string // that the terminal shows
	Code          string // likewise
	Invitation    string
	Folder, Link  string            // where the films are, and what was bought
	Asks          string            // file that is made when the house waits for a device
	Pages         string            // folder for pictures; empty: none
	Tour          map[string]string // files for pictures of the tour, by step
}

// SetUp is what came of it.
type SetUp struct {
	Headings   []string // of the steps, in their order
	Text       string   // of all steps
	Seen       string   // the code of the first device, as the page showed it
	Seconds    float64  // from opening the address until the first film had played for a second
	Played     float64  // of the film, seconds
	Violations []string // of axe-core
	Wide       []string // steps that are wider than the screen
	Console    []string // errors
	Error      string   // the script's own
}

// Tour are files for the pictures of docs/guide/tour, by what they show; none unless
// LARES_TOUR says that they are made anew.
func Tour(tb testing.TB, names map[string]string) map[string]string {
	tb.Helper()
	if os.Getenv("LARES_TOUR") == "" {
		return nil
	}
	out := map[string]string{}
	for what, name := range names {
		out[what] = filepath.Join(moduleRoot(tb), "docs/guide/tour", name+".jpg")
	}
	return out
}

// Run begins the house. Failures of the browser end the test.
func (s Setup) Run(tb testing.TB) *SetUp {
	tb.Helper()
	got := &SetUp{}
	drive(tb, s.Browser, "setup.mjs", map[string]any{
		"size": []int{s.Width, s.Height}, "url": s.URL, "code": s.Code, "invitation": s.Invitation, "folder": s.Folder, "link": s.Link, "asks": s.Asks, "pages": s.Pages, "tour": s.Tour,
	}, got)
	if got.Error != "" {
		tb.Fatalf("%s: %s\nconsole: %q", s.Browser, got.Error, got.Console)
	}
	return got
}

// drive is script for one of Browsers, or for WebKit; axe-core is there.
func drive(tb testing.TB, browser, name string, opt map[string]any, into any) {
	tb.Helper()
	root := moduleRoot(tb)
	for _, b := range Browsers {
		if b.Name == browser {
			opt["browser"], opt["program"] = browser, needs.Tool(tb, b.Program)
		}
	}
	if browser == WebKit {
		needs.Tool(tb, "Xvfb")
		opt["browser"], opt["program"], opt["binary"] = browser, needs.Tool(tb, "WebKitWebDriver"), webkitBinary(tb)
	}
	needs.File(tb, filepath.Join(root, "node_modules", "axe-core", "axe.min.js"), "axe-core is not installed (make setup installs it)")
	needs.File(tb, filepath.Join(root, "node_modules", "puppeteer-core", "package.json"), "puppeteer-core is not installed (make setup installs it)")
	script(tb, name, opt, into)
}
