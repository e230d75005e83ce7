package lares_test

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func markdown(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	walk(t, func(p string) {
		if path.Ext(p) == ".md" {
			pages[p] = read(t, p)
		}
	})
	return pages
}

var (
	fence  = regexp.MustCompile("(?s)```.*?```")
	code   = regexp.MustCompile("`[^`\n]*`")
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	header = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

func TestDocs_NoDeadLink(t *testing.T) {
	pages := markdown(t)
	for name, text := range pages {
		prose := code.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			target := name
			if to != "" {
				target = path.Join(path.Dir(name), to)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(pages[target]), anchor) {
				t.Errorf("%s links to %s: no such heading", name, m[1])
			}
		}
	}
}

// anchors gives the fragment names of a page's headings, as GitHub makes them.
func anchors(text string) []string {
	var all []string
	for _, m := range header.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, strings.TrimSpace(m[1]))
		all = append(all, slug)
	}
	return all
}

var numbered = regexp.MustCompile(`(?m)^## (\d+)\. `)

// A section is named by its number in code, tests and other pages: none is passed over.
func TestDocs_SectionsCountUp(t *testing.T) {
	for name, text := range markdown(t) {
		for n, m := range numbered.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if want := strconv.Itoa(n + 1); path.Dir(name) == "docs/spec" && m[1] != want {
				t.Errorf("%s has a section %s where %s is to stand", name, m[1], want)
				break
			}
		}
	}
}

// Every byte layout has a page, and docs/spec/README.md leads to each.
func TestDocs_EveryLayoutIsIndexed(t *testing.T) {
	index := read(t, "docs/spec/README.md")
	for name := range markdown(t) {
		if path.Dir(name) == "docs/spec" && path.Base(name) != "README.md" && !strings.Contains(index, "]("+path.Base(name)+")") {
			t.Errorf("docs/spec/README.md does not lead to %s", name)
		}
	}
}

// The only clause numbers of IEC TS 62224 known from public sources stand in
// row GEN-2 of docs/standard.md. Any other would be invented.
func TestDocs_NoUnknownClauseIsCited(t *testing.T) {
	known := []string{"6", "6.1", "6.1.2", "7", "7.1", "7.2", "7.3", "7.3.1"}
	cited := regexp.MustCompile(`(?i)IEC[^.\n]{0,60}\b(?:clause|section|subclause)s? ([0-9][0-9.]*)`)
	look := func(where, text string) {
		for _, m := range cited.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(known, strings.TrimRight(m[1], ".")) {
				t.Errorf("%s cites %q: not a known clause", where, m[0])
			}
		}
	}
	for name, text := range markdown(t) {
		look(name, text)
	}
	for _, f := range goFiles(t) {
		for _, g := range f.ast.Comments {
			look(f.pos(g), strings.Join(strings.Fields(g.Text()), " "))
		}
	}
}

// Signatures of two kinds of object must never be taken for each other, so each
// kind has one name, and docs/spec/objects.md has all of them.
func TestDocs_SignedObjectsAreRegisteredOnce(t *testing.T) {
	rows := tables(read(t, "docs/spec/objects.md"), "Object")
	inPage := map[string]bool{}
	for _, r := range rows {
		if len(r) != 5 || inPage[r[0]] || r[1] != "application/lares-"+r[0]+"+cbor" {
			t.Errorf("objects.md: row %q: five cells, a name of its own and its content type", r)
			continue
		}
		inPage[r[0]] = true
		if _, err := os.Stat("docs/spec/" + r[4]); err != nil {
			t.Errorf("objects.md: %s: page %s is not there", r[0], r[4])
		}
	}
	inCode := objectNames(t)
	for name, where := range inCode {
		if !inPage[name] {
			t.Errorf("objects.md lacks %q (%s)", name, where)
		}
	}
	for name := range inPage {
		if inCode[name] == "" {
			t.Errorf("objects.md has %q, which no code signs", name)
		}
	}
}

var object = regexp.MustCompile(`(?m)\bwire\.Object(?:\s*=\s*|\()"([a-z0-9-]+)"`)

// objectNames finds the names by their type: const X wire.Object = "name".
func objectNames(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for dir, files := range packages(t) {
		if dir == "internal/wire" {
			continue
		}
		for _, f := range files {
			for _, m := range object.FindAllStringSubmatch(read(t, f.path), -1) {
				if found[m[1]] != "" {
					t.Errorf("%s: the object name %q is taken by %s", f.path, m[1], found[m[1]])
				}
				found[m[1]] = f.path
			}
		}
	}
	return found
}

// The newest version of the changelog is the one the program prints.
func TestDocs_ChangelogHasTheVersion(t *testing.T) {
	top := regexp.MustCompile(`(?m)^## (\S+)`).FindStringSubmatch(read(t, "CHANGELOG.md"))
	if top == nil || !strings.Contains(read(t, "internal/cli/version.go"), `Version = "`+top[1]+`"`) {
		t.Errorf("CHANGELOG.md begins with version %q, internal/cli/version.go has another", top)
	}
}
