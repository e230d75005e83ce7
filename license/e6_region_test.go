package license_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// regional makes a license for Austria that is judged in a phase.
func regional(phase license.RegionPhase, edit ...func(r *license.RegionRule)) func(i *license.Info) {
	return func(i *license.Info) {
		i.Policy.Region = &license.RegionRule{Phase: phase}
		for _, f := range edit {
			f(i.Policy.Region)
		}
	}
}

func judgedIn(country string, edit ...func(in *license.Input)) func(in *license.Input) {
	return func(in *license.Input) {
		in.Env.Region = license.RegionEvidence{Country: country, Source: license.RegionIssuer}
		for _, f := range edit {
			f(in)
		}
	}
}

// awayOn makes a state with a home and days of use elsewhere, counted back from day 10.
func awayOn(back ...uint64) func(in *license.Input) {
	return func(in *license.Input) {
		in.State.Region = &license.RegionState{Home: "AT"}
		for _, b := range back {
			in.State.Region.Away = append(in.State.Region.Away, uint64((day0+10*day)/day)-b) //nolint:gosec // after 1970
		}
	}
}

func roam(n uint64) func(r *license.RegionRule) {
	return func(r *license.RegionRule) { r.RoamDays = &n }
}

func TestEvaluator_E6_WhereAUseBegins(t *testing.T) {
	const text = "PLAY; TERRITORY=AT"
	each := license.RegionEachUse
	home := func(hours int64) func(in *license.Input) {
		return func(in *license.Input) {
			in.Env.Region = license.RegionEvidence{Country: "AT", Source: license.RegionHome, At: in.Clock.Est - hours*hour}
		}
	}
	deny := func(r *license.RegionRule) { r.Unknown = license.UnknownDeny }
	unknown := []string{"REGION/UNKNOWN CONTACT"}
	askAll(t, []ask{
		{"judged at issue", text, regional(license.RegionIssue), judgedIn("US"), nil},
		{"permitted", text, regional(each), judgedIn("AT"), nil},
		{"elsewhere without a home", text, regional(each), judgedIn("US"), []string{"REGION/REGION CONTACT"}},
		{"no evidence", text, regional(each), nil, nil},
		{"no evidence, which refuses", text, regional(each, deny), nil, unknown},
		{"no evidence, live", text + "; USAGE_CLASS=LIVE", regional(each), nil, unknown},
		{"the home says so", text, regional(each, deny), home(23), nil},
		{"the home said so a day ago", text, regional(each, deny), home(24), unknown},
		{"no country", text, regional(each, deny), judgedIn("ZZ"), unknown},
		{"no country, but in TERRITORY", "PLAY; TERRITORY=ZZ", regional(each, deny), judgedIn("ZZ"), nil},
		{"sealed", text, regional(license.RegionFirstUse), judgedIn("US", func(in *license.Input) { in.State.Region = &license.RegionState{Sealed: true} }), nil},
		{"on the road", text, regional(each), judgedIn("US", awayOn(5, 4)), nil},
		{"on the last day of it", text, regional(each, roam(2)), judgedIn("US", awayOn(5)), nil},
		{"too long on the road", text, regional(each, roam(2)), judgedIn("US", awayOn(5, 4)), []string{"REGION/ROAM_DAYS WAIT_UNTIL"}},
		{"today is paid for", text, regional(each, roam(2)), judgedIn("US", awayOn(5, 0)), nil},
		{"the first trip is forgotten", text, regional(each, roam(2)), judgedIn("US", awayOn(90, 4)), nil},
		{"nowhere else", text, regional(each, roam(0)), judgedIn("US", awayOn()), []string{"REGION/ROAM_DAYS CONTACT"}},
		{"denied in an area", "PLAY", regional(each, func(r *license.RegionRule) { r.Areas, r.Deny = []string{"150"}, []string{"CH"} }), judgedIn("CH"), []string{"REGION/REGION CONTACT"}},
		{"in an area", "PLAY", regional(each, func(r *license.RegionRule) { r.Areas = []string{"150"} }), judgedIn("FR"), nil},
		{"denied only", "PLAY", regional(each, func(r *license.RegionRule) { r.Deny = []string{"CH"} }), judgedIn("FR"), nil},
	})
}

// The day at which fewer remain is named, and listed.
func TestEvaluator_E6_RoamingEnds(t *testing.T) {
	a := ask{text: "PLAY; TERRITORY=AT", edit: regional(license.RegionEachUse, roam(2)), in: judgedIn("US", awayOn(80, 5, 4))}
	d := a.decide(t)
	want := day0 + 10*day - 5*day + 90*day
	if r := d.Reasons[0]; r.Earliest != want || d.Next[0] != (license.Change{At: want, Change: "REGION"}) {
		t.Errorf("%+v, want %d", d, want)
	}
	a.in = judgedIn("US", awayOn(5))
	if d := a.decide(t); !slices.Contains(d.Notes, "ROAMING") || d.ValidUntil != day0+11*day {
		t.Errorf("%+v, want a note until tomorrow", d)
	}
}

// Begin remembers the home, a day elsewhere, and for FIRST_USE that it is sealed.
func TestEvaluator_E6_BeginRemembers(t *testing.T) {
	today := uint64((day0 + 10*day) / day) //nolint:gosec // after 1970
	for _, tc := range []struct {
		name  string
		phase license.RegionPhase
		in    func(in *license.Input)
		want  *license.RegionState
		again bool // the state is that already
	}{
		{"home", license.RegionEachUse, judgedIn("AT"), &license.RegionState{Home: "AT"}, false},
		{"still home", license.RegionEachUse, judgedIn("AT", awayOn(3)), &license.RegionState{Home: "AT", Away: []uint64{today - 3}}, true},
		{"elsewhere", license.RegionEachUse, judgedIn("US", awayOn(95, 3)), &license.RegionState{Home: "AT", Away: []uint64{today - 3, today}}, false},
		{"elsewhere again", license.RegionEachUse, judgedIn("US", awayOn(0)), &license.RegionState{Home: "AT", Away: []uint64{today}}, true},
		{"elsewhere, the clock was ahead", license.RegionEachUse, judgedIn("US", func(in *license.Input) { in.State.Region = &license.RegionState{Home: "AT", Away: []uint64{today + 1}} }), &license.RegionState{Home: "AT", Away: []uint64{today, today + 1}}, false},
		{"first use", license.RegionFirstUse, judgedIn("AT"), &license.RegionState{Home: "AT", Sealed: true}, false},
		{"first use without evidence", license.RegionFirstUse, nil, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lic := newLicense(t, "PLAY; TERRITORY=AT", regional(tc.phase))
			input := at(day0 + 10*day)
			if tc.in != nil {
				tc.in(&input)
			}
			step := lic.Begin(input)
			if diff := cmp.Diff(tc.want, step.State.Region); !step.Decision.Allow || step.Commit == tc.again || diff != "" {
				t.Errorf("%+v: %s", step, diff)
			}
		})
	}
}

// For the issuer: may it be issued to somebody there?
func TestEvaluator_E6_PermitsRegion(t *testing.T) {
	for _, tc := range []struct {
		text    string
		edit    func(i *license.Info)
		country string
		want    bool
	}{
		{"PLAY", func(*license.Info) {}, "US", true},
		{"PLAY", func(*license.Info) {}, "ZZ", false},
		{"PLAY; TERRITORY=AT", func(*license.Info) {}, "AT", true},
		{"PLAY; TERRITORY=AT", func(*license.Info) {}, "US", false},
		{"PLAY; TERRITORY=AT", regional(0, func(r *license.RegionRule) { r.Areas = []string{"021"} }), "US", true},
		{"PLAY", regional(0, func(r *license.RegionRule) { r.Deny = []string{"021"} }), "US", false},
	} {
		if got := newLicense(t, tc.text, tc.edit).PermitsRegion(tc.country); got != tc.want {
			t.Errorf("%s in %s: %v, want %v", tc.text, tc.country, got, tc.want)
		}
	}
}

// TRANSFER judges the recipient's country where the rule says so.
func TestEvaluator_E10_RecipientsCountry(t *testing.T) {
	to := func(country string) func(in *license.Input) {
		return handled(permission.Transfer, func(in *license.Input) { in.Request.Dest.Country = country })
	}
	rule := func(i *license.Info) { i.Policy.Transfer = &license.TransferRule{Region: true} }
	deny := func(i *license.Info) {
		rule(i)
		i.Policy.Region = &license.RegionRule{Unknown: license.UnknownDeny}
	}
	refused := []string{"REGION/REGION CONTACT"}
	const text = "PLAY; TRANSFER=1; TERRITORY=AT"
	askAll(t, []ask{
		{"permitted", text, rule, to("AT"), nil},
		{"elsewhere", text, rule, to("US"), refused},
		{"not judged", text, nil, to("US"), nil},
		{"unknown", text, rule, to(""), nil},
		{"unknown, which refuses", text, deny, to(""), refused},
		{"unknown, live", text + "; USAGE_CLASS=LIVE", rule, to(""), refused},
		{"no destination", text, rule, handled(permission.Transfer, func(in *license.Input) { in.Request.Dest = nil }), []string{"DEST_NOT_ALLOWED/DEST"}},
	})
}
