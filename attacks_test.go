package lares_test

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The two pages about attacks name a test for each row; docs/threat-model.md
// names walls and statements of docs/standard.md, too.
func TestDocs_AttackPagesNameTests(t *testing.T) {
	tests := testNames(t)
	threat, known := read(t, "docs/threat-model.md"), read(t, "docs/known-attacks.md")
	for _, tc := range []struct {
		page, text, head string
		cells, test      int // cells of a row, and which of them names tests
		least            int // rows of which there are not fewer
	}{
		{"threat-model.md", threat, "ID", 8, 5, 25},
		{"threat-model.md", threat, "Level", 6, 5, 3},
		{"threat-model.md", threat, "Anchor", 4, 3, 3},
		{"known-attacks.md", known, "Case", 6, 4, 40},
	} {
		rows := tables(tc.text, tc.head)
		seen := map[string]bool{}
		for _, r := range rows {
			if len(r) != tc.cells || slices.Contains(r, "") || seen[r[0]] {
				t.Errorf("%s: row %q: %d cells, none empty, each once", tc.page, r, tc.cells)
				continue
			}
			seen[r[0]] = true
			for name := range strings.FieldsSeq(r[tc.test]) {
				if !tests[name] {
					t.Errorf("%s: %s: test %s is not there", tc.page, r[0], name)
				}
			}
		}
		if len(rows) < tc.least {
			t.Errorf("%s has %d rows of %s, want %d: some were lost", tc.page, len(rows), tc.head, tc.least)
		}
	}
	namesWhatIsThere(t, threat)
}

// namesWhatIsThere holds the threat model's attackers, walls and statements
// against where they are listed.
func namesWhatIsThere(t *testing.T, page string) {
	t.Helper()
	lists := map[string][]string{"Wall": nil, "Attacker": {"-"}}
	for name := range lists {
		for _, r := range tables(page, name) {
			lists[name] = append(lists[name], r[0])
		}
	}
	for _, r := range tables(read(t, "docs/standard.md"), "ID") {
		lists["Standard"] = append(lists["Standard"], r[0])
	}
	aside := regexp.MustCompile(`, by .*|\(.*\)`)
	for _, r := range tables(page, "ID") {
		for name, cell := range map[string]string{"Attacker": r[2], "Wall": r[4], "Standard": r[7]} {
			if cell = aside.ReplaceAllString(cell, ""); cell == "" || strings.HasPrefix(cell, "-") || name == "Attacker" && strings.HasPrefix(cell, "who") {
				continue
			}
			for word := range strings.SplitSeq(cell, ", ") {
				if word != "bad luck" && !slices.Contains(lists[name], word) {
					t.Errorf("threat-model.md: %s: %s %q is not in its list", r[0], name, word)
				}
			}
		}
	}
}

// testNames lists the tests and fuzz targets of the whole tree.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.isTest() && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}
