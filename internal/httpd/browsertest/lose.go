package browsertest

import "testing"

// Tried is what came of trying to lose a film.
type Tried struct {
	Hand        Score            // handed over by keyboard, with a plug pulled in the middle of a write
	Random      Score            // after hundreds of random faults
	Old         Score            // a mistake, found by hand with an old letter
	Mistakes    map[string]Score // each mistake of the page, found by surprise
	PerSurprise float64          // how long a surprise takes, ms
	Said        string           // the whole page, without its "Details"
	Overflow    bool             // it is wider than a screen
	Console     []string         // errors
	Error       string           // the script's own
}

// Score is what the page's counters say.
type Score struct {
	Lost, Doubled, Faults int
	Tickets               [2]string // what a screen reader says of each box
	Broken                string
	Focus                 string // the key of what has the focus
}

// Lose opens the page "Try to lose a film" of the house at url and tries. pages
// is a folder for pictures.
func Lose(tb testing.TB, url, pages string) *Tried {
	tb.Helper()
	res := &Tried{}
	script(tb, "lose.mjs", map[string]any{"url": url, "pages": pages}, res)
	if res.Error != "" {
		tb.Fatalf("browser: %s\nconsole: %q", res.Error, res.Console)
	}
	return res
}
