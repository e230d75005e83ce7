package license_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// The invariants I1, I2, I9 and I10 of docs/spec/evaluation.md, over licenses,
// states and requests with everything that the page knows. TestMutants shows
// that each can fail.

func encoded(rt *rapid.T, d *license.Decision) []byte {
	b, err := d.Encode()
	if err != nil {
		rt.Fatal(err)
	}
	return b
}

// The same input gives the same bytes, whatever the decision held before, and
// they read back as the same decision.
func TestEvaluator_E16_I1_SameInputSameBytes(t *testing.T) {
	var used license.Decision
	rapid.Check(t, func(rt *rapid.T) {
		lic, in := inspect(rt, drawInfo(rt)), drawWhole(rt)
		fresh := lic.Evaluate(in)
		want := encoded(rt, &fresh)
		license.Evaluate(inspect(rt, drawInfo(rt)), new(drawWhole(rt)), &used)
		license.Evaluate(lic, &in, &used)
		if got := encoded(rt, &used); !bytes.Equal(got, want) {
			rt.Fatalf("a decision used before: %+v\nwant %+v", used, fresh)
		}
		if again := lic.Evaluate(in); !bytes.Equal(encoded(rt, &again), want) {
			rt.Fatalf("again: %+v, want %+v", again, fresh)
		}
		back, err := license.ParseDecision(want)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(fresh, *back, emptyIsNil()); d != "" {
			rt.Fatal(d)
		}
	})
}

func emptyIsNil() cmp.Option {
	return cmp.FilterValues(func(a, b any) bool { return fmt.Sprint(a) == "[]" && fmt.Sprint(b) == "[]" }, cmp.Ignore())
}

// relax takes one constraint out of a license.
type relax struct {
	name string
	do   func(i *license.Info, u *permission.Units)
}

func eachUsage(f func(x *permission.UsageUnit)) func(*license.Info, *permission.Units) {
	return func(_ *license.Info, u *permission.Units) {
		for n := range u.Usage {
			f(&u.Usage[n])
		}
	}
}

func relaxPolicy(f func(p *license.Policy)) func(*license.Info, *permission.Units) {
	return func(i *license.Info, _ *permission.Units) { f(&i.Policy) }
}

// relaxations are all constraints. The end, storage, interval and on_first_use
// count as one, since REPLACE lets an interval pass an end; so do the countries,
// which TERRITORY and areas permit together. Handling is judged by the unit that
// ends last, and without ends that is the first one: its start goes with them.
func relaxations() []relax {
	return []relax{
		{"start", eachUsage(func(x *permission.UsageUnit) { x.StartTime = 0 })},
		{"window", func(i *license.Info, u *permission.Units) {
			eachUsage(func(x *permission.UsageUnit) { x.StartTime, x.EndTime, x.Interval = 0, 0, 0 })(i, u)
			i.Policy.StorageDuration, i.Policy.OnFirstUse = 0, 0
		}},
		{"hard end", relaxPolicy(func(p *license.Policy) { p.HardEnd = 0 })},
		{"count", eachUsage(func(x *permission.UsageUnit) { x.PlayCount = 0 })},
		{"accumulated", eachUsage(func(x *permission.UsageUnit) { x.Accumulated = 0 })},
		{"resolution", eachUsage(func(x *permission.UsageUnit) { x.MaxPixels = 0 })},
		{"protection", eachUsage(func(x *permission.UsageUnit) { x.Output = 0 })},
		{"unknown condition", eachUsage(func(x *permission.UsageUnit) { x.Extra = nil })},
		{"unknown units", func(i *license.Info, u *permission.Units) { u.Unknown, u.Actor, i.Policy.Other = nil, nil, nil }},
		{"timeline", func(_ *license.Info, u *permission.Units) {
			if u.Management != nil {
				u.Management.Timeline = 0
			}
		}},
		{"copies", func(_ *license.Info, u *permission.Units) {
			if m := u.Management; m != nil && (m.Copy == permission.CopyCounted || m.Copy == permission.CopyOnce) {
				m.Copy, m.CopyCount = permission.CopyFree, 0
			}
		}},
		{"countries", func(i *license.Info, u *permission.Units) {
			if u.Classification != nil {
				u.Classification.Territory = nil
			}
			if i.Policy.Region = nil; i.Policy.Transfer != nil {
				i.Policy.Transfer.Region = false
			}
		}},
		{"concurrency", relaxPolicy(func(p *license.Policy) { p.Concurrency = nil })},
		{"overlay", relaxPolicy(func(p *license.Policy) { p.Overlay = nil })},
		{"report", relaxPolicy(func(p *license.Policy) { p.Report = nil })},
		{"embargo", relaxPolicy(func(p *license.Policy) { p.EmbargoStrict = false })},
		{"level", relaxPolicy(func(p *license.Policy) { p.MinLevel = 0 })},
		{"anchor", relaxPolicy(func(p *license.Policy) { p.MinAnchor = new(uint64) })},
		{"evidence", relaxPolicy(func(p *license.Policy) { p.OutputEvidence = 0 })},
		{"revocation", func(i *license.Info, _ *permission.Units) { i.RevMinEpoch, i.RevMaxAge = 0, 0 }},
		{"stale", relaxPolicy(func(p *license.Policy) { p.Stale = 0 })},
		{"copy rule", relaxPolicy(func(p *license.Policy) { p.Copy = &license.CopyRule{Dests: license.DestAny} })},
		{"transfer rule", relaxPolicy(func(p *license.Policy) {
			p.Transfer = &license.TransferRule{Cooldown: 1, Countersign: license.CountersignNone}
		})},
		{"lend rule", relaxPolicy(func(p *license.Policy) { p.Lend = nil })},
		{"output rules", func(i *license.Info, _ *permission.Units) {
			for n := range i.Keys {
				// What is dark elsewhere plays here, and max_pixels is no constraint.
				if r, err := i.Keys[n].Rules(); err == nil && r.OnViolation != license.BlockOutput && r.MaxPixels == 0 {
					i.Keys[n].Outputs = nil
				}
			}
		}},
	}
}

// Removing a constraint never refuses what was allowed.
func TestEvaluator_E16_I2_FewerConstraintsAllowMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		info, in := drawInfo(rt), drawWhole(rt)
		// Handling is judged by the unit that ends last, and fewer constraints make another one that.
		if info.Policy.MinAnchor == nil && in.Request.Action > permission.Render {
			info.Policy.MinAnchor = new(uint64(1))
		}
		before := inspect(rt, info)
		if !before.Evaluate(in).Allow {
			return
		}
		u, err := info.Units()
		if err != nil {
			rt.Fatal(err)
		}
		r := rapid.SampledFrom(relaxations()).Draw(rt, "removed")
		less := *info
		less.Keys = slices.Clone(info.Keys)
		r.do(&less, u)
		if less.Code, err = u.Encode(); err != nil {
			rt.Fatal(err)
		}
		if d := inspect(rt, &less).Evaluate(in); !d.Allow {
			rt.Fatalf("without %s: %+v\n%+v", r.name, d.Reasons, before.Units().Text())
		}
	})
}

// face is what of a decision may change at a listed time only: all of it but the
// words, the list of times, and what is counted from now.
func face(d license.Decision) license.Decision {
	d.Next, d.ValidUntil = nil, 0
	d.Reasons, d.Confirm, d.WouldUnlock = slices.Clone(d.Reasons), slices.Clone(d.Confirm), nil
	for i := range d.Reasons {
		d.Reasons[i].Have, d.Reasons[i].Need = "", ""
	}
	for i := range d.Confirm {
		d.Confirm[i].Until = 0
	}
	return d
}

// Between now and the next time listed nothing changes, for every action. Time
// runs as in Input.After: with the power on, and nothing heard.
func TestEvaluator_E16_I9_FlipsAreListed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lic, in := inspect(rt, drawInfo(rt)), drawWhole(rt)
		d := lic.Evaluate(in)
		now := in.Clock.Est
		until := now + 300*day
		if len(d.Next) > 0 {
			until = d.Next[0].At
		}
		if until <= now || !slices.IsSortedFunc(d.Next, func(a, b license.Change) int { return int(a.At - b.At) }) || len(d.Next) > 0 && d.ValidUntil != until {
			rt.Fatalf("valid until %d, next %+v at %d", d.ValidUntil, d.Next, now)
		}
		for _, ms := range []int64{until - 1 - now, rapid.Int64Range(0, until-1-now).Draw(rt, "later")} {
			after := lic.Evaluate(in.After(ms))
			if diff := cmp.Diff(face(d), face(after), emptyIsNil()); diff != "" {
				rt.Fatalf("%d ms later, before anything of %+v (-now +later): %s", ms, d.Next, diff)
			}
		}
	})
}

// boundaries are the reasons that a listed time gives or takes.
var boundaries = map[string]struct {
	code   license.Code
	before bool // the reason stands before the time, not from it on
}{
	"END": {"", false}, "START_TIME": {license.NotYet, true}, "MEMBERSHIP": {license.SubjectMismatch, false}, "FIRST_USE": {license.StateClockConflict, true},
	"COOLDOWN": {license.NotYet, true}, "SLOT_FREE": {license.SlotFull, true}, "HOLD_UNTIL": {license.LockedInMove, false}, "CLOCK_STALE": {license.ClockStale, false}, "STATUS_STALE": {license.StatusStale, false},
	"SUNSET": {license.SunsetCode, false},
}

// tally counts the reasons of a code; "" stands for what an end gives.
func tally(d license.Decision, c license.Code) int {
	n := 0
	for _, r := range d.Reasons {
		if r.Code == c || c == "" && (r.Code == license.IntervalOver || r.Code == license.Expired && r.Constraint != "RENEWAL") {
			n++
		}
	}
	return n
}

// Every interval is half-open: at the time itself the other side holds, one ms
// before the first.
func TestEvaluator_E16_I10_HalfOpenBoundaries(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		info, in := drawInfo(rt), drawWhole(rt)
		u, err := info.Units()
		if err != nil {
			rt.Fatal(err)
		}
		u.Usage = u.Usage[:1] // with alternatives another one takes over
		if info.Code, err = u.Encode(); err != nil {
			rt.Fatal(err)
		}
		lic := inspect(rt, info)
		in.Request.Takeover = in.Request.Takeover && info.Policy.Concurrency == nil
		for _, c := range lic.Evaluate(in).Next {
			want, listed := boundaries[c.Change]
			free := c.Change == "SLOT_FREE" && info.Policy.Concurrency.OnFull == license.TakeoverOldest
			held := c.Change == "HOLD_UNTIL" && in.Clock.Q != license.Secure || c.Change == "CLOCK_STALE" && info.Policy.EmbargoStrict
			if !listed || free || held {
				continue
			}
			before, at := tally(lic.Evaluate(in.After(c.At-1-in.Clock.Est)), want.code), tally(lic.Evaluate(in.After(c.At-in.Clock.Est)), want.code)
			if want.before && before <= at || !want.before && before >= at {
				rt.Fatalf("%+v: %d reasons before, %d at the time", c, before, at)
			}
		}
	})
}

// allow at end - 1 ms, refuse at end, for each kind of end.
func TestEvaluator_E16_I10_HalfOpenBoundary(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		edit       func(p *license.Policy)
		end        int64
		used       int64
	}{
		{"END_TIME", "PLAY; END_TIME=2026-01-01T20:00:00Z", nil, 20 * hour, 0},
		{"STORAGE_DURATION", "PLAY", func(p *license.Policy) { p.StorageDuration = 20 * hour }, 20 * hour, 0},
		{"HARD_END", "PLAY", func(p *license.Policy) { p.HardEnd = day0 + 20*hour }, 20 * hour, 0},
		{"INTERVAL", "PLAY; INTERVAL=10h", nil, 15 * hour, 5 * hour},
		{"INTERVAL, REPLACE", "PLAY; INTERVAL=48h; END_TIME=2026-01-01T20:00:00Z", nil, 53 * hour, 5 * hour},
		{"INTERVAL, CAP", "PLAY; INTERVAL=48h; END_TIME=2026-01-01T20:00:00Z", capped, 20 * hour, 5 * hour},
		{"recovery", "PLAY; END_TIME=2026-01-01T20:00:00Z", func(p *license.Policy) { p.Renew = &license.RenewRule{Recovery: hour} }, 21 * hour, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lic := newLicense(t, tc.text, policy(func(p *license.Policy) {
				if tc.edit != nil {
					tc.edit(p)
				}
			}))
			for _, off := range []int64{-1, 0} {
				in := at(day0 + tc.end + off)
				if tc.used != 0 {
					in.State.FirstUse = day0 + tc.used
				}
				if d := lic.Evaluate(in); d.Allow != (off < 0) {
					t.Errorf("at end%+d ms: allow %v", off, d.Allow)
				}
			}
		})
	}
}
