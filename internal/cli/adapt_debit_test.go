package cli

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license/ident"
)

// A counted title goes to another system through the module that holds it: the
// house's while it serves, a device's else. It is debited first; the command and the
// module are killed on the way, and the same request costs nothing more.
func TestAdapt_ConvertDebitsAtTheSource(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(t.Context(), &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.must(t.Context(), d.grant(house.ID, shared, "PLAY; PLAY_COUNT=5; MOVE=DOMAIN; EXPORT=odrl,lcp; MIN_ANCHOR=0")...); err != nil {
		t.Fatal(err)
	}
	if acked := d.fetched(t, shared); len(acked) != 1 {
		t.Fatalf("%d licenses came, want 1", len(acked))
	}
	convert := func(dir, to string, request ident.Request, more ...string) answer {
		t.Helper()
		a, err := d.run(t.Context(), append([]string{"adapt", "convert", "--json", "--to", to, "--dir", d.path(dir), "--request", request.String(), string(shared)}, more...)...)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	artifact := func(a answer) string {
		t.Helper()
		var got converted
		if err := json.Unmarshal([]byte(a.stdout), &got); err != nil || a.code != statusDone {
			t.Fatalf("status %d (%v): %s", a.code, err, a.stderr)
		}
		return got.Artifact
	}
	left := func(held map[string]uint64, want uint64) {
		t.Helper()
		if sum(held) != want {
			t.Fatalf("plays left: %v, want %d", held, want)
		}
	}

	first := ident.NewRequest()
	policy := artifact(convert("home", "odrl", first, "--plays", "2"))
	if !strings.Contains(policy, `"count"`) {
		t.Errorf("no count in %s", policy)
	}
	d.crash(t, "home")
	if again := artifact(convert("home", "odrl", first, "--plays", "2")); again != policy {
		t.Errorf("the same request: %s\nand before: %s", again, policy)
	}
	left(d.heldAtHome(t, shared), 3)
	for what, a := range map[string]answer{
		"a system that is not named":         convert("home", "cpix", ident.NewRequest()),
		"no end for one that counts nothing": convert("home", "lcp", ident.NewRequest()),
		"more than is left":                  convert("home", "odrl", ident.NewRequest(), "--plays", "4"),
		"something else":                     convert("home", "odrl", first, "--plays", "1"),
	} {
		if a.code != statusRefused || a.stdout != "" && strings.Contains(a.stdout, "artifact") {
			t.Errorf("%s: status %d: %s%s", what, a.code, a.stdout, a.stderr)
		}
	}
	left(d.heldAtHome(t, shared), 3)

	if _, err := d.must(t.Context(), "device", "move", string(shared), "--here", "--dir", d.path("tablet")); err != nil {
		t.Fatal(err)
	}
	dice, second := rand.New(rand.NewPCG(9, 38)), ident.NewRequest() //nolint:gosec // the same each time
	for range 6 {
		d.cutPower(t, dice, "adapt", "convert", "--to", "odrl", "--dir", d.path("tablet"), "--request", second.String(), string(shared))
	}
	one := artifact(convert("tablet", "odrl", second))
	if again := artifact(convert("tablet", "odrl", second)); again != one {
		t.Errorf("the same request of a device: %s\nand before: %s", again, one)
	}
	left(d.heldBy(t, "tablet"), 2)
}
