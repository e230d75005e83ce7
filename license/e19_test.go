package license_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

func TestEvaluator_E19_People(t *testing.T) {
	who := func(p license.Person) func(in *license.Input) {
		return func(in *license.Input) { in.Request.Person = &p }
	}
	now := day0 + 10*day
	askAll(t, []ask{
		{"old enough", "PLAY", nil, who(license.Person{Age: 12, Rated: 12}), nil},
		{"too young", "PLAY", nil, who(license.Person{Age: 12, Rated: 13}), []string{"PERSON/RATING ASK_ADULT"}},
		{"before the hours", "PLAY", nil, who(license.Person{From: now + 1, Until: now + hour}), []string{"PERSON/HOURS WAIT_UNTIL"}},
		{"in the hours", "PLAY", nil, who(license.Person{From: now, Until: now + 1}), nil},
		{"after the hours", "PLAY", nil, who(license.Person{From: now - hour, Until: now}), []string{"PERSON/HOURS ASK_ADULT"}},
		{"both", "PLAY", nil, who(license.Person{Rated: 1, Until: now}), []string{"PERSON/RATING ASK_ADULT", "PERSON/HOURS ASK_ADULT"}},
		{"hands on", "PLAY; MOVE=DOMAIN", nil, handled(permission.Move, who(license.Person{Age: 99})), []string{"PERSON/HANDLING ASK_ADULT"}},
		{"may hand on, whatever it is rated and when", "PLAY; MOVE=DOMAIN", nil, handled(permission.Move, who(license.Person{Rated: 18, Until: 1, Handles: true})), nil},
	})
}

// A person never gets what the household would not get.
func TestEvaluator_E19_NarrowsOnly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lic, in := inspect(rt, drawInfo(rt)), drawWhole(rt)
		in.Request.Person = &license.Person{Age: rapid.Uint8().Draw(rt, "years"), Rated: rapid.Uint8().Draw(rt, "rating"), Handles: true}
		with := lic.Evaluate(in)
		in.Request.Person = nil
		without := lic.Evaluate(in)
		if with.Allow && !without.Allow || len(with.Reasons) < len(without.Reasons) || len(with.KIDs) > len(without.KIDs) {
			rt.Fatalf("with a person %+v, without %+v", with, without)
		}
	})
}

// What nobody protected is judged by the same rule.
func TestEvaluator_E19_WithoutALicense(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		near := rapid.Int64Range(day0-2, day0+2)
		p := &license.Person{Age: rapid.Uint8Range(0, 3).Draw(rt, "years"), Rated: rapid.Uint8Range(0, 3).Draw(rt, "rating"), From: near.Draw(rt, "from"), Until: near.Draw(rt, "until")}
		got := p.Watch(day0)
		var want []string
		if p.Rated > p.Age {
			want = append(want, "RATING")
		}
		if day0 < p.From || day0 >= p.Until {
			want = append(want, "HOURS")
		}
		var have []string
		for _, r := range got.Reasons {
			have = append(have, r.Constraint)
		}
		if !slices.Equal(have, want) || got.Allow != (len(want) == 0) {
			rt.Fatalf("%+v: %+v, want %q", p, got, want)
		}
	})
}
