package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/cli"
	"github.com/lares-drm/lares/internal/needs"
)

var commitTime = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// manual makes the pages and completions in a folder of the test.
func manual(t *testing.T) map[string]string {
	t.Helper()
	r := &release{work: t.TempDir(), version: cli.Version, at: commitTime}
	list, err := r.manuals(cli.Commands())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range list {
		data, err := e.read()
		if err != nil {
			t.Fatal(err)
		}
		out[e.name] = string(data)
	}
	return out
}

// helpFlag is a flag in the list of a command's flags.
var helpFlag = regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z0-9-]+)`)

// TestRelease_AManualPageForEachCommand: each command of the tree has a page with
// its flags and examples, and there is no page of anything else.
func TestRelease_AManualPageForEachCommand(t *testing.T) {
	pages := manual(t)
	n := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		n++
		name := "man/man1/" + strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		page := strings.ReplaceAll(pages[name], `\-`, "-")
		if page == "" {
			t.Errorf("there is no %s", name)
		}
		if !strings.Contains(page, `"Nov 2026"`) {
			t.Errorf("%s has another month than the commit's", name)
		}
		for _, m := range helpFlag.FindAllStringSubmatch(c.LocalFlags().FlagUsages(), -1) {
			if !strings.Contains(page, m[1]) {
				t.Errorf("%s lacks %s", name, m[1])
			}
		}
		for line := range strings.SplitSeq(strings.TrimSpace(c.Example), "\n") {
			if _, _, ok := strings.Cut(line, "lares "); ok && !strings.Contains(page, strings.Fields(line)[0]) {
				t.Errorf("%s lacks the example %q", name, line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cli.Commands())
	have := 0
	for name := range pages {
		if strings.HasPrefix(name, "man/") {
			have++
		}
	}
	if have != n || n < 100 {
		t.Errorf("%d pages for %d commands", have, n)
	}
}

// TestRelease_ManualPagesAreWellFormed lets groff read every page.
func TestRelease_ManualPagesAreWellFormed(t *testing.T) {
	groff := needs.Tool(t, "groff")
	var all strings.Builder
	pages := manual(t)
	for _, name := range slices.Sorted(keys(pages)) {
		if strings.HasPrefix(name, "man/") {
			all.WriteString(pages[name] + "\n")
		}
	}
	cmd := exec.CommandContext(t.Context(), groff, "-K", "utf8", "-man", "-Tutf8", "-ww", "-W", "break") // a long example is a long line
	cmd.Stdin = strings.NewReader(all.String())
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 || !strings.Contains(string(out), "lares-device-play") {
		t.Errorf("%v: %s", err, errs.String()[:min(2000, errs.Len())])
	}
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestRelease_UnitsNameCommandsThatAreThere: what a unit runs exists, with its flags.
func TestRelease_UnitsNameCommandsThatAreThere(t *testing.T) {
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/lares (.+)$`)
	files, err := filepath.Glob("../../packaging/systemd/*.service")
	if more, e := filepath.Glob("../../packaging/systemd/examples/*.conf"); e == nil {
		files = append(files, more...)
	}
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		runs := start.FindAllStringSubmatch(string(text), -1)
		if len(runs) == 0 && strings.HasSuffix(f, ".service") {
			t.Errorf("%s starts nothing", f)
		}
		for _, m := range runs {
			cmd, rest, err := cli.Commands().Find(strings.Fields(m[1]))
			if err != nil || !cmd.Runnable() || cmd.HasSubCommands() {
				t.Errorf("%s: lares %s: no such command", f, m[1])
				continue
			}
			for _, w := range rest {
				if name, ok := strings.CutPrefix(w, "--"); ok && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: %s has no --%s", f, cmd.CommandPath(), name)
				}
			}
			if !strings.HasSuffix(m[1], "$LARES_ARGS") {
				t.Errorf("%s: an administrator cannot add a flag", f)
			}
		}
	}
}

// maxExposure is what systemd-analyze may say of a unit, in tenths. Source: local.
const maxExposure = 25

// TestRelease_UnitsAreHardened asks systemd what each unit leaves open.
func TestRelease_UnitsAreHardened(t *testing.T) {
	analyze := needs.Tool(t, "systemd-analyze")
	files, err := filepath.Glob("../../packaging/systemd/*.service")
	if err != nil {
		t.Fatal(err)
	}
	overall := regexp.MustCompile(`Overall exposure level for \S+: (\d+)\.(\d)`)
	for _, f := range files {
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", fmt.Sprintf("--threshold=%d", maxExposure), f).CombinedOutput()
		if err != nil || !overall.Match(out) {
			t.Errorf("%s: %v: %s", f, err, out)
		}
		if m := overall.FindSubmatch(out); m != nil {
			t.Logf("%s %s.%s", filepath.Base(f), m[1], m[2])
		}
	}
	// The bar is one: a unit without these lines is far above it.
	bare := filepath.Join(t.TempDir(), "bare.service")
	if err := os.WriteFile(bare, []byte("[Service]\nExecStart=/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", fmt.Sprintf("--threshold=%d", maxExposure), bare).Run(); err == nil {
		t.Error("a unit without any hardening passes")
	}
}

// TestRelease_ScriptsAreShell reads the maintainer scripts with a shell.
func TestRelease_ScriptsAreShell(t *testing.T) {
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", "../../packaging/deb/"+name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// built makes a release of amd64 from a copy of the tree in a folder.
func built(ctx context.Context, t *testing.T, dir string) string {
	t.Helper()
	copyTree(t, "../..", dir)
	out := filepath.Join(dir, "dist")
	cmd := exec.CommandContext(ctx, "go", "run", "-trimpath", "./internal/release", "--only", "amd64", "--out", out)
	cmd.Dir = dir
	// Without C, as what it builds: the two share what is compiled.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", commitTime.Unix()))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// copyTree copies what git would, without its history.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "-co", "--exclude-standard")
	list.Dir = from
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if strings.Contains(name, "/testdata/") && !strings.HasPrefix(name, "interconnect/lrp/") || strings.HasPrefix(name, "docs/img/") {
			continue // nothing of a release, but for the vectors that lares conform sends
		}
		data, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		dst := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(dst), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dst, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRelease_SameBytesTwice builds in two folders of different names, and looks
// into what came out.
func TestRelease_SameBytesTwice(t *testing.T) {
	needs.Long(t)
	needs.Tool(t, "git")
	a := built(t.Context(), t, filepath.Join(t.TempDir(), "a"))
	b := built(t.Context(), t, filepath.Join(t.TempDir(), "another", "and longer"))
	list, err := os.ReadDir(a)
	if err != nil || len(list) != 5 {
		t.Fatalf("%d files, want tarball, package, two bills and the sums: %v", len(list), err)
	}
	for _, f := range list {
		x, err := os.ReadFile(filepath.Join(a, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, f.Name()))
		if err != nil || string(x) != string(y) {
			t.Errorf("%s differs (%v)", f.Name(), err)
		}
	}
	looked(t, a)
}
