package browsertest

import "testing"

// Simulated is what the simulator's page showed.
type Simulated struct {
	Title    string
	Looks    []Look   // at every stop of the slider, moved by the keyboard
	Steps    []string // the list of what happened
	Wrong    string   // what it says about a story that is wrong
	Selected string   // the line that it marks then
	Focus    string   // ID of what has the focus then
	Failed   string   // what it says about a story whose expectation fails
	Said     string   // the whole page with everything shown, without its "Details"
	Overflow bool     // it is wider than a screen
	Console  []string // errors
	Error    string   // the script's own
}

// Look is what holds at a time.
type Look struct {
	Value string // what a screen reader says of the slider
	Words string // what the page says below
	Sign  string // yes, less or no
}

// Simulate opens the simulator of the house at url, tells the example whose
// title is given, and goes through its time line with the keyboard. pages is a
// folder for pictures; empty: none.
func Simulate(tb testing.TB, url, title, pages string) *Simulated {
	tb.Helper()
	res := &Simulated{}
	script(tb, "simulate.mjs", map[string]any{"url": url, "title": title, "pages": pages}, res)
	if res.Error != "" {
		tb.Fatalf("browser: %s\nconsole: %q", res.Error, res.Console)
	}
	return res
}
