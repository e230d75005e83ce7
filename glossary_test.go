package lares_test

import (
	"go/ast"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var glossaryLink = regexp.MustCompile(`^\[([a-z0-9/]+)\]\(\.\./([a-z0-9/]+)/doc\.go\)$`)

// TestGlossary_EachTermHasItsPackage: a term leads to a package that is there, and
// to exported names of it.
func TestGlossary_EachTermHasItsPackage(t *testing.T) {
	named := exported(t)
	rows, seen := 0, map[string]bool{}
	for line := range strings.Lines(read(t, "docs/glossary.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[0]) == "Term" {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows++
		if seen[cells[0]] {
			t.Errorf("%s stands twice", cells[0])
		}
		seen[cells[0]] = true
		if cells[1] == "" || cells[2] == "" {
			t.Errorf("%s: source and meaning are wanted", cells[0])
		}
		m := glossaryLink.FindStringSubmatch(cells[4])
		if m == nil || m[1] != m[2] {
			t.Errorf("%s leads to %q, which is no package", cells[0], cells[4])
			continue
		}
		if _, err := os.Stat(path.Join(m[1], "doc.go")); err != nil || floor(m[1]) < 0 {
			t.Errorf("%s leads to %s, which is not there", cells[0], m[1])
		}
		for name := range strings.SplitSeq(cells[5], ", ") {
			if name != "" && !named[m[1]][name] {
				t.Errorf("%s: %s exports no %s", cells[0], m[1], name)
			}
		}
	}
	if rows < 25 {
		t.Errorf("%d terms were read", rows)
	}
}

// exported are the exported names of every package, by its folder.
func exported(t *testing.T) map[string]map[string]bool {
	t.Helper()
	out := map[string]map[string]bool{}
	for dir, files := range packages(t) {
		out[dir] = map[string]bool{}
		for _, f := range files {
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil {
						out[dir][d.Name.Name] = true
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						switch s := s.(type) {
						case *ast.TypeSpec:
							out[dir][s.Name.Name] = true
						case *ast.ValueSpec:
							for _, n := range s.Names {
								out[dir][n.Name] = true
							}
						}
					}
				}
			}
		}
	}
	return out
}
