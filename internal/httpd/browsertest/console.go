package browsertest

import (
	"path/filepath"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// Consoled is what an issuer's console showed.
type Consoled struct {
	Titles     []string // of the pages, in the order in which they were seen
	Refused    string   // what a wrong token is told
	Said       string   // after a form was sent
	Approved   string   // after the second operator approved
	Focus      []string // what the Tab key reached on the first page
	Violations []string // of axe-core, with the page
	Sheet      string   // what of the sheet of codes is printed
	SheetPages int      // on which it is
	Checked    int      // pages that axe-core looked at
	Overflow   []string // pages that are wider than a phone
	Console    []string // errors
	Error      string   // the script's own
}

// Console signs in at the console at url with two tokens in turn, sees every
// page with the keyboard alone, proposes a revocation as the first operator and
// approves it as the second. The third sells and lends: it looks at the pages with forms
// and prints the codes of batch. pages is a folder for pictures; empty: none.
func Console(tb testing.TB, url, first, second, third, household, batch, pages string) *Consoled {
	tb.Helper()
	needs.File(tb, filepath.Join(moduleRoot(tb), "node_modules", "axe-core", "axe.min.js"), "axe-core is not installed (make setup installs it)")
	res := &Consoled{}
	script(tb, "console.mjs", map[string]any{"url": url, "first": first, "second": second, "third": third, "household": household, "batch": batch, "pages": pages}, res)
	if res.Error != "" {
		tb.Fatalf("browser: %s\nconsole: %q", res.Error, res.Console)
	}
	return res
}
