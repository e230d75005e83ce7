package needs

import (
	"flag"
	"strconv"
	"testing"
)

// OfRaced is how many cases there are to one that the race detector sees, which makes
// them several times as slow, of tests that run whole without it: odd, so that both kinds
// are among them where two alternate. Source: local.
const OfRaced = 5

// Each is 1, and OfRaced under the race detector: of so many cases one is run.
func Each() int {
	if Raced {
		return OfRaced
	}
	return 1
}

// Part reports whether case n is run in this binary.
func Part(n int) bool { return n%Each() == 0 }

// Checks has rapid try the property of a test once for so many times as its flag
// -rapid.checks says, and for more under the race detector.
func Checks(t testing.TB, of int) {
	t.Helper()
	checks := flag.Lookup("rapid.checks").Value
	old := checks.String()
	n, err := strconv.Atoi(old)
	if err == nil {
		err = checks.Set(strconv.Itoa(max(n/(of*Each()), 1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checks.Set(old) })
}
