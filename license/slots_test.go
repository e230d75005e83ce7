package license_test

import (
	"testing"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

func TestEvaluator_E5_SlotsAreTakenOverAndLapse(t *testing.T) {
	tv, tablet, phone := ident.Device{1}, ident.Device{2}, ident.Device{3}
	two := license.ConcurrencyRule{Max: 2}
	var s license.Slots
	begin := func(d ident.Device, r license.ConcurrencyRule, takeover bool, now int64, want bool) {
		t.Helper()
		next, ok := s.Begin(d, r, takeover, now)
		if ok != want {
			t.Fatalf("begin %v at %d: %v, want %v; %+v", d, now, ok, want, s)
		}
		s = next
	}
	beat := func(d ident.Device, now int64, want bool) {
		t.Helper()
		next, ok := s.Beat(d, now)
		if ok != want {
			t.Fatalf("heartbeat of %v at %d: %v, want %v; %+v", d, now, ok, want, s)
		}
		s = next
	}
	begin(tv, two, false, 0, true)
	begin(tablet, two, false, second, true)
	begin(tv, two, false, 2*second, true) // a device has one slot
	begin(phone, two, false, 3*second, false)
	begin(phone, license.ConcurrencyRule{Max: 2, OnFull: license.BlockNew}, true, 3*second, false)
	begin(phone, two, true, 3*second, true) // the oldest is the tablet's now
	beat(tablet, 4*second, false)
	beat(tablet, 5*second, false)
	beat(tv, license.Heartbeat, true)
	begin(tablet, two, false, 2*minute, false)
	begin(tablet, two, false, 3*second+3*minute, true) // the phone's lapsed
	beat(phone, 4*minute, false)
	s = s.End(tv)
	begin(phone, two, false, 4*minute, true)
	if len(s) != 2 {
		t.Fatalf("%+v", s)
	}
}

// What the keeper would do is what the evaluator tells the device beforehand.
func TestEvaluator_E5_KeeperAndEvaluatorAgree(t *testing.T) {
	for _, rule := range []license.ConcurrencyRule{{Max: 1}, {Max: 1, OnFull: license.BlockNew}, {Max: 1, OnFull: license.TakeoverOldest}, {Max: 2}} {
		for _, takeover := range []bool{false, true} {
			for _, now := range []int64{day0 + minute, day0 + 3*minute - 1, day0 + 3*minute} {
				slots, _ := license.Slots(nil).Begin(ident.Device{9}, rule, false, day0)
				lic := newLicense(t, "PLAY", policy(func(p *license.Policy) { p.Concurrency = &rule }))
				in := at(now)
				in.Env.Slots, in.Request.Takeover = slots, takeover
				_, want := slots.Begin(in.Env.Device, rule, takeover, now)
				if d := lic.Evaluate(in); d.Allow != want {
					t.Errorf("%+v, takeover %v, %d ms: evaluator %v, keeper %v", rule, takeover, now-day0, d.Allow, want)
				}
			}
		}
	}
}
