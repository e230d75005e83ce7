package license_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// covered are the files of the evaluator and of the state machine. Their
// branches are counted by scripts/coverage.
func covered() []string {
	return []string{
		"evaluate.go", "standing.go", "times.go", "terms.go", "counts.go", "where.go", "handle.go", "outputs.go", "session.go", "slice.go",
		"reserve.go", "choose.go", "derive.go", "settle.go", "person.go", "relay.go", "narrower.go", "narrower_policy.go", "state.go",
	}
}

// Every statement of the evaluator and of the state machine is executed by the
// tests that are written down, without the random ones.
func TestCoverage_EveryStatementOfTheEvaluator(t *testing.T) {
	needs.Long(t)
	profile := filepath.Join(t.TempDir(), "cover")
	out, err := exec.CommandContext(t.Context(), needs.Tool(t, "go"), "test", "-short", "-vet=off", "-skip=_E16_", "-coverprofile="+profile, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(profile) //nolint:gosec // the file just written
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	statements := map[string]int{}
	for s := bufio.NewScanner(f); s.Scan(); {
		block := s.Text() // file:from,to statements times
		name, _, _ := strings.Cut(filepath.Base(block), ":")
		if !slices.Contains(covered(), name) {
			continue
		}
		if statements[name]++; strings.HasSuffix(block, " 0") {
			t.Errorf("never executed: %s", block)
		}
	}
	for _, name := range covered() {
		if statements[name] == 0 {
			t.Errorf("%s is not in the profile", name)
		}
	}
}

// scripts/coverage counts the branches of the same files.
func TestCoverage_ScriptCountsTheSameFiles(t *testing.T) {
	script, err := os.ReadFile("../scripts/coverage")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(strings.Join(covered(), " "), ".go", "")
	if !strings.Contains(string(script), "files=("+want+")") {
		t.Errorf("scripts/coverage does not count %s", want)
	}
}
