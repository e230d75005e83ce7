package browsertest

import "testing"

// Entered is what a browser saw that was not known to a house.
type Entered struct {
	First   string // path of the first page that it got
	Code    string // that it showed
	Secure  bool   // the page is a secure context, in which films play
	Played  float64
	Console []string // errors
	Error   string   // the script's own
}

// Enter opens a house at its address in the network. owner is a file that is made with
// the code in it when the browser waits for the owner's yes.
func Enter(tb testing.TB, browser, url, owner string) *Entered {
	tb.Helper()
	got := &Entered{}
	drive(tb, browser, "enter.mjs", map[string]any{"url": url, "owner": owner}, got)
	if got.Error != "" {
		tb.Fatalf("%s: %s\nconsole: %q", browser, got.Error, got.Console)
	}
	return got
}
