package cli

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares"
)

func rows(t *testing.T) []statement {
	t.Helper()
	all, err := parseStandard(lares.Standard)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 90 {
		t.Fatalf("docs/standard.md has %d rows: statements were lost", len(all))
	}
	return all
}

func TestStandard_EveryRowIsWellFormedAndHasAPlace(t *testing.T) {
	id := regexp.MustCompile(`^[A-Z]+-[1-9][0-9]*$`)
	seen := map[string]bool{}
	for _, r := range rows(t) {
		if !id.MatchString(r.ID) || seen[r.ID] {
			t.Errorf("%q: not an ID, or used twice", r.ID)
		}
		seen[r.ID] = true
		if r.Statement == "" || r.Package == "" || r.Section == "" || r.Specification == "" || r.Command == "" || len(r.Tests) == 0 && r.Status != "planned" {
			t.Errorf("%s: a cell is empty: a row without a place", r.ID)
		}
		for mark := range strings.SplitSeq(r.Mark, "/") {
			if !slices.Contains([]string{"S", "A", "P", "L"}, mark) {
				t.Errorf("%s: mark %q", r.ID, r.Mark)
			}
		}
		switch {
		case r.Status == "done" && r.Note == "", r.Status == "narrow" && r.Note != "", r.Status == "planned" && r.Note != "":
		default:
			t.Errorf("%s: status %q %q: done, or narrow or planned with a note", r.ID, r.Status, r.Note)
		}
	}
	for _, series := range []string{"GEN", "TREM", "SLTP", "LRP", "LAYER", "CA", "LIC", "CODE", "SCEN", "DOM", "BRIDGE", "SERV"} {
		if !seen[series+"-1"] {
			t.Errorf("no row %s-1", series)
		}
	}
}

// A row that is done or narrow names only what is there. That its tests pass is
// ensured by where they are: in the suite that has to pass.
func TestStandard_WhatIsNamedIsThere(t *testing.T) {
	tests := testNames(t)
	root := newRoot(&Env{})
	for _, r := range rows(t) {
		if r.Status == "planned" {
			continue
		}
		if !hasGo(filepath.Join("../..", r.Package)) {
			t.Errorf("%s (%s): package %s is not there", r.ID, r.Status, r.Package)
		}
		if _, err := os.Stat(filepath.Join("../..", r.Specification)); err != nil {
			t.Errorf("%s (%s): page %s is not there", r.ID, r.Status, r.Specification)
		}
		if !hasCommand(root, r.Command) {
			t.Errorf("%s (%s): command lares %s is not there", r.ID, r.Status, r.Command)
		}
		for _, name := range r.Tests {
			if !tests[name] {
				t.Errorf("%s (%s): test %s is not there", r.ID, r.Status, name)
			}
		}
	}
}

func hasGo(dir string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	return err == nil && slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

func hasCommand(root *cobra.Command, words string) bool {
	at := root
	for word := range strings.FieldsSeq(words) {
		i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == word })
		if i < 0 {
			return false
		}
		at = at.Commands()[i]
	}
	return at != root
}

// testNames parses every test file of the module for its test functions.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir("../..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || len(d.Name()) > 2 && d.Name()[0] == '.') {
			return fs.SkipDir
		}
		if !strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if name, ok := testFunc(d); ok {
				names[name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestStandard_PrintsEveryRowOfThePage(t *testing.T) {
	out, _, code := run(t, "standard")
	if code != statusDone {
		t.Fatalf("status %d", code)
	}
	for _, r := range rows(t) {
		if !strings.Contains(out, r.ID+" ") {
			t.Errorf("no %s in the output", r.ID)
		}
	}
	out, _, _ = run(t, "standard", "trem", "--status", "planned", "--json")
	if strings.Contains(out, `"done"`) || strings.Contains(out, "SLTP-1") {
		t.Errorf("selection shows other rows: %s", out)
	}
	if _, _, code := run(t, "standard", "NOSUCH"); code != statusUsage {
		t.Errorf("an unknown ID: status %d, want %d", code, statusUsage)
	}
}

func TestStandard_BrokenTableIsAnError(t *testing.T) {
	if _, err := parseStandard("## X\n\n| ID | Statement |\n|--|--|\n| X-1 | lost cells |\n"); err == nil {
		t.Error("a row of two cells was accepted")
	}
}
