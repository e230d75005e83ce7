package license_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// The names V1 to V28 are those of the vectors of docs/spec/evaluation.md.

func TestEvaluator_E17_V1_PurchaseNeedsNoClock(t *testing.T) {
	lic := newLicense(t, "PLAY; CHARGE=PURCHASE")
	in := at(0)
	in.Clock = license.Clock{Q: license.Unset}
	d := lic.Evaluate(in)
	if !d.Allow || len(d.Reasons) > 0 || d.Tier != license.TierHD || len(d.KIDs) != 3 || d.ValidUntil != 0 {
		t.Fatalf("got %+v, want an allowed use of HD without reasons or end", d)
	}
}

func TestEvaluator_E17_V2_ClockGrace(t *testing.T) {
	grace := 72 * hour
	lic := newLicense(t, "PLAY; END_TIME=2026-06-01T00:00:00Z", policy(func(p *license.Policy) { p.ClockGrace = &grace }))
	in := at(day0 + 10*day)
	in.Clock.Q = license.Anchored
	in.Clock.Unsynced = 71 * hour
	d := lic.Evaluate(in)
	if !d.Allow || d.ValidUntil != in.Clock.Est+hour+1 {
		t.Errorf("71 h: got allow %v until %d, want allowed until the grace ends at %d", d.Allow, d.ValidUntil, in.Clock.Est+hour+1)
	}
	in.Clock.Unsynced = 73 * hour
	d = lic.Evaluate(in)
	if diff := cmp.Diff([]license.Code{license.ClockStale}, codes(d)); d.Allow || diff != "" {
		t.Errorf("73 h: allow %v, %s", d.Allow, diff)
	}
	if r := d.Reasons[0]; r.Remedy != license.SyncTime || r.Have == "" || r.Need != "3d" {
		t.Errorf("73 h: reason %+v", r)
	}
}

func TestEvaluator_E1_UnsetClockCannotJudgeTime(t *testing.T) {
	lic := newLicense(t, "PLAY; CHARGE=RENTAL; END_TIME=2026-06-01T00:00:00Z")
	in := at(day0)
	in.Clock.Q, in.Clock.Unsynced = license.Unset, 0
	if d := lic.Evaluate(in); d.Allow || !d.Has(license.ClockStale) {
		t.Errorf("got %+v, want CLOCK_STALE", d)
	}
}

func TestEvaluator_E1_GraceByChargeModelAndProfile(t *testing.T) {
	for _, tc := range []struct {
		charge  string
		grace   int64
		profile map[permission.Charge]int64
	}{
		{"RENTAL", 24 * hour, nil},
		{"SUBSCRIPTION", 72 * hour, nil},
		{"LOAN", 0, nil},
		{"RENTAL", 30 * day, map[permission.Charge]int64{permission.ChargeRental: 30 * day}},
		{"LOAN", 0, map[permission.Charge]int64{permission.ChargeLoan: 30 * day}}, // a profile never widens a loan
	} {
		lic := newLicense(t, "PLAY; END_TIME=2026-06-01T00:00:00Z; CHARGE="+tc.charge)
		in := at(day0)
		in.Clock.Q, in.Env.Grace = license.Free, tc.profile
		for _, over := range []int64{0, 1} {
			in.Clock.Unsynced = tc.grace + over
			if d := lic.Evaluate(in); d.Allow != (over == 0) {
				t.Errorf("%s: %d ms over a grace of %d: allow %v", tc.charge, over, tc.grace, d.Allow)
			}
		}
	}
}

// rental is the film of evaluator E3: 2 hours, 30 days to begin, 48 hours to finish.
func rental(t *testing.T, edit ...func(*license.Policy)) *license.License {
	t.Helper()
	return newLicense(t, "PLAY; INTERVAL=48h; CHARGE=RENTAL", func(i *license.Info) {
		i.Policy.StorageDuration, i.Policy.Duration = 30*day, 2*hour
		for _, f := range edit {
			f(&i.Policy)
		}
	})
}

func capped(p *license.Policy) { p.OnFirstUse = license.OnFirstCap }
func stop(p *license.Policy)   { p.ExpiryMode = license.ExpiryStop }

func TestEvaluator_E17_V3_ReplaceGivesTheFullInterval(t *testing.T) {
	start := day0 + 29*day + 23*hour
	v := newViewer(t, rental(t), start)
	d := v.lic.Evaluate(v.in)
	if diff := cmp.Diff([]license.Confirm{{Kind: license.StartsInterval, Until: day0 + 31*day + 23*hour}}, d.Confirm); diff != "" {
		t.Error(diff)
	}
	v.must(v.begin(0))
	v.must(v.play(0, 60*second))
	if v.durable.FirstUse != start {
		t.Errorf("first use %d, want the session's start %d", v.durable.FirstUse, start)
	}
	v.end()
	for _, tc := range []struct {
		now   int64
		allow bool
	}{{day0 + 31*day + 23*hour - 1, true}, {day0 + 31*day + 23*hour, false}} {
		in := v.in
		in.Clock.Est = tc.now
		d := v.lic.Evaluate(in)
		if d.Allow != tc.allow || !tc.allow && !d.Has(license.IntervalOver) {
			t.Errorf("at %d: %+v, want allow %v", tc.now, d, tc.allow)
		}
	}
}

func TestEvaluator_E17_V4_CapFinishesTheRunningFilm(t *testing.T) {
	start := day0 + 29*day + 23*hour
	v := newViewer(t, rental(t, capped), start)
	v.must(v.begin(0))
	v.must(v.play(0, hour)) // to day 30 00:00:00
	v.must(v.play(hour, 2*hour))
	if v.ses.TailUntil != day0+30*day+90*minute {
		t.Errorf("tail ends %d, want 90 min behind the window for 1 h that remains", v.ses.TailUntil)
	}
	v.wait(30*minute - second)
	v.must(v.fragment(sdKID, 1, 2*hour-second, second))
	v.wait(second)
	v.refused(v.fragment(sdKID, 1, 2*hour-second, second), license.Expired)
	v.end()
	v.refused(v.begin(0), license.Expired) // no new session in the tail
}

func TestEvaluator_E17_V4_StopEndsAtTheWindow(t *testing.T) {
	v := newViewer(t, rental(t, capped, stop), day0+29*day+23*hour)
	v.must(v.begin(0))
	v.must(v.play(0, hour-3*second))
	s := v.lic.Extend(v.ses, v.in, license.Fragment{KID: sdKID, Bytes: 1, WallMS: v.now() - v.begun})
	if s.Slice.Until > day0+30*day {
		t.Errorf("slice until %d, want it cut at the window's end %d", s.Slice.Until, day0+30*day)
	}
	v.must(v.play(hour-3*second, hour))
	v.refused(v.fragment(sdKID, 1, hour, second), license.Expired)
}

func TestEvaluator_E17_V5_HalfOpen(t *testing.T) {
	for _, mode := range []func(*license.Policy){func(*license.Policy) {}, capped, stop} {
		lic := rental(t, mode)
		d := lic.Evaluate(at(day0 + 30*day))
		if d.Allow || !d.Has(license.Expired) || d.Reasons[0].Constraint != "STORAGE_DURATION" || d.Reasons[0].Remedy != license.Buy {
			t.Errorf("day 30 00:00:00.000: %+v, want EXPIRED by STORAGE_DURATION", d)
		}
		if d := lic.Evaluate(at(day0 + 30*day - 1)); !d.Allow {
			t.Errorf("one ms before: %+v, want allowed", d)
		}
	}
}

func TestEvaluator_E17_V6_PreviewBelowTheThreshold(t *testing.T) {
	v := newViewer(t, rental(t), day0+day)
	v.must(v.begin(0))
	v.must(v.play(0, 20*second))
	v.end()
	if v.durable.FirstUse != 0 || v.durable.Pending != 20*second {
		t.Fatalf("after 20 s: first use %d, pending %d", v.durable.FirstUse, v.durable.Pending)
	}
	start := day0 + 29*day
	v.wait(start - v.now())
	v.must(v.begin(0))
	v.must(v.play(0, 60*second))
	if v.in.State.FirstUse != start {
		t.Errorf("first use %d, want day 29", v.in.State.FirstUse)
	}
}

// A peek of 29 s does not start the interval; the reserve of its last slice is
// given back.
func TestEvaluator_E3_PeekBelowTheThreshold(t *testing.T) {
	v := newViewer(t, rental(t), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 29*second))
	v.end()
	if v.durable.FirstUse != 0 || v.durable.Pending != 29*second {
		t.Fatalf("after 29 s: %+v", v.durable)
	}
	v.must(v.begin(29 * second))
	v.must(v.play(29*second, 31*second))
	v.crash()
	if v.durable.FirstUse == 0 || v.durable.Slice == nil {
		t.Fatalf("crash after 31 s in all: %+v, want the first use and the slice", v.durable)
	}
	v.must(v.begin(31 * second))
	if v.durable.Slice != nil {
		t.Errorf("the crashed session's slice is still there: %+v", v.durable)
	}
}

func TestEvaluator_E17_V7_ThresholdAddsUpOverSessions(t *testing.T) {
	v := newViewer(t, rental(t), day0+day)
	v.must(v.begin(0))
	v.must(v.play(0, 20*second))
	v.end()
	start := day0 + 2*day
	v.wait(start - v.now())
	v.must(v.begin(0))
	v.must(v.play(0, 15*second))
	v.end()
	if v.durable.FirstUse != start {
		t.Errorf("first use %d, want the start of the second session %d", v.durable.FirstUse, start)
	}
}

func TestEvaluator_E17_V8_ClockSetBackChangesNothing(t *testing.T) {
	v := newViewer(t, rental(t), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 60*second))
	v.end()
	in := v.in
	in.Clock.Lo = day0 + 47*hour
	in.Clock.Est = in.Clock.Lo - 3*day // what a rolled back RTC would say
	in.Clock.Behind = true
	d := v.lic.Evaluate(in)
	if !d.Allow || !d.Has(license.ClockBehind) || d.Next[0].At != day0+48*hour {
		t.Errorf("after 47 h: %+v, want allowed until 48 h with a note", d)
	}
	in.Clock.Lo = day0 + 48*hour
	if d := v.lic.Evaluate(in); d.Allow {
		t.Error("after 48 h: allowed by setting the clock back")
	}
}

// TestEvaluator_E1_AClockThatIsAhead: what only the system's clock says to be over is
// refused with both times and what settles it, once, for a use and for what goes on.
func TestEvaluator_E1_AClockThatIsAhead(t *testing.T) {
	v := newViewer(t, rental(t), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 60*second))
	v.end()
	in := v.in
	in.State = v.durable
	in.Clock.Q, in.Clock.Lo, in.Clock.Est = license.Anchored, day0+47*hour, day0+52*hour
	d := v.lic.Evaluate(in)
	i := slices.IndexFunc(d.Reasons, func(r license.Reason) bool { return r.Code == license.ClockAhead })
	if d.Allow || i < 0 || !d.Has(license.IntervalOver) {
		t.Fatalf("four hours after the end by the clock alone: %+v", d)
	}
	const have = "the system's clock says 2026-01-03T04:00:00Z, the last proven time is 2026-01-02T23:00:00Z"
	if r := d.Reasons[i]; r.Closed || r.Have != have || r.Remedy != license.SyncTime {
		t.Errorf("%+v, want %q", r, have)
	}
	for name, c := range map[string]license.Clock{
		"proven":            {Q: license.Anchored, Lo: day0 + 48*hour, Est: day0 + 52*hour},
		"by its issuer":     {Q: license.Anchored, Lo: day0 + 47*hour, LoIss: day0 + 48*hour, Est: day0 + 52*hour},
		"synced":            {Q: license.Secure, Lo: day0 + 47*hour, Est: day0 + 52*hour},
		"without its clock": {Q: license.Free, Lo: day0 + 47*hour, Est: day0 + 52*hour},
	} {
		in.Clock = c
		if d := v.lic.Evaluate(in); d.Allow || d.Has(license.ClockAhead) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestEvaluator_E17_V9_RentalGrace(t *testing.T) {
	lic := rental(t)
	in := at(day0 + day)
	in.Clock.Q, in.Clock.Unsynced = license.Anchored, 25*hour
	d := lic.Evaluate(in)
	if diff := cmp.Diff([]license.Code{license.ClockStale}, codes(d)); diff != "" {
		t.Error(diff)
	}
	step := lic.Begin(in)
	if step.Commit || step.State.Ver != 0 || step.Decision.Allow {
		t.Errorf("a refused begin changed the state: %+v", step)
	}
	in.Clock.Q = license.Secure // synced
	if d := lic.Evaluate(in); !d.Allow {
		t.Errorf("after the sync: %+v", d)
	}
}

func TestEvaluator_E3_NeedsConfirmBeforeAnIntervalStarts(t *testing.T) {
	lic := rental(t)
	in := at(day0)
	in.Request.Confirm = false
	if d := lic.Evaluate(in); !d.Allow || len(d.Confirm) != 1 {
		t.Errorf("evaluate: %+v, want allowed with one confirm", d)
	}
	step := lic.Begin(in)
	if step.Decision.Allow || !step.Decision.Has(license.NeedsConfirm) {
		t.Errorf("begin: %+v, want NEEDS_CONFIRM", step.Decision)
	}
	in.State.FirstUse = day0 - hour
	if step := lic.Begin(in); !step.Decision.Allow {
		t.Errorf("a running interval asks again: %+v", step.Decision)
	}
}

func TestEvaluator_E3_StartTimeSkewAndEmbargo(t *testing.T) {
	start := day0 + 10*day
	text := "PLAY; START_TIME=2026-01-11T00:00:00Z"
	lic := newLicense(t, text)
	d := lic.Evaluate(at(start - 5*minute - 1))
	if d.Allow || d.Reasons[0].Code != license.NotYet || d.Reasons[0].Earliest != start-5*minute || d.Reasons[0].Remedy != license.WaitUntil {
		t.Errorf("5 min and 1 ms early: %+v", d)
	}
	if d := lic.Evaluate(at(start - 5*minute)); !d.Allow {
		t.Errorf("5 min early: %+v", d)
	}
	strict := newLicense(t, text, policy(func(p *license.Policy) { p.EmbargoStrict = true }))
	if d := strict.Evaluate(at(start - 1)); d.Allow {
		t.Error("strict embargo: allowed 1 ms early")
	}
	in := at(start)
	if d := strict.Evaluate(in); !d.Allow {
		t.Errorf("strict embargo at the start: %+v", d)
	}
	in.Clock.Q = license.Anchored
	if d := strict.Evaluate(in); d.Allow || !d.Has(license.ClockStale) {
		t.Errorf("strict embargo without secure time: %+v", d)
	}
}

func TestEvaluator_E3_HardEndIsTheWall(t *testing.T) {
	lic := rental(t, func(p *license.Policy) { p.HardEnd = day0 + 30*day })
	in := at(day0 + 30*day)
	in.State.FirstUse = day0 + 29*day
	if d := lic.Evaluate(in); d.Allow || d.Reasons[0].Constraint != "HARD_END" {
		t.Errorf("%+v, want EXPIRED by HARD_END", d)
	}
}

func TestEvaluator_E3_StateBehindTheClockIsRefused(t *testing.T) {
	in := at(day0 + day)
	in.State.FirstUse = day0 + 2*day
	if d := rental(t).Evaluate(in); d.Allow || !d.Has(license.StateClockConflict) {
		t.Errorf("%+v, want STATE_CLOCK_CONFLICT", d)
	}
}
