package bench

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTransfer_RowsAreStable(t *testing.T) {
	t.Chdir(t.TempDir())
	got, err := runTransfer(t.Context(), Config{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"vault: appends a sync, 1 writer", "appends", ""},
		{"vault: appends a sync, 64 writers", "appends", ">= 16"},
		{"vault: rate of 64 writers against one", "times", ">= 6"},
		{"vault: one append, 1 writer", "µs", ""},
		{"vault: one append, 64 writers", "µs", ""},
		{"vault: recovery of 100,000 records", "ms", "<= 1000"},
		{"vault: 1,000,000 plays, longest log", "bytes", "<= 1.2e+06"},
		{"vault: 1,000,000 plays, log at the end", "bytes", ""},
		{"vault: 1,000,000 plays, without syncs", "ms", ""},
	}
	var names []row
	for _, r := range got {
		names = append(names, row{r.Name, r.Unit, r.Bar})
		if r.Value <= 0 || r.Bar == "" && !r.Holds {
			t.Errorf("%s: %v %s, holds %v", r.Name, r.Value, r.Unit, r.Holds)
		}
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("%d entries are left in the folder, %v", len(left), err)
	}
}
