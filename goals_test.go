package lares_test

import (
	"flag"
	"go/ast"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// GOALS.md, "no black box": everything linked into the trusted module is a
// reviewed list. go list runs in a child process, whose reads the test cache
// does not see; goFiles reads every source, which makes up for it.
func TestGoals_WhatIsLinkedIntoTheModuleIsReviewed(t *testing.T) {
	goFiles(t)
	read(t, "go.mod")
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/lares-trem")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var got []string
	for p := range strings.FieldsSeq(string(out)) {
		// What the standard library keeps inside changes with each Go release.
		if isExternal(p) || !strings.HasPrefix(p, "vendor/") && !slices.Contains(strings.Split(p, "/"), "internal") {
			got = append(got, p)
		}
	}
	slices.Sort(got)
	const golden = "testdata/lares-trem.deps"
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Fields(read(t, golden))
	for _, p := range got {
		if !slices.Contains(want, p) {
			t.Errorf("%s is linked into lares-trem and not in %s: review it (go test . -update)", p, golden)
		}
	}
	for _, p := range want {
		if !slices.Contains(got, p) {
			t.Errorf("%s is in %s and no longer linked: take it out (go test . -update)", p, golden)
		}
	}
}

// GOALS.md, "no hidden switch": the trusted module reads no environment and no
// flag but its folder, and that there is a TPM.
func TestGoals_TheModuleHasNoHiddenSwitch(t *testing.T) {
	for dir, files := range packages(t) {
		if !strings.HasPrefix(dir, "security/") && !strings.HasPrefix(dir, "license") && dir != "cmd/lares-trem" {
			continue
		}
		for _, f := range files {
			if slices.Contains(imports([]*source{f}), "flag") {
				t.Errorf("%s: takes flags", f.path)
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					if name := selector(f.ast, sel, "os"); slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, name) {
						t.Errorf("%s: os.%s: the trusted module has no hidden switch", f.pos(n), name)
					}
				}
				return true
			})
		}
	}
}

// GOALS.md, "no reports": pages load nothing from elsewhere, and no address of
// anyone is built into a program, but the names of formats, which are not visited.
func TestGoals_NothingCallsHome(t *testing.T) {
	address := regexp.MustCompile(`"https?://([a-z0-9.-]+\.[a-z]{2,})`)
	allowed := regexp.MustCompile(`(^|\.)(example|test|invalid|localhost|w3\.org|purl\.org|mpeg\.org|dashif\.org|example\.(com|org|net))$`)
	for _, files := range packages(t) {
		for _, f := range files {
			if strings.HasPrefix(f.path, "interconnect/adapt/") && !slices.ContainsFunc(imports([]*source{f}), func(p string) bool { return p == "net" || p == "net/http" }) {
				continue // formats call their terms by addresses, which nobody asks
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok {
					return true
				}
				if m := address.FindStringSubmatch(lit.Value); m != nil && !allowed.MatchString(m[1]) {
					t.Errorf("%s: the address %s is built in", f.pos(n), m[1])
				}
				return true
			})
		}
	}
	loads := regexp.MustCompile(`(?i)(?:src|href|action|import|from|url)\s*[=(]?\s*["']?(?:https?:)?//[a-z0-9]`)
	walk(t, func(p string) {
		if !strings.HasPrefix(p, "internal/httpd/") || strings.Contains(p, "shaka") || strings.Contains(p, "vendor") {
			return
		}
		if ext := p[strings.LastIndex(p, ".")+1:]; slices.Contains([]string{"html", "js", "mjs", "css", "tmpl"}, ext) {
			if m := loads.FindString(read(t, p)); m != "" {
				t.Errorf("%s loads something from elsewhere: %s", p, m)
			}
		}
	})
}

// GOALS.md, "no remote deletion": no message of any protocol deletes a license
// that was bought. Revocation reaches devices, classes and signers; there is no
// object, no record and no command with which an issuer or a house takes a
// license out of a module.
func TestGoals_NothingDeletesALicenseFromAfar(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)^(delete|remove|wipe|erase|purge|destroy|revoke)_?(license|purchase|copy)s?$`)
	for dir, files := range packages(t) {
		for _, f := range files {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && forbidden.MatchString(id.Name) {
					t.Errorf("%s: %s: %s gives a way to delete what someone holds", f.pos(n), id.Name, dir)
				}
				return true
			})
		}
	}
}
