package license_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// A second reader, written from docs/spec/sunset.md alone in another language, comes to
// what the vectors say, and reads the page's examples. It sees one that is wrong.
func TestInterop_SecondReaderOfSunsets(t *testing.T) {
	needs.Long(t)
	const vectors = "testdata/sunset.json"
	read := func(file string) (string, error) {
		out, err := exec.CommandContext(t.Context(), needs.Tool(t, "python3"), "../tools/reader/sunset.py", file, "../docs/spec/sunset.md").CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if said, err := read(vectors); err != nil || said != "17 passed, 0 failed" {
		t.Errorf("%v\n%s", err, said)
	}
	data, err := os.ReadFile(vectors)
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "sunset.json")
	if err := os.WriteFile(wrong, []byte(strings.Replace(string(data), `"head": 1806451199999`, `"head": 1806451200000`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := read(wrong); err == nil || !strings.Contains(said, "a state of a millisecond before: found ('NOTICE'") {
		t.Errorf("a vector that is wrong: %v\n%s", err, said)
	}
}
