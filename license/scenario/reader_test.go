package scenario_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// The second reader was written from docs/spec alone, in another language. It
// recomputes every step of every vector and reads the pages' own examples.
func TestInterop_SecondReader(t *testing.T) {
	needs.Long(t)
	python := needs.Tool(t, "python3")
	for _, tc := range []struct {
		args  []string
		least int
	}{
		{[]string{"../../tools/reader/read.py", "../../testdata/scenario"}, 1500},
		{[]string{"../../tools/reader/read.py", "--examples", "../../docs/spec"}, 9},
	} {
		out, err := exec.CommandContext(t.Context(), python, tc.args...).CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		last := regexp.MustCompile(`^(\d+) passed, 0 failed$`).FindStringSubmatch(lines[len(lines)-1])
		if err != nil || last == nil {
			t.Errorf("%v: %v\n%s", tc.args, err, out)
			continue
		}
		if n, err := strconv.Atoi(last[1]); err != nil || n < tc.least {
			t.Errorf("%v: %d checked, want at least %d", tc.args, n, tc.least)
		}
	}
}

// Its own tests, of malformed input above all.
func TestInterop_SecondReadersTests(t *testing.T) {
	needs.Long(t)
	cmd := exec.CommandContext(t.Context(), needs.Tool(t, "python3"), "-m", "unittest", "-q")
	cmd.Dir = "../../tools/reader"
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "Ran 0 tests") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What docs/spec/evaluation.md promises of the vectors: each has a number, and
// there are at least 200.
func TestScenario_ThereAreEnough(t *testing.T) {
	all, err := filepath.Glob("../../testdata/scenario/*.json")
	if err != nil || len(all) < 200 {
		t.Errorf("%d vectors (%v), want at least 200", len(all), err)
	}
}
