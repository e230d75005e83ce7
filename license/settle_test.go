package license_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func usedPlays(n uint64) map[permission.Permission]uint64 {
	return map[permission.Permission]uint64{permission.Play: n}
}

// The index of a copy of a counted license is how many were made: one that was
// refused leaves its own free.
func TestLicense_3_CopyIndex(t *testing.T) {
	counted, free := newLicense(t, "PLAY; COPY=COUNTED; COPY_COUNT=4"), newLicense(t, "PLAY; COPY=FREE")
	made := license.State{NextIndex: 7, Consumed: map[permission.Permission]uint64{permission.Copy: 2}, Given: map[permission.Permission]uint64{permission.Copy: 1}}
	if got := counted.CopyIndex(license.State{NextIndex: 7}); got != 0 {
		t.Errorf("the first copy has index %d", got)
	}
	if got := counted.CopyIndex(made); got != 3 {
		t.Errorf("after three: %d", got)
	}
	if got := free.CopyIndex(made); got != 7 {
		t.Errorf("of a license that does not count: %d", got)
	}
}

func TestLicense_3_CopySplits(t *testing.T) {
	for _, tc := range []struct {
		rule *license.CopyRule
		want bool
	}{{nil, true}, {&license.CopyRule{}, true}, {&license.CopyRule{PerInstance: true}, false}} {
		lic := newLicense(t, "PLAY; PLAY_COUNT=3; COPY=FREE", policy(func(p *license.Policy) { p.Duration, p.Copy = hour, tc.rule }))
		if got := lic.CopySplits(); got != tc.want {
			t.Errorf("%+v: %v", tc.rule, got)
		}
	}
}

func TestLicense_3_Spent(t *testing.T) {
	film := policy(func(p *license.Policy) { p.Duration = hour })
	for _, tc := range []struct {
		name, text string
		state      license.State
		want       uint64
	}{
		{"never used", "PLAY; PLAY_COUNT=3", license.State{}, 0},
		{"two plays", "PLAY; PLAY_COUNT=3", license.State{Consumed: usedPlays(2), OpenPlay: &license.OpenPlay{ID: 2, Charged: true}}, 2},
		{"one that is begun", "PLAY; PLAY_COUNT=3", license.State{Consumed: usedPlays(1), OpenPlay: &license.OpenPlay{ID: 2}}, 2},
		{"time", "PLAY; ACCUMULATED=10h", license.State{Acc: 5 * minute, Consumed: usedPlays(9)}, uint64(5 * minute)},
		{"time below nothing", "PLAY; ACCUMULATED=10h", license.State{Acc: -1}, 0},
		{"plays and time", "PLAY; PLAY_COUNT=3; ACCUMULATED=10h", license.State{Acc: minute, Consumed: usedPlays(1)}, 1},
	} {
		if got := newLicense(t, tc.text, film).Spent(tc.state); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestLicense_3_Settle(t *testing.T) {
	lent := func(plays uint64, ms int64) license.State {
		return license.State{Given: usedPlays(plays), GivenMS: ms, Consumed: usedPlays(1), Acc: second}
	}
	for _, tc := range []struct {
		name  string
		state license.State
		share license.Share
		spent uint64
		plays uint64 // consumed, from 1
		ms    int64  // accumulated, from a second
		given map[permission.Permission]uint64
	}{
		{"nothing used", lent(2, 0), license.Share{Plays: 2}, 0, 1, second, nil},
		{"one of two", lent(2, 0), license.Share{Plays: 2}, 1, 2, second, nil},
		{"more than there was", lent(2, 0), license.Share{Plays: 2}, 9, 3, second, nil},
		{"nothing is known", lent(2, 0), license.Share{Plays: 2}, math.MaxUint64, 3, second, nil},
		{"another child stays out", lent(3, 0), license.Share{Plays: 2}, 1, 2, second, usedPlays(1)},
		{"time", lent(0, hour), license.Share{MS: hour}, uint64(minute), 1, second + minute, nil},
		{"all of the time", lent(0, hour), license.Share{MS: hour}, math.MaxUint64, 1, second + hour, nil},
		{"plays and time, used", lent(2, hour), license.Share{Plays: 2, MS: hour}, 1, 2, second + hour, nil},
		{"plays and time, not used", lent(2, hour), license.Share{Plays: 2, MS: hour}, 0, 1, second, nil},
	} {
		if tc.state.Given[permission.Play] == 0 {
			tc.state.Given = nil
		}
		got, err := tc.state.Settle(tc.share, tc.spent)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		want := license.State{Ver: 1, Consumed: usedPlays(tc.plays), Acc: tc.ms, Given: tc.given}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
		if d := cmp.Diff(usedPlays(1), tc.state.Consumed); d != "" {
			t.Errorf("%s: it writes into the state it was given: %s", tc.name, d)
		}
	}
	first, err := license.State{Given: usedPlays(1)}.Settle(license.Share{Plays: 1}, 1)
	if err != nil || first.Consumed[permission.Play] != 1 {
		t.Errorf("the first use ever: %+v, %v", first, err)
	}
	for name, x := range map[string]license.Share{"plays": {Plays: 3}, "time": {MS: 1}, "copies": {Copies: 1}, "time below nothing": {MS: -1}} {
		if _, err := lent(2, 0).Settle(x, 0); !errors.Is(err, license.ErrNoRight) {
			t.Errorf("more %s than was given: %v", name, err)
		}
	}
}

// A loan of what a device is given by default, used in part and settled, and
// renewed: the same child one version on, of which the last is settled.
func TestLicense_3_SettleWhatWasLent(t *testing.T) {
	lic := newLicense(t, "PLAY; PLAY_COUNT=3; LEND", policy(func(p *license.Policy) { p.Duration, p.Lend = hour, &license.LendRule{Plays: 2} }))
	share := lic.DefaultShare(license.State{}, 2)
	d := license.Derivation{Kind: license.KindLoan, Subject: license.DeviceSubject(ident.Device{1}), Plays: share.Plays, For: day, Now: day0}
	given, err := lic.Give(license.State{}, share)
	if err != nil {
		t.Fatal(err)
	}
	var first *license.Info
	for version := range uint64(2) {
		d.Version, d.Now = version, day0+int64(version)*hour
		if version > 0 {
			d.Version = first.Version + 1
		}
		info, err := license.Derive(lic, d)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = info
		} else if info.ID != first.ID || info.Version != first.Version+1 || info.Policy.HardEnd != first.Policy.HardEnd+hour {
			t.Errorf("the renewal is %v %d %d, the loan was %v %d %d", info.ID, info.Version, info.Policy.HardEnd, first.ID, first.Version, first.Policy.HardEnd)
		}
	}
	back, err := given.Settle(share, 1)
	if err != nil {
		t.Fatal(err)
	}
	in := at(day0)
	in.State = back
	if d := lic.Evaluate(in); !d.Allow || *d.Counters.PlaysLeft != 2 {
		t.Errorf("%+v, want two plays left", d)
	}
}

func TestLicense_3_Keep(t *testing.T) {
	lic, free := newLicense(t, "PLAY; PLAY_COUNT=5", policy(func(p *license.Policy) { p.Duration = hour })), newLicense(t, "PLAY")
	begun := &license.OpenPlay{ID: 1, Touched: day0}
	for _, tc := range []struct {
		name  string
		state license.State
		n     uint64
		want  license.State
	}{
		{"fewer than there are", license.State{}, 2, license.State{Ver: 1, Consumed: usedPlays(3)}},
		{"some are used", license.State{Consumed: usedPlays(1)}, 2, license.State{Ver: 1, Consumed: usedPlays(3)}},
		{"as many", license.State{Consumed: usedPlays(1)}, 4, license.State{Consumed: usedPlays(1)}},
		{"more", license.State{}, 9, license.State{}},
		{"one that goes on is one of them", license.State{OpenPlay: begun}, 1, license.State{Ver: 1, Consumed: usedPlays(4), OpenPlay: begun}},
		{"none: what goes on is over", license.State{OpenPlay: begun}, 0, license.State{Ver: 1, Consumed: usedPlays(5)}},
		{
			"none: what was charged goes on",
			license.State{Consumed: usedPlays(1), OpenPlay: &license.OpenPlay{ID: 1, Charged: true}},
			0,
			license.State{Ver: 1, Consumed: usedPlays(5), OpenPlay: &license.OpenPlay{ID: 1, Charged: true}},
		},
	} {
		if d := cmp.Diff(tc.want, lic.Keep(tc.state, tc.n)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	timed := newLicense(t, "PLAY; ACCUMULATED=10h", policy(func(p *license.Policy) { p.Duration = hour }))
	if got := timed.Keep(license.State{Acc: hour, GivenMS: hour}, 0); got.Acc != 9*hour || got.Ver != 1 {
		t.Errorf("of the time, none: %+v", got)
	}
	if got := timed.Keep(license.State{Acc: hour}, 1); got.Acc != hour || got.Ver != 0 {
		t.Errorf("of the time, all: %+v", got)
	}
	both := newLicense(t, "PLAY; PLAY_COUNT=2; ACCUMULATED=10h", policy(func(p *license.Policy) { p.Duration = hour }))
	if got := both.Keep(license.State{}, 0); got.Acc != 10*hour || got.Consumed[permission.Play] != 2 || got.Ver != 1 {
		t.Errorf("of plays and time, none: %+v", got)
	}
	if got := free.Keep(license.State{}, 0); got.Ver != 0 || got.Consumed != nil {
		t.Errorf("of a license that does not count: %+v", got)
	}
}

func TestLicense_3_TransferCooldown(t *testing.T) {
	for _, tc := range []struct {
		rule *license.TransferRule
		want int64
	}{{nil, day}, {&license.TransferRule{Cooldown: hour}, hour}} {
		if got := newLicense(t, "PLAY; TRANSFER=2", policy(func(p *license.Policy) { p.Transfer = tc.rule })).TransferCooldown(); got != tc.want {
			t.Errorf("%+v: %d", tc.rule, got)
		}
	}
}

// TestEvaluator_E4_LeftToGive: a play that is begun and not charged does not go away.
func TestEvaluator_E4_LeftToGive(t *testing.T) {
	counted := derivation{text: "PLAY; PLAY_COUNT=3"}.parent(t)
	timed := derivation{text: "PLAY; ACCUMULATED=1h"}.parent(t)
	free := derivation{text: "PLAY"}.parent(t)
	one := map[permission.Permission]uint64{permission.Play: 1}
	for _, tc := range []struct {
		name string
		lic  *license.License
		s    license.State
		want license.Share
	}{
		{"all", counted, license.State{}, license.Share{Plays: 3}},
		{"one consumed, one begun", counted, license.State{Consumed: one, OpenPlay: &license.OpenPlay{ID: 1}}, license.Share{Plays: 1}},
		{"one given", counted, license.State{Given: one}, license.Share{Plays: 2}},
		{"time", timed, license.State{Acc: minute, GivenMS: 2 * minute}, license.Share{MS: 57 * minute}},
		{"not counted", free, license.State{}, license.Share{}},
	} {
		if got := tc.lic.Left(tc.s); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}
