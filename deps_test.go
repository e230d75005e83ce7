package lares_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each third-party module has a line in docs/deps.md that says what for, who
// owns it and what we would write instead; only its owners import it.
func TestDeps_EachModuleHasOneOwner(t *testing.T) {
	owners := map[string][]string{}
	for _, r := range tables(read(t, "docs/deps.md"), "Module") {
		if len(r) != 4 || r[2] == "" || r[3] == "" {
			t.Errorf("docs/deps.md: row %q: module, owner, what for, instead", r)
			continue
		}
		owners[r[0]] = strings.Split(r[1], ", ")
	}
	used := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, imp := range imports([]*source{f}) {
			if !isExternal(imp) || strings.HasPrefix(imp+"/", module) {
				continue
			}
			mod := moduleOf(t, imp)
			used[mod] = true
			by := owners[mod]
			switch {
			case by == nil:
				t.Errorf("%s imports %s, which has no line in docs/deps.md", f.path, mod)
			case !f.isTest() && !inKit(f.dir()) && !slices.ContainsFunc(by, func(o string) bool { return f.dir() == o || strings.HasPrefix(f.dir(), o+"/") }):
				t.Errorf("%s imports %s, which is owned by %s", f.path, mod, by)
			}
		}
	}
	for mod := range owners {
		if !used[mod] {
			t.Errorf("docs/deps.md has %s, which nothing imports", mod)
		}
	}
}

var require = regexp.MustCompile(`(?m)^\s*(?:require )?([a-z0-9.-]+\.[a-z]+/?\S*) v\S+`)

// moduleOf gives the module of go.mod that an import path belongs to.
func moduleOf(t *testing.T, imp string) string {
	t.Helper()
	best := ""
	for _, m := range require.FindAllStringSubmatch(read(t, "go.mod"), -1) {
		if (imp == m[1] || strings.HasPrefix(imp, m[1]+"/")) && len(m[1]) > len(best) {
			best = m[1]
		}
	}
	if best == "" {
		t.Errorf("%s belongs to no module of go.mod", imp)
	}
	return best
}
