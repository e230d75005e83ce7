package httpd_test

import (
	"encoding/json"
	"html"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/content/cenc"
	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/internal/httpd/browsertest"
	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home/hometest"
)

// rentalStory is the title of the example that tests pick.
const rentalStory = "A rental, begun on its last evening"

// untouched makes every question to the module fail the test.
func untouched(t *testing.T, m *hometest.Module) {
	m.Decide = func(trem.Ask) license.Decision {
		t.Error("the module was asked")
		return license.Decision{}
	}
}

func simulate(t *testing.T, house string, in httpd.SimulateRequest) httpd.SimulateView {
	t.Helper()
	res, data := get(t, "POST", house+"/api/v1/simulate", in)
	var v httpd.SimulateView
	if err := json.Unmarshal(data, &v); err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("simulate: %d %s", res.StatusCode, data)
	}
	return v
}

// stories are the examples as the page carries them.
func stories(t *testing.T, house string) map[string]string {
	t.Helper()
	_, body := get(t, "GET", house+"/simulator", nil)
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`<option data-story="([^"]*)">([^<]*)</option>`).FindAllSubmatch(body, -1) {
		out[html.UnescapeString(string(m[2]))] = html.UnescapeString(string(m[1]))
	}
	return out
}

func TestSimulator_TellsATimeLine(t *testing.T) {
	srv, h, module := house(t, cenc.SchemeCENC)
	untouched(t, module)
	v := simulate(t, srv.URL, httpd.SimulateRequest{Story: stories(t, srv.URL)[rentalStory], Days: 2})
	if v.Title != rentalStory || v.Action != "PLAY" || v.Cut || len(v.Events) != 6 || len(v.Failures) != 0 || v.Until-v.From != 33*24*3600_000+23*3600_000 {
		t.Fatalf("%+v", v)
	}
	first, last := v.Segments[0], v.Segments[len(v.Segments)-1]
	want := httpd.StoryPart{
		From: v.Zero, Until: v.Zero + 29*24*3600_000 + 23*3600_000, Holds: v.Zero + 30*24*3600_000, Kind: "yes", Words: "It plays.", Why: []httpd.Why{},
		Facts: []string{"Best quality: HD.", "Starting it begins your viewing time."}, Lasts: "Until day 30 00:00, if nothing else happened.",
		Codes: []string{"confirm STARTS_INTERVAL", "next END day 30 00:00"},
	}
	if diff := cmp.Diff(first, want); diff != "" {
		t.Error(diff)
	}
	want = httpd.StoryPart{
		From: last.From, Until: v.Until, Kind: "no", Words: "It does not play.", Facts: []string{}, Lasts: "Nothing in sight changes this by itself.",
		Why:   []httpd.Why{{Sentence: "The viewing time that began with the first play is over.", Help: "Get it from a shop or library."}},
		Codes: []string{"INTERVAL_OVER(INTERVAL) remedy BUY"},
	}
	if diff := cmp.Diff(last, want); diff != "" {
		t.Error(diff)
	}
	if e := v.Events[2]; e.Words != "It is watched for 20 minutes." || e.When != "day 29 23:00" || e.Kind != "yes" || e.Text != "watch 20m" || e.Line != 8 {
		t.Errorf("step %+v", e)
	}
	if e := v.Events[3]; e.Text != "stop" || e.Kind != "" {
		t.Errorf("to stop it is %q", e.Kind)
	}
	if len(h.Sessions()) != 0 || len(h.Titles()) != 1 {
		t.Error("the house changed")
	}
}

// Every example is understood, all it expects comes out, and its time line has
// an allowed part and one that is not, or not fully.
func TestSimulator_ExamplesHold(t *testing.T) {
	srv, _, module := house(t, cenc.SchemeCENC)
	untouched(t, module)
	list := stories(t, srv.URL)
	if len(list) != 6 {
		t.Fatalf("%d examples", len(list))
	}
	for title, text := range list {
		v := simulate(t, srv.URL, httpd.SimulateRequest{Story: text, Days: 7})
		kinds := map[string]bool{}
		for _, x := range v.Segments {
			kinds[x.Kind] = true
			if x.Kind != "yes" && len(x.Why) == 0 && len(x.Facts) == 0 {
				t.Errorf("%s: %q without a reason", title, x.Words)
			}
		}
		if v.Title != title || len(v.Failures) > 0 || !strings.Contains(text, "=>") || !kinds["yes"] || len(kinds) < 2 {
			t.Errorf("%s: failures %q, kinds %v", title, v.Failures, kinds)
		}
	}
}

func TestSimulator_SaysWhatIsWrong(t *testing.T) {
	srv, _, module := house(t, cenc.SchemeCENC)
	untouched(t, module)
	address := srv.URL + "/api/v1/simulate"
	for _, tc := range []struct {
		name   string
		body   any
		status int
		code   string
		line   int
		detail string
	}{
		{"a word", httpd.SimulateRequest{Story: "title: x\nlicense: PLAY\nday 0 dance"}, 422, "story", 3, `"dance" is nothing that can happen`},
		{"a step", httpd.SimulateRequest{Story: "title: x\nday 0 watch 60s"}, 422, "story", 2, "start it"},
		{"no title", httpd.SimulateRequest{Story: ""}, 422, "story", 1, "no title"},
		{"terms", httpd.SimulateRequest{Story: "PLAY; DANCE=3"}, 422, "story", 1, "DANCE"},
		{"days", httpd.SimulateRequest{Story: "PLAY", Days: 367}, 422, "days", 0, "0 to 366"},
		{"days before", httpd.SimulateRequest{Story: "PLAY", Days: -1}, 422, "days", 0, "0 to 366"},
		{"large", httpd.SimulateRequest{Story: strings.Repeat("# x\n", 20_000)}, 413, "too_large", 0, "64 KiB"},
		{"another member", map[string]any{"story": "PLAY", "x": 1}, 400, "malformed", 0, ""},
		{"not a number", map[string]any{"story": "PLAY", "days": "7"}, 400, "malformed", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, data := get(t, "POST", address, tc.body)
			var p struct {
				httpd.Problem
				Line int `json:"line"`
			}
			if err := json.Unmarshal(data, &p); err != nil || res.Header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("%d %s: %v", res.StatusCode, data, err)
			}
			if res.StatusCode != tc.status || p.Status != tc.status || p.Code != tc.code || p.Line != tc.line || !strings.Contains(p.Detail, tc.detail) || p.Title == "" {
				t.Errorf("%d %s, want %d %s, line %d, %q", res.StatusCode, data, tc.status, tc.code, tc.line, tc.detail)
			}
		})
	}
	if res, _ := get(t, "GET", address, nil); res.StatusCode == http.StatusOK {
		t.Error("GET tells a story")
	}
	// A body whose length is not said is bounded too.
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	if res, data := get(t, "POST", address, httpd.SimulateRequest{Story: strings.Repeat("# x\n", 20_000)}, chunked); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a large body without a length: %d %s", res.StatusCode, data)
	}
	res, data := get(t, "POST", address, httpd.SimulateRequest{Story: "PLAY"}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if res.StatusCode != http.StatusForbidden || code(t, data) != "cross_origin" {
		t.Errorf("another site: %d %s, want 403 cross_origin", res.StatusCode, data)
	}
}

func TestSimulator_TermsAloneAreAStory(t *testing.T) {
	srv, _, _ := house(t, cenc.SchemeCENC)
	for _, text := range []string{"PLAY; END_TIME=2026-01-03T00:00:00Z", "license: PLAY; END_TIME=2026-01-03T00:00:00Z\n"} {
		v := simulate(t, srv.URL, httpd.SimulateRequest{Story: text, Days: 3})
		if len(v.Segments) != 2 || v.Segments[0].Kind != "yes" || v.Segments[1].Kind != "no" || v.Segments[1].From != v.Zero+2*24*3600_000 {
			t.Errorf("%q: %+v", text, v.Segments)
		}
	}
	failing := simulate(t, srv.URL, httpd.SimulateRequest{Story: "title: t\nday 0 ask => refuse EXPIRED\nday 1 ask COPY dest=home"})
	if len(failing.Failures) != 1 || !strings.HasPrefix(failing.Failures[0], "line 2: ") || len(failing.Events[0].Failures) != 1 {
		t.Errorf("failures %q", failing.Failures)
	}
	if failing.Action != "COPY" || failing.Segments[0].Words != "It may not be copied." || failing.Events[1].Words != "Somebody asks whether it may be copied." {
		t.Errorf("%+v", failing.Segments[0])
	}
}

// Pages and the words of every answer speak to people; codes stand apart.
func TestSimulator_SpeaksToPeople(t *testing.T) {
	srv, _, _ := house(t, cenc.SchemeCENC)
	res, body := get(t, "GET", srv.URL+"/simulator", nil)
	if w := internalWords.FindString(pageText(body)); w != "" || res.StatusCode != http.StatusOK {
		t.Errorf("the page says %q", w)
	}
	if regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+=|style="|javascript:`).Match(body) {
		t.Error("the page has inline code or styles")
	}
	if _, index := get(t, "GET", srv.URL+"/", nil); !strings.Contains(string(index), `href="/simulator"`) {
		t.Error("no page leads to the simulator")
	}
	files, err := os.ReadDir("../../testdata/scenario")
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, f := range files {
		text, err := os.ReadFile("../../testdata/scenario/" + f.Name())
		if err != nil || !strings.HasSuffix(f.Name(), ".txt") {
			continue
		}
		v := simulate(t, srv.URL, httpd.SimulateRequest{Story: string(text), Days: 30})
		told++
		said := []string{}
		for _, e := range v.Events {
			if said = append(said, e.Words); strings.HasPrefix(e.Words, "Something happens") {
				t.Errorf("%s: no words for %q", f.Name(), e.Text)
			}
			for _, w := range e.Why {
				said = append(said, w.Sentence, w.Help)
			}
		}
		for _, x := range v.Segments {
			said = append(append(said, x.Words, x.Lasts), x.Facts...)
			for _, w := range x.Why {
				said = append(said, w.Sentence, w.Help)
			}
			if x.Words == "" || x.Kind == "no" && len(x.Why) == 0 {
				t.Errorf("%s: a part without words: %+v", f.Name(), x)
			}
		}
		for _, s := range said {
			if w := internalWords.FindString(s); w != "" {
				t.Errorf("%s says %q in %q", f.Name(), w, s)
			}
		}
	}
	if told < 20 {
		t.Errorf("%d stories", told)
	}
}

// TestSimulator_InABrowser: real Chromium shows the rental's time line, and the
// keyboard leads through it.
func TestSimulator_InABrowser(t *testing.T) {
	needs.Long(t)
	t.Parallel() // see TestLose_InABrowser
	srv, _, _ := house(t, cenc.SchemeCENC)
	pages := os.Getenv("LARES_PICTURES") // a folder, to look at them
	if pages == "" {
		pages = t.TempDir()
	}
	res := browsertest.Simulate(t, srv.URL, rentalStory, pages)
	if res.Title != rentalStory || len(res.Console) > 0 || res.Overflow {
		t.Errorf("title %q, too wide %v, the browser complains: %q", res.Title, res.Overflow, res.Console)
	}
	first, last := res.Looks[0], res.Looks[len(res.Looks)-1]
	if first.Value != "Day 0, 00:00: It plays." || first.Sign != "yes" || !strings.Contains(first.Words, "Starting it begins your viewing time.") {
		t.Errorf("at the beginning: %+v", first)
	}
	if last.Value != "Day 31, 23:00: It does not play." || last.Sign != "no" || !strings.Contains(last.Words, "is over. Get it from a shop or library.") {
		t.Errorf("at the end: %+v", res.Looks)
	}
	if len(res.Looks) != 4 { // to be begun, begun, its own end is what ends it, over
		t.Errorf("the words change %d times: %+v", len(res.Looks), res.Looks)
	}
	if len(res.Steps) != 6 || !strings.Contains(res.Steps[5], "No") || !strings.Contains(res.Steps[1], "Somebody starts it.") {
		t.Errorf("steps %q", res.Steps)
	}
	if !strings.HasPrefix(res.Wrong, `Line 3: "dance" is nothing that can happen`) || res.Selected != "day 0 dance" || res.Focus != "story" {
		t.Errorf("a wrong story: %q, marked %q, focus on %q", res.Wrong, res.Selected, res.Focus)
	}
	if res.Failed != "One thing did not come out as the story expects." {
		t.Errorf("a story that fails: %q", res.Failed)
	}
	if w := internalWords.FindString(res.Said); w != "" || !strings.Contains(res.Said, "It plays.") {
		t.Errorf("the page says %q in %q", w, res.Said)
	}
}
