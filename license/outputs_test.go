package license_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func rules(t fataler, r license.OutputRules) []byte {
	t.Helper()
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withUHD adds a UHD key with output rules.
func withUHD(t testing.TB, r license.OutputRules) func(*license.Info) {
	return func(i *license.Info) {
		k := keyRef(uhdKID, license.TierUHD, 4_000_000)
		k.Outputs = rules(t, r)
		i.Keys = append(i.Keys, k)
	}
}

func TestEvaluator_E17_V14_WeakMonitorGivesHD(t *testing.T) {
	lic := newLicense(t, "PLAY", withUHD(t, license.OutputRules{Digital: permission.ProtectHDCP22}))
	v := newViewer(t, lic, day0)
	v.in.Request.Output = license.Output{Class: license.OutputDigital, Protection: permission.ProtectHDCP22}
	d := v.begin(0)
	v.must(d)
	if d.Tier != license.TierUHD || len(d.WouldUnlock) != 0 {
		t.Fatalf("with HDCP 2.2: %+v, want UHD", d)
	}
	v.must(v.fragment(uhdKID, 1, 0, second))
	v.in.Env.Outputs = []license.Output{{Class: license.OutputDigital, Protection: permission.ProtectHDCP1}} // hot-plug
	v.wait(second)
	v.refused(v.fragment(uhdKID, 1, second, second), license.OutputCode)
	v.must(v.fragment(audioKID, 1, second, second)) // the sound goes on
	d = v.fragment(hdKID, 1, second, second)
	v.must(d)
	if diff := cmp.Diff([]license.Unlock{{Tier: license.TierUHD, Need: "HDCP_2_2"}}, d.WouldUnlock); d.Tier != license.TierHD || diff != "" {
		t.Errorf("tier %v, %s", d.Tier, diff)
	}
}

func TestEvaluator_E17_V15_OnViolationStop(t *testing.T) {
	lic := newLicense(t, "PLAY", withUHD(t, license.OutputRules{Digital: permission.ProtectHDCP22, OnViolation: license.Stop}))
	in := at(day0)
	in.Request.Output = license.Output{Class: license.OutputDigital, Protection: permission.ProtectHDCP1}
	if d := lic.Evaluate(in); d.Allow || !d.Has(license.OutputCode) {
		t.Errorf("%+v, want refused", d)
	}
	in.Request.Tier = license.TierHD // who does not want UHD does not violate it
	if d := lic.Evaluate(in); !d.Allow {
		t.Errorf("HD: %+v, want allowed", d)
	}
}

func TestEvaluator_E18_LinkNeedsExportToClearKey(t *testing.T) {
	for text, want := range map[string]bool{"PLAY": false, "PLAY; EXPORT=widevine": false, "PLAY; EXPORT=clearkey": true, "PLAY; EXPORT=clearkey; X.40.7F=00": false} {
		in := at(day0)
		in.Request.Output.Class = license.OutputLink
		d := newLicense(t, text).Evaluate(in)
		if d.Allow != want {
			t.Errorf("%s: %+v, want %v", text, d, want)
		}
	}
	in := at(day0)
	in.Request.Output.Class = license.OutputLink
	d := newLicense(t, "PLAY; EXPORT=clearkey", withUHD(t, license.OutputRules{Digital: permission.ProtectHDCP1})).Evaluate(in)
	if d.Tier != license.TierHD || slices.Contains(d.KIDs, uhdKID) {
		t.Errorf("%+v: a browser has no protected output, want HD", d)
	}
}

func TestEvaluator_E7_ResolutionAndTiers(t *testing.T) {
	for _, tc := range []struct {
		text string
		want license.Tier
		tier license.Tier
	}{
		{"PLAY; RESOLUTION<=2160p", license.TierHD, 0}, // UHD has no upper bound of its own
		{"PLAY; RESOLUTION<=1080p", license.TierHD, 0},
		{"PLAY; RESOLUTION<=720p", license.TierSD, 0},
		{"PLAY", license.TierSD, license.TierSD},
		{"PLAY", license.TierAudio, license.TierAudio},
	} {
		in := at(day0)
		in.Request.Tier = tc.tier
		if d := newLicense(t, tc.text, withUHD(t, license.OutputRules{MinLevel: 2})).Evaluate(in); !d.Allow || d.Tier != tc.want {
			t.Errorf("%s, tier %v: %+v, want %v", tc.text, tc.tier, d, tc.want)
		}
	}
	lic := newLicense(t, "PLAY; RESOLUTION<=2160p", withUHD(t, license.OutputRules{MaxPixels: 3840 * 2160}))
	if d := lic.Evaluate(at(day0)); d.Tier != license.TierUHD {
		t.Errorf("a key that says its pixels: %+v, want UHD", d)
	}
	if d := newLicense(t, "PLAY; RESOLUTION<=144x100").Evaluate(at(day0)); d.Allow {
		t.Errorf("no picture tier usable: %+v", d)
	}
}

func TestEvaluator_E7_OutputClasses(t *testing.T) {
	deny, allow := license.RuleDeny, license.RuleAllow
	hdcp := license.OutputRules{Digital: permission.ProtectHDCP22}
	for _, tc := range []struct {
		name  string
		rules license.OutputRules
		out   license.Output
		uhd   bool
	}{
		{"panel", hdcp, license.Output{Class: license.OutputInternal}, true},
		{"digital weak", hdcp, license.Output{Class: license.OutputDigital}, false},
		{"digital exact", hdcp, license.Output{Class: license.OutputDigital, Protection: 2}, true},
		{"digital better", hdcp, license.Output{Class: license.OutputDigital, Protection: 4}, true},
		{"analog for a protected key", hdcp, license.Output{Class: license.OutputAnalog, Protection: 4}, false},
		{"analog free", license.OutputRules{}, license.Output{Class: license.OutputAnalog}, true},
		{"analog denied", license.OutputRules{Analog: license.RuleDeny}, license.Output{Class: license.OutputAnalog}, false},
		{"analog SD only", license.OutputRules{Analog: license.RuleSDOnly}, license.Output{Class: license.OutputAnalog}, false},
		{"analog CGMS", license.OutputRules{Analog: license.RuleCGMSNever}, license.Output{Class: license.OutputAnalog}, false},
		{"wireless free", license.OutputRules{}, license.Output{Class: license.OutputWireless}, true},
		{"wireless protected", license.OutputRules{Wireless: license.RuleProtected}, license.Output{Class: license.OutputWireless}, false},
		{"wireless protected with HDCP", license.OutputRules{Wireless: license.RuleProtected}, license.Output{Class: license.OutputWireless, Protection: 1}, true},
		{"wireless denied", license.OutputRules{Wireless: license.RuleDeny}, license.Output{Class: license.OutputWireless, Protection: 4}, false},
		{"unknown, no demand", license.OutputRules{}, license.Output{}, true},
		{"unknown, constrained", hdcp, license.Output{}, false},
		{"unknown, denied", license.OutputRules{Unknown: &deny}, license.Output{Class: "TELEPATHY"}, false},
		{"unknown, allowed", license.OutputRules{Digital: 2, Unknown: &allow}, license.Output{}, true},
		{"unknown, small enough", license.OutputRules{Digital: 2, MaxPixels: 520_000}, license.Output{}, true},
		{"network free", license.OutputRules{}, license.Output{Class: license.OutputNetwork}, true},
		{"network for a protected key", hdcp, license.Output{Class: license.OutputNetwork, Protection: 4}, false},
		{"network, wireless protected", license.OutputRules{Wireless: license.RuleProtected}, license.Output{Class: license.OutputNetwork}, false},
		{"network, analog SD only", license.OutputRules{Analog: license.RuleSDOnly}, license.Output{Class: license.OutputNetwork}, false},
		{"network, unknown denied", license.OutputRules{Unknown: &deny}, license.Output{Class: license.OutputNetwork}, false},
		{"level", license.OutputRules{MinLevel: 2}, license.Output{Class: license.OutputInternal}, false},
		{"fps is not evaluated", license.OutputRules{MaxFPS: 60}, license.Output{Class: license.OutputInternal}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := at(day0)
			in.Request.Output = tc.out
			d := newLicense(t, "PLAY", withUHD(t, tc.rules)).Evaluate(in)
			if !d.Allow || (d.Tier == license.TierUHD) != tc.uhd || (len(d.WouldUnlock) == 0) != tc.uhd {
				t.Errorf("%+v, want UHD %v", d, tc.uhd)
			}
		})
	}
}

func TestEvaluator_E7_EvidenceForUHD(t *testing.T) {
	lic := newLicense(t, "PLAY", withUHD(t, license.OutputRules{}), policy(func(p *license.Policy) { p.OutputEvidence = license.EvidenceTREM }))
	in := at(day0)
	if d := lic.Evaluate(in); d.Tier != license.TierHD {
		t.Errorf("the host's word: %+v, want HD", d)
	}
	in.Request.Output.Evidence = license.EvidenceTREM
	if d := lic.Evaluate(in); d.Tier != license.TierUHD {
		t.Errorf("the TREM's word: %+v, want UHD", d)
	}
}

func TestEvaluator_E7_MissingKeyIsNamed(t *testing.T) {
	in := at(day0)
	in.Env.Keys = []ident.Key{audioKID, sdKID}
	d := newLicense(t, "PLAY").Evaluate(in)
	if !d.Allow || d.Tier != license.TierSD || !d.Has(license.KeyNotGranted) {
		t.Errorf("%+v, want SD with a warning", d)
	}
	in.Request.KID = hdKID
	if d := newLicense(t, "PLAY").Evaluate(in); d.Allow {
		t.Errorf("the missing key itself: %+v, want refused", d)
	}
	in.Request.KID = ident.Key{}
	in.Env.Keys = nil
	if d := newLicense(t, "PLAY").Evaluate(in); d.Allow {
		t.Errorf("no keys: %+v, want refused", d)
	}
}

func TestEvaluator_E17_V23_UnknownCritical(t *testing.T) {
	for _, tc := range []struct {
		name  string
		text  string
		other map[uint64]wire.RawMessage
		want  bool
	}{
		{"unit in the use conditions", "PLAY; X.15=01", nil, false},
		{"item in the usage unit", "PLAY; X.10.7F=01", nil, false},
		{"item in the actor unit", "PLAY; ACTOR; X.01.7F=01", nil, false},
		{"item in another permission's unit", "PLAY; RENDER; X.11.7F=01", nil, true},
		{"unit outside the conditions", "PLAY; X.50=01", nil, true},
		{"item in the classification", "PLAY; CHARGE=FREE; X.02.7F=01", nil, true},
		{"alternative of a unit that is not known", "PLAY; X.10.7F=01; PLAY; X.10.7E=01", nil, false},
		{"alternative that is understood", "PLAY; PLAY; X.10.7F=01", nil, true},
		{"odd policy key", "PLAY", map[uint64]wire.RawMessage{99: {0x01}}, false},
		{"odd policy key that is no number", "PLAY", map[uint64]wire.RawMessage{51: {0x80}}, false},
		{"even policy key", "PLAY", map[uint64]wire.RawMessage{98: {0x01}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lic := inspect(t, newInfo(t, tc.text, func(i *license.Info) { i.Policy.Other = tc.other }))
			d := lic.Evaluate(at(day0))
			if d.Allow != tc.want || !tc.want && !d.Has(license.UnknownCritical) {
				t.Errorf("%+v, want %v", d, tc.want)
			}
			if noted := len(d.Notes) > 0; tc.want && !noted && tc.name != "item in another permission's unit" && tc.name != "alternative that is understood" {
				t.Error("no note of what was ignored")
			}
		})
	}
}

// inspect makes a license of what Sign would refuse to sign.
func inspect(tb fataler, info *license.Info) *license.License {
	tb.Helper()
	payload, err := wire.Marshal(info)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := wire.NewSign1(fixedKey(tb, 7), []byte("certificate"), license.Object, payload)
	if err != nil {
		tb.Fatal(err)
	}
	lic, err := license.Inspect(data)
	if err != nil {
		tb.Fatal(err)
	}
	return lic
}
