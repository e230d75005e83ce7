package scenario_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/scenario"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/spec/scenario.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestScenario_PageExample: the page's story passes, and its first step
// compiles to what the page shows.
func TestScenario_PageExample(t *testing.T) {
	block := func(name string) string {
		m := regexp.MustCompile("(?s)```" + name + "\n(.*?)```").FindStringSubmatch(page(t))
		if m == nil {
			t.Fatalf("the page has no example %q", name)
		}
		return m[1]
	}
	r := told(t, block("story"))
	for _, f := range r.Failures() {
		t.Error(f)
	}
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Steps []any }
	var want any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(block("json step")), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Steps[0]); diff != "" {
		t.Error(diff)
	}
}

// TestScenario_PageHasEveryWord: what the errors offer stands on the page.
func TestScenario_PageHasEveryWord(t *testing.T) {
	text := page(t)
	for _, story := range []string{
		"title: x\nday 0 fly", "title: x\nday 0 ask => x=1", "title: x\nday 0 ask x", "title: x\nday 0 state x", "title: x\nday 0 watch 1s x=1", "title: x\nday 0 derive copy x",
		"title: x\nday 0 device x", "title: x\nday 0 slot tv x", "title: x\nday 0 member home x", "title: x\nday 0 region CH x", "title: x\nlicense: PLAY\ninfo: x=1",
		"title: x\nlicense: PLAY\nparent: copy x=1",
	} {
		_, err := scenario.Parse([]byte(story))
		if err == nil {
			t.Fatalf("%q was read", story)
		}
		at := max(strings.LastIndex(err.Error(), "knows "), strings.LastIndex(err.Error(), "stand: "), strings.LastIndex(err.Error(), "state "))
		words := regexp.MustCompile(`[a-z_.-]+`).FindAllString(err.Error()[at+6:], -1)
		if len(words) < 2 {
			t.Errorf("%v", err)
		}
		for _, w := range words {
			if !regexp.MustCompile("[` (,\\[]" + regexp.QuoteMeta(w) + "[`= ,*;\\]]").MatchString(text) {
				t.Errorf("the page does not have %q", w)
			}
		}
	}
}
