package lares_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source is one parsed Go file of this module.
type source struct {
	path string // slash-separated, from the root
	fset *token.FileSet
	ast  *ast.File
}

func (s *source) pos(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// walk visits the files of the repository, without what is not ours or not
// source: hidden folders, test data, build results, nested modules.
// It reads the tree itself: go list would run in a child process, whose reads
// go test does not see, and a stale cached pass would be served.
func walk(t *testing.T, visit func(p string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p == "." {
				return nil
			}
			_, nested := os.Stat(filepath.Join(p, "go.mod"))
			if d.Name()[0] == '.' || slices.Contains([]string{"testdata", "node_modules", "bin", "tmp"}, d.Name()) || nested == nil {
				return fs.SkipDir
			}
			return nil
		}
		visit(filepath.ToSlash(p))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goFiles parses every Go file below the root folder, tests included.
func goFiles(t *testing.T) []*source {
	t.Helper()
	var all []*source
	walk(t, func(p string) {
		if path.Ext(p) != ".go" {
			return
		}
		s := &source{path: p, fset: token.NewFileSet()}
		var err error
		if s.ast, err = parser.ParseFile(s.fset, p, nil, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	})
	if len(all) < 20 {
		t.Fatalf("found %d Go files: the walk does not see the tree", len(all))
	}
	return all
}

func (s *source) dir() string  { return path.Dir(s.path) }
func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// packages gives the shipped sources by folder: no tests, no test kits, and not
// the root, which holds the map and nothing else.
func packages(t *testing.T) map[string][]*source {
	t.Helper()
	pkgs := map[string][]*source{}
	for _, s := range goFiles(t) {
		if !s.isTest() && s.dir() != "." && !inKit(s.dir()) {
			pkgs[s.dir()] = append(pkgs[s.dir()], s)
		}
	}
	return pkgs
}

func inKit(dir string) bool { return slices.ContainsFunc(strings.Split(dir, "/"), isKit) }

func imports(files []*source) []string {
	var all []string
	for _, f := range files {
		for _, im := range f.ast.Imports {
			all = append(all, strings.Trim(im.Path.Value, `"`))
		}
	}
	return all
}

// selector gives X of pkg.X when n is one for the imported package pkg, under
// whatever name the file imports it.
func selector(f *ast.File, n *ast.SelectorExpr, pkg string) string {
	id, ok := n.X.(*ast.Ident)
	if !ok {
		return ""
	}
	for _, im := range f.Imports {
		if strings.Trim(im.Path.Value, `"`) != pkg {
			continue
		}
		name := path.Base(pkg)
		if im.Name != nil {
			name = im.Name.Name
		}
		if id.Name == name {
			return n.Sel.Name
		}
	}
	return ""
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tables gives the rows of all Markdown tables of a page whose first header
// cell is head, as trimmed cells without backquotes.
func tables(text, head string) [][]string {
	var rows [][]string
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			in = false
			continue
		}
		var cells []string
		for c := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.ReplaceAll(strings.TrimSpace(c), "`", ""))
		}
		switch {
		case cells[0] == head:
			in = true
		case in && !strings.HasPrefix(cells[0], "--"):
			rows = append(rows, cells)
		}
	}
	return rows
}

// TestTree_EveryFuzzTargetHasACorpus: what fuzzing has found to look at is committed, so
// that every test run looks at it again.
func TestTree_EveryFuzzTargetHasACorpus(t *testing.T) {
	targets := 0
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !f.isTest() || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") {
				continue
			}
			targets++
			dir := path.Join(f.dir(), "testdata", "fuzz", fn.Name.Name)
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) == 0 {
				t.Errorf("%s: %s has no corpus in %s: go test -fuzz, and take some of what it found", f.pos(fn), fn.Name.Name, dir)
			}
			for _, e := range entries {
				if name := path.Join(dir, e.Name()); !strings.HasPrefix(read(t, name), "go test fuzz v1\n") {
					t.Errorf("%s is nothing that go test reads", name)
				}
			}
		}
	}
	if targets < 50 {
		t.Fatalf("found %d fuzz targets: the walk does not see them", targets)
	}
}
