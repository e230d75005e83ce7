package browsertest

import "testing"

// TakenOver is what two windows saw of one title that may play in one.
type TakenOver struct {
	Asked []string // what the second window asked before it continued
	First string   // what the first window says at the end
	From  float64  // where the second window began, seconds
	At    float64  // where it was when it played
	Error string   // the script's own
}

// TakeOver plays the first title of a house in one window, past its twenty-first second,
// and continues it in a second one.
func TakeOver(tb testing.TB, url string) *TakenOver {
	tb.Helper()
	res := &TakenOver{}
	script(tb, "takeover.mjs", map[string]any{"url": url}, res)
	if res.Error != "" {
		tb.Fatalf("browser: %s", res.Error)
	}
	return res
}
