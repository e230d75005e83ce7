package scenario_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/license/profile"
	"github.com/lares-drm/lares/license/scenario"
)

// brought is what of a vector's env a profile sets.
type brought struct {
	Level   uint8
	Anchor  uint8
	Offline bool
	Grace   []struct {
		Charge permission.Charge
		MS     int64
	}
}

// envs reads the env of each step of a story's vector.
func envs(t *testing.T, story string) []brought {
	t.Helper()
	data, err := told(t, story).JSON()
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Steps []struct{ Env brought } }
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	var out []brought
	for _, s := range v.Steps {
		out = append(out, s.Env)
	}
	return out
}

// A vector has what the profile brings in full.
func TestScenario_E18_ProfileIsInTheVector(t *testing.T) {
	for _, p := range profile.All() {
		want := brought{Level: p.Level, Anchor: p.Anchor, Offline: p.Alone}
		for _, c := range slices.Sorted(maps.Keys(p.Grace)) {
			want.Grace = append(want.Grace, struct {
				Charge permission.Charge
				MS     int64
			}{c, p.Grace[c]})
		}
		got := envs(t, "title: x\nprofile: "+p.Name+"\nday 0 ask")
		if diff := cmp.Diff([]brought{want}, got); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
		if !strings.Contains(page(t), "`"+p.Name+"`") {
			t.Errorf("the page does not have %q", p.Name)
		}
	}
}

// Steps change what the profile brought, in this story only.
func TestScenario_E18_StepsChangeTheProfile(t *testing.T) {
	const story = "title: x\nprofile: mobile\nday 0 ask\nthen device level=1 anchor=0\nthen online\nthen grace RENTAL=1h\nthen ask"
	for range 2 {
		got := envs(t, story)
		if a := got[0]; a.Level != 2 || a.Anchor != 1 || !a.Offline || a.Grace[0].MS != 72*3600_000 {
			t.Errorf("at first %+v", a)
		}
		if b := got[1]; b.Level != 1 || b.Anchor != 0 || b.Offline || b.Grace[0].MS != 3600_000 || b.Grace[1].MS != 720*3600_000 {
			t.Errorf("then %+v", b)
		}
	}
}

func TestScenario_E18_OneKnownProfile(t *testing.T) {
	for _, tc := range []struct {
		story, want string
		line        int
	}{
		{"title: x\nprofile: toaster\nday 0 ask", "home, mobile, automotive or cloud", 2},
		{"title: x\nprofile: home\nprofile: home\nday 0 ask", "stands twice", 3},
		{"title: x\nlicense loan: PLAY\nprofile loan: home\nday 0 ask", `write "profile: home"`, 3},
		{"title: x\nday 0 ask\nprofile: home", "headers stand in front", 3},
	} {
		_, err := scenario.Parse([]byte(tc.story))
		if e, ok := errors.AsType[*scenario.Error](err); !ok || e.Line != tc.line || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want line %d, %q", tc.story, err, tc.line, tc.want)
		}
	}
}
