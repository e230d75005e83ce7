package bench

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/needs"
)

// TestContent_RowsAreStable runs every part on a film of a second. Peers that are
// not there are rows that do not hold, and nothing more.
func TestContent_RowsAreStable(t *testing.T) {
	needs.Long(t)
	needs.Tool(t, "ffmpeg")
	program := filepath.Join(t.TempDir(), "lares")
	if msg, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/lares").CombinedOutput(); err != nil {
		t.Fatalf("build lares: %v, %s", err, msg)
	}
	t.Chdir(t.TempDir())
	got, err := runContent(t.Context(), Config{Quick: true, Program: program})
	if err != nil {
		t.Fatal(err)
	}
	var names []row
	for _, r := range got {
		names = append(names, row{r.Name, r.Unit, r.Bar})
		if r.Value <= 0 && r.Note == "" && r.Name != "small samples: each, over the cipher" {
			t.Errorf("%s: %v %s was not measured", r.Name, r.Value, r.Unit)
		}
		if r.Bar == "" && r.Note == "" && !r.Holds {
			t.Errorf("%s has no bar and does not hold", r.Name)
		}
	}
	for _, want := range []row{
		{"full-sample cbc: decrypt", "GB/s", ">= 2.5"},
		{"small samples: each, over the cipher", "µs", "<= 0.6"},
		{"link encryption against decryption", "times", ">= 0.7"},
		{"cenc: lares, memory", "MB", "<= 64"},
		{"cenc: ffmpeg, CPU against lares", "times", ">= 8"},
		{"cenc: mp4ff, CPU against lares", "times", ">= 1.4"},
		{"cenc: lares, clock against cp", "times", "<= 1.6"},
		{"cbcs: lares, clock against cp", "times", "<= 1.6"},
		{"pack: lares, CPU", "s", ""},
		{"a file of 2 GB: memory", "MB", "<= 64"},
	} {
		if !slices.Contains(names, want) {
			t.Errorf("no row %v among\n%v", want, names)
		}
	}
}

func TestContent_AbsentPeersDoNotHold(t *testing.T) {
	tools := []tool{{name: "lares", argv: []string{"x"}}, {name: "shaka-packager", why: noShaka}, {name: "cp", argv: []string{"x"}, copies: true}}
	used := map[string]spent{"lares": {wall: 3, cpu: 2, rss: 50e6}, "cp": {wall: 2, cpu: 2, rss: 1e6}}
	want := []Row{
		{Name: "cbcs: lares, CPU", Value: 2, Unit: "s", Holds: true},
		{Name: "cbcs: lares, clock", Value: 3, Unit: "s", Holds: true},
		{Name: "cbcs: lares, memory", Value: 50, Unit: "MB", Bar: "<= 64", Holds: true},
		{Name: "cbcs: shaka-packager, CPU against lares", Unit: "times", Note: noShaka},
		{Name: "cbcs: lares, clock against cp", Value: 1.5, Unit: "times", Bar: "<= 1.6", Holds: true},
	}
	if d := cmp.Diff(want, decryptRows("cbcs", tools, used)); d != "" {
		t.Error(d)
	}
	got, err := runContentFilm(t.Context(), Config{Quick: true})
	if err != nil || len(got) != 1 || got[0].Holds || got[0].Note == "" {
		t.Errorf("without the program: %v, %v", got, err)
	}
}
