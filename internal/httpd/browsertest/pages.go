package browsertest

import "testing"

// Pages says which pages of a house to look at, and what to do there.
type Pages struct {
	Browser string            // of Browsers
	URL     string            // of the house
	Places  []string          // paths
	Keys    []string          // a title, and a device that it is lent to by keyboard; empty: nothing is lent
	Pair    string            // file that is made when the page of devices waits for one more; empty: none
	Axe     bool              // axe-core judges each page, with everything opened, in light and dark
	Folder  string            // for pictures; empty: none
	Tour    map[string]string // files for pictures of the tour, by path
}

// Walked is what the browser saw.
type Walked struct {
	Titles     []string // of the pages
	Checked    int      // how often axe-core looked
	Violations []string // that it found
	Wide       []string // pages that are wider than a screen
	Focus      []string // what the Tab key reached, in its order
	Asked      string   // before the title was lent
	Said       string   // after it was lent
	Came       string   // the device that appeared by itself
	Kept       string   // of what was typed before it appeared
	Console    []string // errors
	Error      string   // the script's own
}

// Run looks. Failures of the browser end the test.
func (p Pages) Run(tb testing.TB) *Walked {
	tb.Helper()
	got := &Walked{}
	drive(tb, p.Browser, "pages.mjs", map[string]any{"url": p.URL, "places": p.Places, "keys": p.Keys, "pair": p.Pair, "axe": p.Axe, "pages": p.Folder, "tour": p.Tour}, got)
	if got.Error != "" {
		tb.Fatalf("%s: %s\nconsole: %q, focus: %q", p.Browser, got.Error, got.Console, got.Focus)
	}
	return got
}
