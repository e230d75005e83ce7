package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/revocation/spread"
)

func TestCA_SimulateIsTheSameEachTime(t *testing.T) {
	c := newCATest(t)
	svg := filepath.Join(t.TempDir(), "spread.svg")
	run := func(args ...string) string {
		t.Helper()
		out, errs, code := c.run("", append([]string{"simulate", "--devices", "20000", "--svg", svg}, args...)...)
		if code != statusDone {
			t.Fatalf("%v: status %d: %s", args, code, errs)
		}
		pic, err := os.ReadFile(svg)
		if err != nil {
			t.Fatal(err)
		}
		return out + string(pic)
	}
	text, values := run(), run("--json")
	if text != run() || values != run("--json") || values == run("--json", "--seed", "2") {
		t.Error("the same seed gives other bytes, or another one the same")
	}
	out, _, _ := c.run("", "simulate", "--devices", "20000", "--json")
	d := json.NewDecoder(strings.NewReader(out))
	var loose struct {
		Strategies []struct {
			Strategy string   `json:"strategy"`
			Days90   *float64 `json:"days_90"`
			Post     uint64   `json:"post_revocation_stale_uses"`
		} `json:"strategies"`
		Devices struct {
			N int `json:"devices"`
		} `json:"parameters"`
	}
	if err := d.Decode(&loose); err != nil || len(loose.Strategies) != len(spread.Strategies()) || loose.Devices.N != 20000 {
		t.Fatalf("%v: %s", err, out)
	}
	if s := loose.Strategies; s[0].Days90 != nil || s[1].Days90 == nil || s[0].Post+s[1].Post+s[2].Post+s[3].Post != 0 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(text, "never") || !strings.Contains(text, "<svg") {
		t.Errorf("%s", text)
	}
}

func TestCA_SimulateReadsItsFile(t *testing.T) {
	c := newCATest(t)
	good, err := json.Marshal(spread.Example())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "town.json")
	small := bytes.Replace(good, []byte(`"devices":100000`), []byte(`"devices":500`), 1)
	if err := os.WriteFile(file, small, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"simulate", file}, {"simulate", "-"}} {
		if out, errs, code := c.run(string(small), args...); code != statusDone || !strings.HasPrefix(out, "500 devices") {
			t.Errorf("%v: status %d: %s%s", args, code, out, errs)
		}
	}
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		code  int
	}{
		"unknown key":  {`{"devises": 5}`, []string{"simulate", "-"}, statusUsage},
		"too many":     {"", []string{"simulate", "--devices", "1000000000"}, statusUsage},
		"no such file": {"", []string{"simulate", file + ".no"}, statusError},
		"two files":    {"", []string{"simulate", file, file}, statusUsage},
	} {
		if _, errs, code := c.run(tc.stdin, tc.args...); code != tc.code {
			t.Errorf("%s: status %d, want %d: %s", name, code, tc.code, errs)
		}
	}
}

// TestCA_SimulateAMillion: what ten million take stands in docs/performance.md.
func TestCA_SimulateAMillion(t *testing.T) {
	needs.Long(t)
	c := newCATest(t)
	if _, errs, code := c.run("", "simulate", "--devices", "1000000"); code != statusDone {
		t.Errorf("status %d: %s", code, errs)
	}
}
