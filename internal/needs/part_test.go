package needs_test

import (
	"flag"
	"testing"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/internal/needs"
)

// A part is of both kinds, and Checks takes back what it sets.
func TestPart_AndChecks(t *testing.T) {
	kinds := map[int]int{}
	for n := range 100 {
		if needs.Part(n) {
			kinds[n%2]++
		}
	}
	if want := 50 / needs.Each(); kinds[0] != want || kinds[1] != want {
		t.Errorf("%v, want %d of each kind", kinds, want)
	}
	before := flag.Lookup("rapid.checks").Value.String()
	tried := 0
	t.Run("", func(t *testing.T) {
		needs.Checks(t, 4)
		rapid.Check(t, func(*rapid.T) { tried++ })
	})
	if after := flag.Lookup("rapid.checks").Value.String(); tried == 0 || before == "100" && tried != 25/needs.Each() || after != before {
		t.Errorf("%d tries of %s, and then %s", tried, before, after)
	}
}
