package permission_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lares-drm/lares/license/permission"
)

var update = flag.Bool("update", false, "write the worked examples into the specification page")

const page = "../../docs/spec/permission.md"

func TestSpec_WorkedExamples(t *testing.T) {
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"rental":  "PLAY; START_TIME=2026-01-01T00:00:00Z; END_TIME=2026-02-01T00:00:00Z; INTERVAL=48h; PLAY_COUNT=2; EXPORT=clearkey; CHARGE=RENTAL",
		"unknown": "PLAY; PLAY_COUNT=3; X.10.7F=cafe; X.15=00ff",
	} {
		if !bytes.Contains(md, []byte("`"+text+"`")) {
			t.Errorf("the page does not show %q", text)
		}
		m := regexp.MustCompile("(?s)```hex " + name + "\n(.*?)```").FindSubmatch(md)
		if m == nil {
			t.Fatalf("no example %q", name)
		}
		want := encode(t, text)
		if *update {
			md = bytes.Replace(md, m[0], fmt.Appendf(nil, "```hex %s\n%x\n```", name, []byte(want)), 1)
			if err := os.WriteFile(page, md, 0o644); err != nil { //nolint:gosec // a page of documentation
				t.Fatal(err)
			}
			continue
		}
		got, err := hex.DecodeString(strings.Join(strings.Fields(string(m[1])), ""))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x (%v)", name, got, want, err)
		}
		u, err := permission.Parse(got)
		if err != nil || u.Text() != text {
			t.Errorf("%s reads as %q (%v)", name, u.Text(), err)
		}
	}
}

// The table of the page and the registry say the same of every unit, item and value.
func TestSpec_RegistryIsThePage(t *testing.T) {
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // "unit item name" -> origin
	values := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (0x..) \| (0x..)? ?\| (\w+) \| (.*) \| (standard|local) \|$`).FindAllStringSubmatch(string(md), -1) {
		item := m[2]
		if item == "" {
			item = "0x00"
		}
		rows[m[1]+" "+item+" "+m[3]] = m[5]
		for _, v := range regexp.MustCompile(`(\d+) (\w+)`).FindAllStringSubmatch(m[4], -1) {
			values[m[1]+" "+item+" "+v[1]+" "+v[2]] = true
		}
	}
	for _, r := range permission.Registry(permission.Profile1) {
		if r.Value != 0 {
			if k := fmt.Sprintf("0x%02x 0x%02x %d %s", r.Unit, r.Item, r.Value, r.Name); !values[k] {
				t.Errorf("value %q is not on the page", k)
			}
			continue
		}
		k := fmt.Sprintf("0x%02x 0x%02x %s", r.Unit, r.Item, r.Name)
		if rows[k] != string(r.Origin) {
			t.Errorf("%s: the page says %q, the registry %q", k, rows[k], r.Origin)
		}
		delete(rows, k)
	}
	if len(rows) > 0 {
		t.Errorf("on the page only: %v", rows)
	}
}

// The errors that the page shows are those that the package gives.
func TestSpec_ErrorsOfThePage(t *testing.T) {
	md, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, malformed := permission.Parse(permission.Code{1, 0, 1, 1, 0x10, 3, 3, 1, 0})
	_, invalid := (&permission.Units{Usage: []permission.UsageUnit{{Kind: permission.Playback, Interval: -48 * 3600_000}}}).Encode()
	_, text := permission.ParseText("PLAY; INTERVAL=0h")
	for name, err := range map[string]error{"ErrMalformed": malformed, "ErrInvalid": invalid, "ErrText": text} {
		if m := regexp.MustCompile("(?m)^\\| " + name + " \\| .* \\| `(.*)` \\|$").FindSubmatch(md); m == nil || err == nil || string(m[1]) != err.Error() {
			t.Errorf("%s: the page shows %q, the package gives %v", name, m, err)
		}
	}
}
