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
	for _, way := range []string{"move in a session", "move by letter"} {
		want = append(want, []row{
			{way + ": syncs at the source", "syncs", "<= 2"},
			{way + ": syncs at the destination", "syncs", "<= 1"},
			{way + ": syncs after it, for DONE", "syncs", ""},
			{way + ": batches at the source", "batches", ""},
			{way + ": batches at the destination", "batches", ""},
			{way + ": messages", "messages", ""},
			{way + ": bytes carried", "bytes", ""},
			{way + ": by the clock, with its disks", "µs", ""},
			{way + ": CPU time of the source, without syncs", "µs", ""},
			{way + ": CPU time of the destination, without syncs", "µs", ""},
		}...)
	}
	want = append(want, []row{
		{"lend: syncs at the lender", "syncs", "<= 1"},
		{"lend: syncs at the borrower", "syncs", "<= 1"},
		{"return: syncs at the borrower", "syncs", "<= 1"},
		{"return: syncs at the lender", "syncs", "<= 1"},
	}...)
	var names []row
	for _, r := range got {
		names = append(names, row{r.Name, r.Unit, r.Bar})
		if r.Value <= 0 || r.Bar == "" && !r.Holds || r.Unit == unitSyncs && !r.Holds {
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
