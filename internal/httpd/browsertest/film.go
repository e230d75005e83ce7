package browsertest

import "testing"

// Watched is what a browser made of one of the household's own films.
type Watched struct {
	From, To float64 // currentTime, seconds, before and after a seek and two seconds of play
	Width    int     // of the video, pixels
	Kind     string  // what its card in the library says it is
	Again    bool    // something happened in the house meanwhile, and the film began anew
	Console  []string
	Error    string // the script's own
}

// Watch opens the library of the house at url, follows the card of a film and plays it
// from the middle. The file at done is made when it plays, for the test to do something
// in the house.
func Watch(tb testing.TB, url, title, done string) *Watched {
	tb.Helper()
	res := &Watched{}
	script(tb, "film.mjs", map[string]any{"url": url, "title": title, "done": done}, res)
	if res.Error != "" {
		tb.Fatalf("browser: %s\nconsole: %q", res.Error, res.Console)
	}
	return res
}
