package store_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/store"
)

var updateCitus = flag.Bool("update-citus", false, "write testdata/citus.sql anew")

// TestCitus_Spec8_SQL: what a Citus is told, table by table. A new table changes it:
// look whether its rows are where its requests are, then -update-citus.
func TestCitus_Spec8_SQL(t *testing.T) {
	const name = "testdata/citus.sql"
	got, err := store.CitusSQL()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(got, ";\n") + ";\n"
	if *updateCitus {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || string(want) != text {
		t.Errorf("%s is not what the program runs: go test ./internal/store -run Citus -update-citus (%v)", name, err)
	}
	beside := regexp.MustCompile(`\('(\w+)', 'domain_id', colocate_with => 'domain'\)`)
	together := beside.FindAllStringSubmatch(text, -1)
	for _, table := range []string{"license_grant", "license", "transfer", "idem", "peer_seq", "renewal", "license_end", "domain_roll", "device", "letter"} {
		if !strings.Contains(text, "('"+table+"', 'domain_id', colocate_with => 'domain')") {
			t.Errorf("%s is not beside its household: a request would touch two nodes", table)
		}
	}
	if len(together) < 10 || strings.Count(text, "'stock')") != 2 || strings.Contains(text, "_new'") {
		t.Errorf("%d tables beside the household:\n%s", len(together), text)
	}
}
