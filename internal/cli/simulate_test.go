package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const lastEvening = `title: begun on the last evening
license: PLAY; INTERVAL=48h; CHARGE=RENTAL
policy: storage_duration=30d, duration_ms=2h
day 29 23:00  start confirm  => allow HD
then          watch 60s      => allow; first_use=day 29 23:00
day 31 23:00  ask            => refuse INTERVAL_OVER(INTERVAL) remedy BUY
`

// story writes a story and returns its name.
func story(t *testing.T, folder, name, text string) string {
	t.Helper()
	name = filepath.Join(folder, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestLicense_SimulateVectors: the repository's own stories pass.
func TestLicense_SimulateVectors(t *testing.T) {
	out, msg, status := runLicense("", "simulate", "../../testdata/scenario")
	if status != statusDone || !strings.HasSuffix(out, " passed, 0 failed\n") {
		t.Errorf("status %d %s\n%s", status, msg, out)
	}
}

func TestLicense_Simulate(t *testing.T) {
	name := story(t, t.TempDir(), "evening.txt", lastEvening)
	out, msg, status := runLicense("", "simulate", name)
	if status != statusCheck || !strings.Contains(out, "has no vector beside it: --update writes evening.json") || !strings.Contains(msg, "1 of 1") {
		t.Errorf("without a vector: status %d %s\n%s", status, msg, out)
	}
	if out, msg, status := runLicense("", "simulate", name, "--update"); status != statusDone {
		t.Fatal(status, msg, out)
	}
	out, msg, status = runLicense("", "simulate", name)
	if status != statusDone {
		t.Fatal(status, msg, out)
	}
	for _, want := range []string{
		"day 29 23:00     start confirm", "yes HD, until day 30 00:00 (END)", "60 s of media", "INTERVAL_OVER/INTERVAL: The viewing time that began with the first play is over.",
		"PASS  begun on the last evening", "\n1 passed, 0 failed\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	vector := strings.TrimSuffix(name, ".txt") + ".json"
	data, err := os.ReadFile(vector)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vector, []byte(strings.Replace(string(data), `"allow":true`, `"allow":false`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, status := runLicense("", "simulate", name); status != statusCheck || !strings.Contains(out, "evening.json:6: is not what the story compiles to") {
		t.Errorf("another vector: status %d\n%s", status, out)
	}
}

func TestLicense_SimulateFolder(t *testing.T) {
	dir := t.TempDir()
	good := story(t, dir, "a.txt", lastEvening)
	if out, msg, status := runLicense("", "simulate", good, "--update"); status != statusDone {
		t.Fatal(status, msg, out)
	}
	story(t, dir, "b.txt", strings.Replace(lastEvening, "allow HD", "allow SD", 1))
	story(t, dir, "c.txt", strings.Replace(lastEvening, "watch", "wach", 1))
	story(t, dir, "d.txt", "title: a run\nday 0 ask")
	story(t, dir, "e.json", "{}")
	out, msg, status := runLicense("", "simulate", dir)
	for _, want := range []string{
		"PASS  begun on the last evening", `b.txt:4: expected "allow SD", got allow HD`, `c.txt:5: "wach" is nothing that can happen; a story knows ask`,
		"d.txt: expects nothing", "e.json", "without its story", "1 passed, 4 failed\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if status != statusCheck || strings.Contains(out, "start confirm") {
		t.Errorf("status %d %s\n%s", status, msg, out)
	}
	// A wrong expectation is not written into a vector.
	if _, _, status := runLicense("", "simulate", dir, "--update"); status != statusCheck {
		t.Errorf("--update: status %d", status)
	}
	if _, err := os.Stat(filepath.Join(dir, "b.json")); err == nil {
		t.Error("--update wrote the vector of a story that fails")
	}
}

func TestLicense_SimulateJSON(t *testing.T) {
	name := story(t, t.TempDir(), "run.txt", "title: a run\nday 0 ask\nday 0 give plays=1")
	out, msg, status := runLicense("", "simulate", name, "--json")
	var got struct {
		Scenarios []struct {
			Title    string
			Problems []string
			Events   []struct {
				When, Text, Error string
				Decision          *struct{ Allow bool }
			}
		}
		Passed, Failed int
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err, out)
	}
	if status != statusDone && status != statusCheck {
		t.Error(status, msg)
	}
	s := got.Scenarios[0]
	if s.Title != "a run" || len(s.Events) != 2 || !s.Events[0].Decision.Allow || s.Events[0].When != "day 0 00:00" {
		t.Errorf("%+v", got)
	}
}

// TestLicense_SimulateWithLicense tells a story with a license of one's own.
func TestLicense_SimulateWithLicense(t *testing.T) {
	file, _ := rentalFile(t)
	name := story(t, t.TempDir(), "evening.txt", strings.Replace(lastEvening, "watch 60s", "watch 60s UHD", 1))
	out, msg, status := runLicense("", "simulate", name, "--license", file)
	if status != statusDone || strings.Contains(out, "passed") || strings.Contains(out, "!") {
		t.Errorf("status %d %s\n%s", status, msg, out)
	}
	for _, want := range []string{"yes UHD", "plays left: 2", "60 s of media", "INTERVAL_OVER"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestLicense_SimulateUsage(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"simulate"}, statusUsage, ""},
		{[]string{"simulate", dir}, statusUsage, "has no story"},
		{[]string{"simulate", dir, "--license", "x"}, statusUsage, "goes with one STORY"},
		{[]string{"simulate", dir, "--license", "x", "--update"}, statusUsage, "license update"},
		{[]string{"simulate", filepath.Join(dir, "none.txt")}, statusError, "no such file"},
	} {
		if _, msg, status := runLicense("", tc.args...); status != tc.status || !strings.Contains(msg, tc.want) {
			t.Errorf("%v: status %d, %q; want %d, %q", tc.args, status, msg, tc.status, tc.want)
		}
	}
}
