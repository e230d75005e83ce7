package license_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// candidate evaluates PLAY of a license with an ID of one byte.
func candidate(t *testing.T, id byte, text string, s license.State, edit ...func(i *license.Info)) license.Candidate {
	t.Helper()
	lic := newLicense(t, text, func(i *license.Info) {
		i.ID, i.Policy.Duration = ident.License{id}, 2*hour
		for _, f := range edit {
			f(i)
		}
	})
	in := at(day0 + day)
	in.State, in.Env.Device = s, phone
	d := lic.Evaluate(in)
	return license.Candidate{License: lic, State: s, Decision: &d}
}

// Each pair in both orders: the first is used.
func TestEvaluator_E13_WhatBurnsLeast(t *testing.T) {
	begun := license.State{FirstUse: day0 + hour}
	mine := func(i *license.Info) { i.Subject = license.DeviceSubject(phone) }
	free := candidate(t, 9, "PLAY", license.State{})
	window := candidate(t, 9, "PLAY; INTERVAL=48h", begun)
	total := candidate(t, 9, "PLAY; ACCUMULATED=1h", license.State{})
	count := candidate(t, 9, "PLAY; PLAY_COUNT=2", license.State{})
	start := candidate(t, 9, "PLAY; INTERVAL=48h", license.State{})
	for _, tc := range []struct {
		name string
		a, b license.Candidate
	}{
		{"no state before a running window", free, window},
		{"a running window before a total", window, total},
		{"a total before a count", total, count},
		{"a count before a start", count, start},
		{"V25: the loan that runs before the rental", candidate(t, 9, "PLAY; CHARGE=LOAN; END_TIME=2026-02-01T00:00:00Z", license.State{}), start},
		{"the window that ends last", candidate(t, 9, "PLAY; INTERVAL=72h", begun), candidate(t, 1, "PLAY; INTERVAL=48h", begun)},
		{"windows that end together", candidate(t, 1, "PLAY; INTERVAL=48h", begun), window},
		{"most plays left", count, candidate(t, 1, "PLAY; PLAY_COUNT=1", license.State{})},
		{"as many plays left", candidate(t, 1, "PLAY; PLAY_COUNT=2", license.State{}), count},
		{"the household's before this device's", candidate(t, 9, "PLAY", license.State{}), candidate(t, 1, "PLAY", license.State{}, mine)},
		{"a loan last", candidate(t, 9, "PLAY", license.State{}, mine), candidate(t, 1, "PLAY; CHARGE=LOAN", license.State{})},
		{"the earlier end", candidate(t, 9, "PLAY; END_TIME=2026-02-01T00:00:00Z", license.State{}), candidate(t, 1, "PLAY", license.State{})},
		{"the lower ID", candidate(t, 1, "PLAY", license.State{}), free},
		{"what allows", count, candidate(t, 1, "PLAY; START_TIME=2026-02-01T00:00:00Z", license.State{})},
		{"fewest reasons", candidate(t, 9, "PLAY; START_TIME=2026-02-01T00:00:00Z", license.State{}), candidate(t, 1, "PLAY; START_TIME=2026-02-01T00:00:00Z", license.State{Phase: license.Escrow})},
		{"as many reasons", candidate(t, 1, "PLAY; START_TIME=2026-02-01T00:00:00Z", license.State{}), candidate(t, 9, "PLAY", license.State{Phase: license.Escrow})},
		{"warnings do not count", candidate(t, 2, "PLAY; START_TIME=2026-02-01T00:00:00Z; RESOLUTION<=576p", license.State{}), candidate(t, 9, "PLAY; START_TIME=2026-02-01T00:00:00Z", license.State{})},
		{"the first of the cheapest units", candidate(t, 1, "PLAY; PLAY; PLAY_COUNT=2; PART=01", license.State{}), free},
		{"the unit that is used counts", candidate(t, 9, "RENDER; PLAY; PLAY_COUNT=1; PLAY", license.State{}), count},
	} {
		if got := license.Choose([]license.Candidate{tc.a, tc.b}); got != 0 {
			t.Errorf("%s: the other", tc.name)
		}
		if got := license.Choose([]license.Candidate{tc.b, tc.a}); got != 1 {
			t.Errorf("%s, turned round: the other", tc.name)
		}
	}
	moved := func(id byte, text string) license.Candidate {
		c := candidate(t, id, text, license.State{})
		in := at(day0 + day)
		handled(permission.Move)(&in)
		c.Decision = new(c.License.Evaluate(in))
		return c
	}
	if license.Choose([]license.Candidate{moved(1, "PLAY; MOVE=ANY"), moved(2, "PLAY; MOVE=ANY; END_TIME=2026-02-01T00:00:00Z")}) != 1 {
		t.Error("what moves is not the license that ends first")
	}
	if license.Choose(nil) != -1 {
		t.Error("one of none")
	}
}

// A chain is the leaf and what its ancestors do not take away.
func TestEvaluator_E13_Chains(t *testing.T) {
	uhd := withUHD(t, license.OutputRules{MinLevel: 2})
	for _, tc := range []struct {
		name         string
		leaf, parent string
		edit         func(i *license.Info) // of the parent
		in           func(in *license.Input)
		want         []string
		tier         license.Tier
	}{
		{"both allow", "PLAY", "PLAY", nil, nil, nil, license.TierHD},
		{"not begun", "PLAY", "PLAY; START_TIME=2026-02-01T00:00:00Z", nil, nil, []string{"NOT_YET/START_TIME WAIT_UNTIL"}, license.TierHD},
		{"over", "PLAY", "PLAY; END_TIME=2026-01-02T00:00:00Z", nil, nil, []string{"EXPIRED/PARENT BUY"}, license.TierHD},
		{"an interval could still run", "PLAY", "PLAY; END_TIME=2026-01-02T00:00:00Z; INTERVAL=480h", nil, nil, nil, license.TierHD},
		{"an interval has no end before it begins", "PLAY", "PLAY; INTERVAL=48h", nil, nil, nil, license.TierHD},
		{"not granted", "PLAY", "RENDER", nil, nil, []string{"NO_GRANT/PLAY BUY"}, 0},
		{"a level", "PLAY", "PLAY", policy(func(p *license.Policy) { p.MinLevel = 2 }), nil, []string{"TREM_LEVEL/MIN_LEVEL CONTACT"}, license.TierHD},
		{"fewer keys", "PLAY", "PLAY; RESOLUTION<=576p", nil, nil, nil, license.TierSD},
		{"sound is wanted", "PLAY", "PLAY; RESOLUTION<=576p", nil, func(in *license.Input) { in.Request.Tier = license.TierAudio }, nil, license.TierAudio},
		{"the leaf says the same", "PLAY; START_TIME=2026-02-01T00:00:00Z", "PLAY; START_TIME=2026-02-01T00:00:00Z", nil, nil, []string{"NOT_YET/START_TIME WAIT_UNTIL"}, license.TierHD},
		{"state and subject of the parent do not count", "PLAY", "PLAY; PLAY_COUNT=1", func(i *license.Info) { i.Policy.Duration, i.Subject = hour, license.DeviceSubject(ident.Device{7}) }, consumed(permission.Play, 0), nil, license.TierHD},
		{"one of two units", "PLAY", "PLAY; END_TIME=2026-01-02T00:00:00Z; PLAY; PART=01", nil, func(in *license.Input) { in.Request.Part = []byte{1} }, nil, license.TierHD},
		{"a unit that does not cover is no way round", "PLAY", "PLAY; END_TIME=2026-01-02T00:00:00Z; RENDER", nil, nil, []string{"EXPIRED/PARENT BUY"}, license.TierHD},
		{"no unit of the part", "PLAY", "PLAY; PART=01", nil, nil, []string{"NO_GRANT/PART BUY"}, 0},
		{"the best key does not stand last", "PLAY", "PLAY", func(i *license.Info) { slices.Reverse(i.Keys) }, nil, nil, license.TierHD},
		{"both units are over", "PLAY", "PLAY; END_TIME=2026-01-02T00:00:00Z; PLAY; END_TIME=2026-01-03T00:00:00Z", nil, nil, []string{"EXPIRED/PARENT BUY"}, license.TierHD},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parent := newLicense(t, tc.parent, func(i *license.Info) {
				if tc.edit != nil {
					tc.edit(i)
				}
			})
			in := at(day0 + 10*day)
			if tc.in != nil {
				tc.in(&in)
			}
			var d license.Decision
			leaf := newLicense(t, tc.leaf, uhd, func(i *license.Info) { slices.Reverse(i.Keys) })
			license.EvaluateChain([]*license.License{leaf, parent}, &in, &d)
			var closed []string
			for _, s := range spoken(d) {
				if !slices.Contains([]string{"TREM_LEVEL/UHD CONTACT warns"}, s) {
					closed = append(closed, s)
				}
			}
			if diff := cmp.Diff(tc.want, closed); diff != "" || d.Allow != (len(tc.want) == 0) || d.Tier != tc.tier {
				t.Errorf("allow %v, tier %v, want %v: %s", d.Allow, d.Tier, tc.tier, diff)
			}
		})
	}
}

// Handling is judged by the leaf; the earliest end of all is the chain's.
func TestEvaluator_E13_ChainsOfHandling(t *testing.T) {
	in := at(day0)
	parent := newLicense(t, "PLAY; END_TIME=2026-01-02T00:00:00Z")
	var d license.Decision
	license.EvaluateChain([]*license.License{newLicense(t, "PLAY; END_TIME=2026-01-03T00:00:00Z"), parent}, &in, &d)
	if !d.Allow || d.ValidUntil != day0+day || len(d.Next) != 2 {
		t.Errorf("%+v, want valid until the parent's end", d)
	}
	handled(permission.Move)(&in)
	license.EvaluateChain([]*license.License{newLicense(t, "PLAY; MOVE=ANY"), parent}, &in, &d)
	if !d.Allow {
		t.Errorf("MOVE: %+v", d)
	}
}
