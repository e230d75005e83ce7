package license_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

var ownKID = ident.Key{0: 0xa0, 15: 9}

// outputs edits the rules of the HD key.
func hdRules(t *testing.T, r license.OutputRules) func(i *license.Info) {
	return func(i *license.Info) { i.Keys[2].Outputs = rules(t, r) }
}

func watched(o license.Output) func(in *license.Input) {
	return func(in *license.Input) { in.Request.Output = o }
}

func alsoOn(o license.Output) func(in *license.Input) {
	return func(in *license.Input) { in.Env.Outputs = []license.Output{o} }
}

func TestEvaluator_E7_KeysAndOutputs(t *testing.T) {
	digital := license.Output{Class: license.OutputDigital}
	hdcp := license.OutputRules{Digital: permission.ProtectHDCP1}
	stop, block := hdcp, hdcp
	stop.OnViolation, block.OnViolation = license.Stop, license.BlockOutput
	want := func(tier license.Tier, kid ident.Key) func(in *license.Input) {
		return func(in *license.Input) { in.Request.Tier, in.Request.KID = tier, kid }
	}
	warns, hd := []string{"OUTPUT/HD CONNECT_DISPLAY warns"}, []string{"OUTPUT/HD CONNECT_DISPLAY"}
	both := func(f, g func(in *license.Input)) func(in *license.Input) {
		return func(in *license.Input) { f(in); g(in) }
	}
	only := func(n ...int) func(i *license.Info) {
		return func(i *license.Info) {
			keys := i.Keys
			i.Keys = nil
			for _, k := range n {
				i.Keys = append(i.Keys, keys[k])
			}
		}
	}
	askAll(t, []ask{
		{"a picture is refused, sound goes on", "PLAY", hdRules(t, hdcp), watched(digital), warns},
		{"the key itself", "PLAY", hdRules(t, hdcp), both(watched(digital), want(0, hdKID)), hd},
		{"another key", "PLAY", hdRules(t, hdcp), both(watched(digital), want(0, audioKID)), warns},
		{"stop", "PLAY", hdRules(t, stop), watched(digital), hd},
		{"stop, of what is not wanted", "PLAY", hdRules(t, stop), both(watched(digital), want(license.TierSD, ident.Key{})), warns},
		{"on a further output", "PLAY", hdRules(t, hdcp), alsoOn(digital), warns},
		{"on a further output that stays dark", "PLAY", hdRules(t, block), alsoOn(digital), nil},
		{"a rule that nobody knows", "PLAY", func(i *license.Info) { i.Keys[2].Outputs = []byte{0xa1, 0x18, 0x20, 1} }, nil, []string{"UNKNOWN_CRITICAL/HD CONTACT warns"}},
		{"too many pictures a second", "PLAY", hdRules(t, license.OutputRules{MaxFPS: 30}), func(in *license.Input) { in.Request.FPS = 31 }, []string{"OUTPUT/HD CONTACT warns"}},
		{"as many as there may be", "PLAY", hdRules(t, license.OutputRules{MaxFPS: 30}), func(in *license.Input) { in.Request.FPS = 30 }, nil},
		{"no picture at all", "PLAY; OUTPUT_PROTECTION=HDCP_1", nil, watched(digital), []string{"OUTPUT/SD CONNECT_DISPLAY", "OUTPUT/HD CONNECT_DISPLAY"}},
		{"no picture is wanted", "PLAY; OUTPUT_PROTECTION=HDCP_1", nil, both(watched(digital), want(license.TierAudio, ident.Key{})), []string{"OUTPUT/SD CONNECT_DISPLAY warns", "OUTPUT/HD CONNECT_DISPLAY warns"}},
		{"sound only", "PLAY", only(0), nil, nil},
		{"sound only, SD wanted", "PLAY", only(0), want(license.TierSD, ident.Key{}), nil},
		{"a tier that is not there", "PLAY", only(2), want(license.TierSD, ident.Key{}), []string{"KEY_NOT_GRANTED/TIER CONTACT"}},
		{"a custom tier that is not there", "PLAY", nil, want(70, ident.Key{}), []string{"KEY_NOT_GRANTED/TIER CONTACT"}},
		{"a key beyond the tier wanted", "PLAY", nil, want(license.TierSD, hdKID), []string{"KEY_NOT_GRANTED/TIER"}},
		{"a key of another license", "PLAY", nil, want(0, ident.Key{9}), []string{"KEY_NOT_GRANTED/KID"}},
		{"sound alone, wanted and missing", "PLAY", only(2), want(license.TierAudio, ident.Key{}), []string{"KEY_NOT_GRANTED/TIER CONTACT"}},
		{"unknown output, its own bound", "PLAY", hdRules(t, license.OutputRules{Digital: 1, Constrain: 2_073_600}), watched(license.Output{}), nil},
		{"unknown output that asks for nothing", "PLAY", hdRules(t, license.OutputRules{Analog: license.RuleDeny}), watched(license.Output{}), warns},
		{"no mark", "PLAY", func(i *license.Info) { i.Policy.Overlay = &license.OverlayRule{Text: 1} }, nil, []string{"OUTPUT/OVERLAY CONTACT"}},
		{"a further browser", "PLAY", nil, alsoOn(license.Output{Class: license.OutputLink}), []string{"OUTPUT/EXPORT CONNECT_DISPLAY"}},
	})
}

// An output that stays dark is named, when the tier that it must not show is used.
func TestEvaluator_E7_BlockedOutputs(t *testing.T) {
	block := license.OutputRules{Digital: permission.ProtectHDCP1, OnViolation: license.BlockOutput}
	for _, tier := range []license.Tier{0, license.TierSD} {
		a := ask{text: "PLAY", edit: hdRules(t, block), in: func(in *license.Input) {
			in.Request.Tier = tier
			in.Env.Outputs = []license.Output{{Class: license.OutputDigital}, {Class: license.OutputInternal}}
		}}
		want := []license.OutputClass{license.OutputDigital}
		if tier != 0 {
			want = nil
		}
		d := a.decide(t)
		if diff := cmp.Diff(want, d.Blocked); diff != "" || !d.Allow || !slices.Contains(d.Notes, "MIN_OVER_OUTPUTS") {
			t.Errorf("tier %v: %+v: %s", tier, d, diff)
		}
	}
}

// While an output comes up, its key is not used, and nothing is said against it.
func TestEvaluator_E7_Settling(t *testing.T) {
	now := day0 + 10*day
	up := func(ago int64, edit ...func(in *license.Input)) func(in *license.Input) {
		return func(in *license.Input) {
			in.Request.Output = license.Output{Class: license.OutputDigital, Plugged: now - ago}
			for _, f := range edit {
				f(in)
			}
		}
	}
	asked := func(in *license.Input) { in.Request.KID = hdKID }
	hdcp, slow := license.OutputRules{Digital: 1}, license.OutputRules{Digital: 1, Settle: 10_000}
	moment := []string{"OUTPUT/HD WAIT_UNTIL"}
	askAll(t, []ask{
		{"just now", "PLAY", hdRules(t, hdcp), up(2999), nil},
		{"three seconds ago", "PLAY", hdRules(t, hdcp), up(3000), []string{"OUTPUT/HD CONNECT_DISPLAY warns"}},
		{"a time of its own", "PLAY", hdRules(t, slow), up(9999), nil},
		{"the key that is asked for", "PLAY", hdRules(t, hdcp), up(0, asked), moment},
		{"nothing else to show", "PLAY; OUTPUT_PROTECTION=HDCP_1", nil, up(0), []string{"OUTPUT/SD WAIT_UNTIL"}},
		{"stop waits, too", "PLAY", hdRules(t, license.OutputRules{Digital: 1, OnViolation: license.Stop}), up(0), nil},
	})
	d := ask{text: "PLAY; OUTPUT_PROTECTION=HDCP_1", in: up(1000)}.decide(t)
	if diff := cmp.Diff([]string{"SETTLING"}, d.Notes); diff != "" || d.ValidUntil != now+2000 {
		t.Errorf("%+v: %s", d, diff)
	}
}

// An issuer's own tiers have no order: the one wanted is used, with the sound.
func TestEvaluator_E7_CustomTiers(t *testing.T) {
	for _, first := range []bool{false, true} {
		for _, tc := range []struct {
			want, tier license.Tier
			kids       int
		}{{0, license.TierHD, 4}, {64, 64, 2}, {license.TierSD, license.TierSD, 2}} {
			a := ask{text: "PLAY", edit: func(i *license.Info) {
				if own := keyRef(ownKID, 64, 1); first {
					i.Keys = append([]license.KeyRef{own}, i.Keys...)
				} else {
					i.Keys = append(i.Keys, own)
				}
			}, in: func(in *license.Input) {
				in.Request.Tier, in.Env.Keys = tc.want, append(in.Env.Keys, ownKID)
			}}
			if d := a.decide(t); !d.Allow || d.Tier != tc.tier || len(d.KIDs) != tc.kids {
				t.Errorf("first %v, want %v: %+v", first, tc.want, d)
			}
		}
	}
	only := ask{text: "PLAY", edit: func(i *license.Info) { i.Keys = []license.KeyRef{keyRef(ownKID, 64, 1)} }, in: func(in *license.Input) { in.Env.Keys = []ident.Key{ownKID} }}
	if d := only.decide(t); !d.Allow || d.Tier != 64 {
		t.Errorf("no other tier: %+v", d)
	}
}
