package license_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// constraints draws the time and count constraints of a license.
type constraints struct {
	start, end, storage, interval, hard int64 // hours from day0; 0 = absent
	capped                              bool
	count                               uint64
}

func drawConstraints(t *rapid.T) constraints {
	h := func(name string) int64 {
		if !rapid.Bool().Draw(t, "has "+name) {
			return 0
		}
		return rapid.Int64Range(10, 200).Draw(t, name)
	}
	c := constraints{end: h("end"), storage: h("storage"), interval: h("interval"), hard: h("hard"), capped: rapid.Bool().Draw(t, "capped")}
	if rapid.Bool().Draw(t, "has start") {
		c.start = rapid.Int64Range(1, 9).Draw(t, "start")
	}
	if rapid.Bool().Draw(t, "has count") {
		c.count = rapid.Uint64Range(1, 3).Draw(t, "count")
	}
	return c
}

func (c constraints) license(t testing.TB) *license.License {
	u := &permission.Units{Usage: []permission.UsageUnit{{Kind: permission.Playback, PlayCount: c.count, Interval: c.interval * hour}}}
	if c.start != 0 {
		u.Usage[0].StartTime = day0 + c.start*hour
	}
	if c.end != 0 {
		u.Usage[0].EndTime = day0 + c.end*hour
	}
	b, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return newLicense(t, "PLAY", func(i *license.Info) {
		i.Code, i.Policy.Duration, i.Policy.StorageDuration = b, hour, c.storage*hour
		if c.hard != 0 {
			i.Policy.HardEnd = day0 + c.hard*hour
		}
		if c.capped {
			i.Policy.OnFirstUse = license.OnFirstCap
		}
	})
}

func drawInput(t *rapid.T) license.Input {
	in := at(day0 + rapid.Int64Range(0, 250*hour).Draw(t, "now"))
	in.Clock.Q = license.Quality(rapid.Uint8Range(1, 3).Draw(t, "quality"))
	in.Clock.Unsynced = rapid.Int64Range(0, 30*hour).Draw(t, "unsynced")
	if rapid.Bool().Draw(t, "used") {
		in.State.FirstUse = day0 + rapid.Int64Range(1, 100*hour).Draw(t, "first use")
	}
	if n := rapid.Uint64Range(0, 3).Draw(t, "consumed"); n > 0 {
		in.State.Consumed = map[permission.Permission]uint64{permission.Play: n}
	}
	if rapid.Bool().Draw(t, "open play") {
		in.State.OpenPlay = &license.OpenPlay{ID: 1, Charged: true, Touched: day0 + rapid.Int64Range(0, 250*hour).Draw(t, "touched"), Seen: rapid.Int64Range(0, hour).Draw(t, "seen")}
	}
	if rapid.Bool().Draw(t, "unconfirmed") {
		in.State.Tx = &license.Tx{Unconfirmed: true, HoldUntil: day0 + rapid.Int64Range(1, 250*hour).Draw(t, "hold")}
	}
	in.Env.Domains[0].NotAfter = day0 + rapid.Int64Range(1, 250*hour).Draw(t, "not after")
	return in
}

func TestEvaluator_E16_I1_SameInputSameBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lic, in := drawConstraints(rt).license(t), drawInput(rt)
		a, b := lic.Evaluate(in), lic.Evaluate(in)
		x, err := a.Encode()
		if err != nil {
			rt.Fatal(err)
		}
		y, err := b.Encode()
		if err != nil || !bytes.Equal(x, y) {
			rt.Fatalf("%x and %x (%v)", x, y, err)
		}
		back, err := license.ParseDecision(x)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(a, *back); d != "" {
			rt.Fatal(d)
		}
	})
}

// Removing a constraint never refuses what was allowed. The triple of end,
// storage and interval counts as one.
func TestEvaluator_E16_I2_FewerConstraintsAllowMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, in := drawConstraints(rt), drawInput(rt)
		if !c.license(t).Evaluate(in).Allow {
			return
		}
		without := c
		switch rapid.IntRange(0, 3).Draw(rt, "removed") {
		case 0:
			without.start = 0
		case 1:
			without.hard = 0
		case 2:
			without.count = 0
		default:
			without.end, without.storage, without.interval, without.capped = 0, 0, 0, false
		}
		if d := without.license(t).Evaluate(in); !d.Allow {
			rt.Fatalf("%+v allows, %+v refuses: %+v", c, without, d.Reasons)
		}
	})
}

// Between now and the next change listed, nothing flips. Time runs with the
// power on, so Unsynced grows with it.
func TestEvaluator_E16_I9_FlipsAreListed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lic, in := drawConstraints(rt).license(t), drawInput(rt)
		d := lic.Evaluate(in)
		until := day0 + 300*hour
		if len(d.Next) > 0 {
			until = d.Next[0].At
		}
		if until <= in.Clock.Est {
			rt.Fatalf("next change at %d is not after %d", until, in.Clock.Est)
		}
		for _, now := range []int64{until - 1, rapid.Int64Range(in.Clock.Est, until-1).Draw(rt, "between")} {
			after := in
			after.Clock.Est, after.Clock.Lo = now, now
			after.Clock.Unsynced += now - in.Clock.Est
			if got := lic.Evaluate(after); got.Allow != d.Allow || fmt.Sprint(codes(got)) != fmt.Sprint(codes(d)) {
				rt.Fatalf("at %d %v %v, at %d %v %v; next %+v", in.Clock.Est, d.Allow, codes(d), now, got.Allow, codes(got), d.Next)
			}
		}
	})
}

// allow at end - 1 ms, refuse at end, for each kind of end.
func TestEvaluator_E16_I10_HalfOpenBoundary(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    constraints
		end  int64
		used int64
	}{
		{"END_TIME", constraints{end: 20}, 20 * hour, 0},
		{"STORAGE_DURATION", constraints{storage: 20}, 20 * hour, 0},
		{"HARD_END", constraints{hard: 20}, 20 * hour, 0},
		{"INTERVAL", constraints{interval: 10}, 15 * hour, 5 * hour},
		{"INTERVAL, REPLACE", constraints{interval: 48, end: 20}, 53 * hour, 5 * hour},
		{"INTERVAL, CAP", constraints{interval: 48, end: 20, capped: true}, 20 * hour, 5 * hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lic := tc.c.license(t)
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

// I3, I4 and I8 over random use: what was counted never decreases, the plays
// charged are at most the plays begun, crashes cost at most a slice, and the
// first use is written once.
func TestEvaluator_E16_I3_I4_I8_RandomUse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lic := newLicense(t, "PLAY; PLAY_COUNT=3; INTERVAL=72h", policy(func(p *license.Policy) { p.Duration = 10 * minute }))
		v := newViewer(t, lic, day0)
		begun, first, charged, running := uint64(0), int64(0), uint64(0), false
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"begin", "play", "play", "end", "crash", "wait"}).Draw(rt, "step") {
			case "begin":
				if running {
					v.end()
				}
				if running = v.begin(rapid.Int64Range(0, 10*minute).Draw(rt, "from")).Allow; running {
					begun++
				}
			case "play":
				from := rapid.Int64Range(0, 9*minute).Draw(rt, "at")
				if running {
					open := v.in.State.OpenPlay.ID
					v.play(from, from+rapid.Int64Range(1, 60).Draw(rt, "seconds")*second)
					if v.in.State.OpenPlay.ID != open {
						begun++
					}
				}
			case "end":
				if running {
					v.end()
				}
				running = false
			case "crash":
				v.crash()
				running = false
			default:
				v.wait(rapid.Int64Range(0, 20*hour).Draw(rt, "ms"))
			}
			s := v.in.State
			if plays(s) < charged || plays(s) > begun || plays(s) > 3 || first != 0 && s.FirstUse != first {
				rt.Fatalf("%+v after %d begun, %d charged, first use %d", s, begun, charged, first)
			}
			charged, first = plays(s), s.FirstUse
			b, err := s.Encode()
			if err != nil {
				rt.Fatal(err)
			}
			if back, err := license.ParseState(b); err != nil || cmp.Diff(s, back) != "" {
				rt.Fatalf("state %x: %v", b, err)
			}
		}
	})
}

// I6, I7: whatever is derived in whatever order is narrower, and the parts are
// never more than the whole.
func TestEvaluator_E16_I6_I7_Allowances(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lic := drawConstraints(rt).license(t)
		n := lic.Units().UsageFor(permission.Play)[0].PlayCount
		v := newViewer(t, lic, day0+9*hour)
		var given uint64
		for range 6 {
			plays := rapid.Uint64Range(0, 3).Draw(rt, "plays")
			now := v.now() + rapid.Int64Range(0, 20*hour).Draw(rt, "later")
			v.wait(now - v.now())
			if rapid.Bool().Draw(rt, "watch") && v.begin(0).Allow {
				v.play(0, 70*second)
				v.end()
			}
			info, err := license.Derive(lic, license.Derivation{Device: ident.Device{1}, Plays: plays, Index: v.in.State.NextIndex, Now: v.now(), State: v.in.State})
			if err != nil {
				continue
			}
			if err := license.Narrower(info, lic.Info()); err != nil {
				rt.Fatal(err)
			}
			next, err := lic.Give(v.in.State, license.Share{Plays: plays})
			if err != nil {
				rt.Fatal(err)
			}
			v.in.State = next
			given += plays
		}
		if used := given + v.in.State.Consumed[permission.Play]; n != 0 && used > n {
			rt.Fatalf("%d of %d", used, n)
		}
	})
}
