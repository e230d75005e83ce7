package lares_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lares-drm/lares/"

// floors lists every package, ground floor first. A package may import only
// packages of lower floors. This is policy: never edit it to make a build pass.
var floors = []string{
	0:  "license/ident internal/wire internal/needs internal/caller content/film",
	1:  "license/permission security/pki security/keystore security/sltp/edhoc content/cenc",
	2:  "license license/profile security/revocation security/revocation/crl security/recovery security/keystore/internal/backend content internal/audit",
	3:  "security/sltp security/sltp/transfer security/keystore/* security/pki/authority security/revocation/spread license/scenario",
	4:  "interconnect/lrp security/trem security/trem/internal/vault security/trem/internal/secret security/trem/internal/slots",
	5:  "interconnect/adapt content/packager security/trem/internal/core security/trem/sim",
	6:  "interconnect/adapt/* interconnect/lrp/* interconnect/upnp security/trem/module service/issuer service/home service/authority internal/operator",
	7:  "internal/store internal/store/storebench internal/httpd internal/issuerapi internal/metrics internal/testissuer security/trem/trembench",
	8:  "internal/bench internal/care internal/conform security/trem/conform",
	9:  "internal/cli",
	10: "cmd/* internal/testsum internal/faults internal/release",
}

// Floors up to pure hold protocols and decisions: no goroutine, no log, no
// clock. Floors up to plain import the standard library and what external says.
const (
	pure  = 5
	plain = 3
)

// external lists what packages of floors 0-3 import from other modules.
var external = map[string][]string{
	"internal/wire":            {"github.com/fxamacker/cbor/v2"},
	"security/keystore/tpm":    {"github.com/google/go-tpm/tpm2"},
	"security/keystore/pkcs11": {"github.com/miekg/pkcs11"},
}

// Sealed packages decide or hold secrets: they reach no network, disk
// database, subprocess or log.
var (
	sealed = []string{"license", "security/sltp", "security/keystore", "security/recovery", "security/trem/internal", "content/cenc"} // with all below them
	banned = []string{"net", "net/http", "database/sql", "os/exec", "log", "log/slog", "plugin"}
)

func TestFloors(t *testing.T) {
	for dir, files := range packages(t) {
		from := floor(dir)
		if from < 0 {
			t.Errorf("%s stands on no floor: add it to arch_test.go", dir)
		}
		for _, imp := range imports(files) {
			rel, ours := strings.CutPrefix(imp, module)
			switch {
			case ours && isKit(rel):
				t.Errorf("%s imports %s, which is for tests", dir, rel)
			case ours && floor(rel) >= from:
				t.Errorf("%s (floor %d) imports %s (floor %d)", dir, from, rel, floor(rel))
			case isSealed(dir) && slices.Contains(banned, imp):
				t.Errorf("%s is sealed: it must not import %s", dir, imp)
			case !ours && from <= plain && isExternal(imp) && !slices.Contains(external[dir], imp):
				t.Errorf("%s (floor %d) imports %s: floors 0-%d import the standard library", dir, from, imp, plain)
			}
		}
	}
}

// TestFloors_EachPackageStandsOnce: a package that matches two rows has no floor
// that anyone could name.
func TestFloors_EachPackageStandsOnce(t *testing.T) {
	for dir := range packages(t) {
		n := 0
		for _, row := range floors {
			for pat := range strings.FieldsSeq(row) {
				if ok, _ := path.Match(pat, dir); ok {
					n++
				}
			}
		}
		if n > 1 {
			t.Errorf("%s stands on %d floors", dir, n)
		}
	}
}

func TestFloors_PureFloorsStartNothingAndReadNoClock(t *testing.T) {
	for dir, files := range packages(t) {
		at := floor(dir)
		for _, f := range files {
			for _, imp := range imports([]*source{f}) {
				if at <= pure && (imp == "log" || imp == "log/slog") {
					t.Errorf("%s: floor %d takes no logger", f.path, at)
				}
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					if at <= pure {
						t.Errorf("%s: floor %d starts no goroutine", f.pos(n), at)
					}
				case *ast.SelectorExpr:
					if name := selector(f.ast, n, "time"); at <= pure && isClock(name) {
						t.Errorf("%s: time.%s: floor %d takes the time as an argument", f.pos(n), name, at)
					}
				}
				return true
			})
		}
	}
}

// isClock says which names of package time read or wait for the machine's clock.
func isClock(name string) bool {
	return slices.Contains([]string{"Now", "Since", "Until", "Sleep"}, name)
}

func isSealed(dir string) bool {
	return slices.ContainsFunc(sealed, func(s string) bool { return dir == s || strings.HasPrefix(dir, s+"/") })
}

// isExternal reports whether an import path is outside the standard library.
func isExternal(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return strings.Contains(first, ".")
}

// isKit reports whether a package is a test kit: its folder is named *test.
func isKit(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }

func floor(dir string) int {
	return slices.IndexFunc(floors, func(row string) bool {
		return slices.ContainsFunc(strings.Fields(row), func(pat string) bool {
			ok, _ := path.Match(pat, dir)
			return ok
		})
	})
}
