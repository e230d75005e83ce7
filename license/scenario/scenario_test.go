package scenario_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/scenario"
)

const folder = "../../testdata/scenario"

func told(tb testing.TB, text string) *scenario.Result {
	tb.Helper()
	s, err := scenario.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	r, err := scenario.Run(s)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// TestScenario_EveryVector tells every story of the repository and holds it
// against its expectations, its JSON, and its own print.
func TestScenario_EveryVector(t *testing.T) {
	files, err := filepath.Glob(folder + "/*.txt")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d stories (%v)", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			r := told(t, string(text))
			for _, f := range r.Failures() {
				t.Errorf("%s: %s", name, f)
			}
			if r.Expectations == 0 {
				t.Error("expects nothing")
			}
			got, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(name, ".txt") + ".json")
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the vector differs from the story (%v): lares license simulate --update testdata/scenario", err)
			}
			if diff := cmp.Diff(bare(t, got), bare(t, again(t, text))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// again is the vector of the story's own print.
func again(t *testing.T, text []byte) []byte {
	t.Helper()
	s, err := scenario.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	data, err := told(t, s.Text()).JSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bare takes out of a vector what depends on where the lines stand.
func bare(t *testing.T, data []byte) any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	steps, _ := v["steps"].([]any)
	for _, s := range steps {
		delete(s.(map[string]any), "line") //nolint:forcetypeassert // of the vector's own layout
	}
	return v
}

// TestScenario_EveryNumberOfEvaluationIsShown: V1 to V30 without those of
// transfer.md, and E1 to E13.
func TestScenario_EveryNumberOfEvaluationIsShown(t *testing.T) {
	files, _ := filepath.Glob(folder + "/*.txt")
	var shown []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := scenario.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, s.Shows()...)
	}
	page, err := os.ReadFile("../../docs/spec/evaluation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (V\d+) \|`).FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(shown, m[1]) {
			t.Errorf("no story shows %s", m[1])
		}
	}
	for _, e := range []string{"E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "E10", "E11", "E12", "E13", "E18"} {
		if !slices.Contains(shown, e) {
			t.Errorf("no story shows %s", e)
		}
	}
}

// TestScenario_AWrongExpectationIsFound spoils each kind of expectation once.
func TestScenario_AWrongExpectationIsFound(t *testing.T) {
	const head = "title: x\nlicense: PLAY; PLAY_COUNT=2; END_TIME=2026-01-03T00:00:00Z; LEND; EXPORT=oma\npolicy: duration_ms=2h\n"
	for _, tc := range []struct{ step, right, wrong string }{
		{"ask", "allow HD", "allow SD"},
		{"ask", "allow", "refuse"},
		{"ask", "allow", "refuse EXPIRED"},
		{"ask RENDER", "refuse NO_GRANT(RENDER)", "allow"},
		{"ask RENDER", "refuse NO_GRANT(RENDER)", "refuse NO_GRANT(COPY)"},
		{"ask RENDER", "refuse NO_GRANT", "refuse NO_GRANT EXPIRED"},
		{"ask tier=UHD kid=HD", "until day 2", "until day 3"},
		{"ask", "until day 2", "until none"},
		{"ask", "next(END day 2)", "next(END day 3)"},
		{"ask", "next(END)", "next(START_TIME)"},
		{"ask", "warn none", "warn OUTPUT"},
		{"ask RENDER", "remedy BUY", "remedy RENEW"},
		{"ask RENDER", "remedy BUY", "remedy none"},
		{"ask", "confirm none", "confirm LAST_PLAY"},
		{"ask", "note none", "note ROAMING"},
		{"ask", "unlock none", "unlock UHD"},
		{"ask", "blocked none", "blocked ANALOG"},
		{"ask", "keys AUDIO+SD+HD", "keys AUDIO+SD"},
		{"ask", "plays_left=2", "plays_left=1"},
		{"ask", "plays_left=2", "plays_left=none"},
		{"ask", "ms_left=none", "ms_left=1s"},
		{"ask", "copies_left=none", "copies_left=1"},
		{"ask", "earliest none", "earliest day 1"},
		{"start", "play=1", "play=2"},
		{"start", "charged=no", "charged=yes"},
		{"start", "last_use=day 1", "last_use=day 2"},
		{"start", "first_use=none", "first_use=day 1"},
		{"give plays=1", "given=1", "given=2"},
		{"give plays=1", "index=1", "fails"},
		{"give plays=3", "fails", "given=3"},
		{"state phase=LENT_OUT", "phase=LENT_OUT", "phase=HELD"},
		{"state away=3 home=CH", "away=3 home=CH", "away=3 home=DE"},
		{"state acc=3s", "acc=3s", "acc=4s"},
		{"choose", "choice=film", "choice=loan"},
		{"derive export system=oma holds=END_TIME", "lost PLAY_COUNT", "lost none"},
		{"derive export system=oma holds=END_TIME", "end day 2", "end day 1"},
		{"derive allowance plays=1", "code(PLAY; PLAY_COUNT=1; END_TIME=2026-01-03T00:00:00Z)", "code(PLAY)"},
		{"derive loan subject=user:ann for=1d plays=1", "hard-end day 2", "hard-end none"},
	} {
		for i, text := range []string{tc.right, tc.wrong} {
			r := told(t, head+"day 1 "+tc.step+" => "+text)
			if got, want := len(r.Failures()) > 0, i == 1; got != want {
				t.Errorf("%s => %s: failures %q, want some: %v", tc.step, text, r.Failures(), want)
			}
		}
	}
}

func TestScenario_WatchedIsCounted(t *testing.T) {
	const head = "title: x\nlicense: PLAY; ACCUMULATED=5s\nday 0 start\nthen watch 9s => refuse, watched="
	if f := told(t, head+"5s").Failures(); len(f) != 0 {
		t.Error(f)
	}
	if f := told(t, head+"6s").Failures(); len(f) != 1 || !strings.Contains(f[0], "got 5s") {
		t.Error(f)
	}
}

// TestScenario_ErrorsNameLineAndRemedy reads stories that cannot be read or told.
func TestScenario_ErrorsNameLineAndRemedy(t *testing.T) {
	for _, tc := range []struct {
		text string
		line int
		want string
	}{
		{"day 0 ask", 1, `no title: begin with a line such as "title:`},
		{"title: x\nday 0 fly", 2, `"fly" is nothing that can happen; a story knows ask, choose, start`},
		{"title: x\nask", 2, `want a time such as "day 29 23:00"`},
		{"title: x\nday 0 ask => alow", 2, `"alow" is nothing to expect; behind => stand allow`},
		{"title: x\nday 0 ask => refuse EXPIERD", 2, `"EXPIERD" is no code of a reason`},
		{"title: x\nday 0 ask => plays=1", 2, `"plays" is nothing to expect; there are plays_left`},
		{"title: x\nday 0 ask =>", 2, "nothing is expected behind =>"},
		{"title: x\nday 0 offline => allow", 2, "put an ask behind it"},
		{"title: x\nday 0 ask tire=SD", 2, `"tire=SD" cannot stand here; here can stand: again,`},
		{"title: x\nday 0 ask tier=4K", 2, `"4K" is no tier`},
		{"title: x\nday 0 wait long", 2, "one duration"},
		{"title: x\nday 0 watch soon", 2, `"soon" is no duration: want one such as 48h`},
		{"title: x\nday 0 watch 1500ms", 2, "whole fragments"},
		{"title: x\nday 0 watch 10s", 2, "is not in use: start it"},
		{"title: x\nday 0 start\nthen start", 3, "is in use already: stop or crash first"},
		{"title: x\nday 0 start\nthen watch 1s UHD", 3, "it has AUDIO, SD, HD"},
		{"title: x\nday 3 ask\nday 2 ask", 3, "before day 3 00:00, the step before: write the day"},
		{"title: x\nday 0 ask with loan", 2, `there is no license "loan"; there are film`},
		{"title: x\nlicense: FLY", 2, "no such keyword"},
		{"title: x\nlicense: PLAY; PLAY_COUNT=1", 2, "PLAY_COUNT without duration_ms"},
		{"title: x\npolicy: duration_ms=2h", 2, `write it first, as "license film: PLAY"`},
		{"title: x\nlicense: PLAY\npolicy: durations=2h", 3, `"durations=2h" cannot stand here; here can stand: accumulated_by`},
		{"title: x\nlicense: PLAY\nkeys: 4K 100", 3, `"4K" is no tier`},
		{"title: x\nlicense: PLAY\nday 0 ask\nlicense loan: PLAY", 4, "headers stand in front"},
		{"title: x\nrule: y", 2, `no such header; headers are title`},
		{"title: x\ntitle: y", 2, "stands twice"},
		{"title: x\nday 0 unplug beamer", 2, `no output "beamer" is plugged in`},
		{"title: x\nday 0 start\nthen read 24h fragment=1ms", 3, "more than 100000 fragments"},
		{"title: x\nday 0 ask\x07", 2, "control character"},
		{"title: x\n" + strings.Repeat("day 0 ask\n", 501), 502, "more than 500 steps"},
		{"title: x\n# " + strings.Repeat("x", 1100), 2, "1024 at most"},
		{strings.Repeat("\n", 1<<16+1), 1, "65536 at most"},
	} {
		s, err := scenario.Parse([]byte(tc.text))
		if err == nil {
			_, err = scenario.Run(s)
		}
		var at *scenario.Error
		if !errors.As(err, &at) || at.Line != tc.line || !strings.Contains(at.Reason, tc.want) {
			t.Errorf("%.40q: got %v; want line %d: %s", tc.text, err, tc.line, tc.want)
		}
	}
}

// TestScenario_With puts another license into a story: nothing is judged, and
// days count from its own issue.
func TestScenario_With(t *testing.T) {
	from := told(t, "title: x\nlicense: PLAY; PLAY_COUNT=2\npolicy: duration_ms=2h\ninfo: issued=day 5\nsubject: user ann\nday 0 derive allowance plays=1")
	s, err := scenario.Parse([]byte("title: y\nday 0 ask => refuse"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := scenario.Run(s.With(from.Events[0].Child))
	if err != nil {
		t.Fatal(err)
	}
	e := r.Events[0]
	if !e.Decision.Allow || len(r.Failures()) != 0 || e.At != from.Events[0].At || e.When != "day 0 00:00" {
		t.Errorf("%+v", e)
	}
}
