package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/interconnect/adapt/adapttest"
)

func TestAdapt_ListHasEachAdapterWithItsCapabilities(t *testing.T) {
	out, _, code := run(t, "adapt", "list", "--json")
	var got struct {
		Adapters []adapt.System `json:"adapters"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != statusDone {
		t.Fatalf("%v, status %d: %s", err, code, out)
	}
	var names []string
	for _, s := range got.Adapters {
		names = append(names, s.Name)
		if s.Version == "" || s.Keys == "" || len(s.Permissions) == 0 || s.Enforces == nil || s.Holds == nil {
			t.Errorf("%s says too little: %+v", s.Name, s)
		}
	}
	if want := []string{"clearkey", "cpix", "hls", "lcp", "odrl"}; !slices.Equal(names, want) {
		t.Errorf("adapters %v, want %v", names, want)
	}
	text, _, _ := run(t, "adapt", "list")
	for _, name := range names {
		if !strings.Contains(text, name) {
			t.Errorf("the list for people lacks %s:\n%s", name, text)
		}
	}
}

// The page's row is what the command prints.
func TestAdapt_SpecExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/adapt.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	want, _, _ := strings.Cut(rest, "\n```")
	a, err := adapterOf("odrl")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(a.System()); err != nil || string(got) != want {
		t.Errorf("docs/spec/adapt.md has another row than\n%s", got)
	}
}

func TestAdapt_ConvertNamesWhatIsLost(t *testing.T) {
	dir := t.TempDir()
	file := func(name, terms string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, adapttest.License(t, terms).Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sold := file("sold.license", "PLAY; LEND; END_TIME=2026-02-01T00:00:00Z; EXPORT=lcp,odrl")
	counted := file("counted.license", "PLAY; PLAY_COUNT=3; EXPORT=clearkey,odrl")
	for _, tc := range []struct {
		args   []string
		status int
		out    string
		notes  string
	}{
		{[]string{"--to", "lcp", sold}, statusDone, `"end":"2026-02-01T00:00:00Z"`, "LEND dropped"},
		{[]string{"--to", "odrl", sold}, statusDone, `"@type": "Agreement"`, "LEND dropped"},
		{[]string{"--to", "clearkey", counted}, statusDone, `{"kids":[`, "PLAY_COUNT held by the source"},
		{[]string{"--to", "odrl", counted}, statusRefused, "", "counted"},
		{[]string{"--to", "clearkey", sold}, statusRefused, "", "does not name"},
		{[]string{"--from", "odrl", "../../interconnect/adapt/odrl/testdata/policies/prohibited.json"}, statusDone, "PLAY\n", "PRINT dropped"},
		{[]string{"--from", "odrl", "../../interconnect/adapt/odrl/testdata/w3c/C1.json"}, statusRefused, "", "DUTY is dropped"},
		{[]string{"--from", "cpix", "../../interconnect/adapt/cpix/testdata/unified/one-key.xml"}, statusRefused, "", "no rights"},
		{[]string{"--from", "lcp", sold}, statusError, "", "not a document"},
		{[]string{"--from", "lcp", "--to", "lcp", sold}, statusUsage, "", "one of"},
		{[]string{sold}, statusUsage, "", "one of"},
		{[]string{"--to", "widevine", sold}, statusUsage, "", "no adapter"},
	} {
		out, notes, code := run(t, append([]string{"adapt", "convert"}, tc.args...)...)
		if code != tc.status || !strings.Contains(out, tc.out) || !strings.Contains(notes, tc.notes) {
			t.Errorf("%v: status %d\n%s%s", tc.args, code, out, notes)
		}
	}
	out, _, _ := run(t, "adapt", "convert", "--to", "lcp", sold, "--json")
	var got converted
	if err := json.Unmarshal([]byte(out), &got); err != nil || !got.Loss.Has("LEND") || !strings.Contains(got.Artifact, `"print":0`) {
		t.Errorf("%v: %s", err, out)
	}
}
