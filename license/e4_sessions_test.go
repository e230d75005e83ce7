package license_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// The last slice is cut to what is left of the total, and no further.
func TestEvaluator_E4_LastSliceOfATotal(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; ACCUMULATED=15s", 2*hour), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 10*second))
	s := v.lic.Extend(v.ses, v.in, license.Fragment{KID: sdKID, Bytes: 1, MediaMS: 10 * second, WallMS: 10 * second})
	if !s.Decision.Allow || s.Slice.MS != 5*second || s.State.Acc != 15*second {
		t.Fatalf("%+v, want the five seconds that are left", s)
	}
	v.take(s)
	v.refused(v.fragment(hdKID, 12_000_000, 0, second), license.TimeExhausted) // twelve seconds at peak rate
	v.wait(5 * second)
	v.refused(v.fragment(sdKID, 1, 0, second), license.TimeExhausted)
}

// By MEDIA a pause costs nothing, and a fragment its own time or its bytes'.
func TestEvaluator_E4_AccumulatedByMedia(t *testing.T) {
	lic := counted(t, "PLAY; ACCUMULATED=30s", 2*hour, func(p *license.Policy) { p.AccumulatedBy = license.AccumulatedMedia })
	v := newViewer(t, lic, day0)
	v.must(v.begin(0))
	v.must(v.fragment(sdKID, 125_000, 0, 2*second))
	if v.durable.Acc != 10*second {
		t.Errorf("a slice ahead: %+v", v.durable)
	}
	v.wait(hour)
	v.must(v.fragment(audioKID, 100, 0, 2*second)) // beside the picture
	v.must(v.fragment(sdKID, 2_000_000, 2*second, 2*second))
	v.end()
	if v.durable.Acc != 8500 { // 2,125,000 bytes at 250,000 a second
		t.Errorf("%d ms, want 8,500", v.durable.Acc)
	}
	v.must(v.begin(0))
	v.must(v.fragment(audioKID, 1, 0, 21_500))
	v.refused(v.fragment(audioKID, 1, 0, 1), license.TimeExhausted)
}

// Under an anchor of level 2 ten minutes are taken at Begin, so that what
// follows needs no anchor; End gives back what was not used.
func TestEvaluator_E4_AdvanceUnderAnAnchor(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; ACCUMULATED=1h", 2*hour), day0)
	v.in.Env.Anchor = 2
	v.must(v.begin(0))
	if v.durable.Acc != 10*minute || v.anchors != 1 {
		t.Fatalf("%+v, %d anchors, want ten minutes and one", v.durable, v.anchors)
	}
	v.must(v.play(0, 9*minute))
	if v.anchors != 2 { // the second is the first use's
		t.Errorf("%d anchors inside the advance", v.anchors)
	}
	v.must(v.play(9*minute, 11*minute))
	if v.durable.Acc != 20*minute || v.anchors != 3 {
		t.Errorf("%+v, %d anchors, want twenty minutes and three", v.durable, v.anchors)
	}
	v.end()
	if v.durable.Acc != 11*minute {
		t.Errorf("%d ms after the end, want eleven minutes", v.durable.Acc)
	}
}

// A counted RENDER takes a unit of its own with each session, charges no play,
// and needs a unit still when its first slice takes it.
func TestEvaluator_E4_CountedRender(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=1; RENDER; PLAY_COUNT=2", 2*hour), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 20*second))
	v.end()
	v.in.Request.Action, v.in.Request.Dest = permission.Render, &license.Dest{Renderer: "tv"}
	v.must(v.begin(0))
	v.must(v.play(0, 2*minute))
	if v.durable.Consumed[permission.Render] != 1 || plays(v.durable) != 0 || v.durable.OpenPlay.Rendered != 20*second {
		t.Errorf("%+v: want one rendering, and the play as it was", v.durable)
	}
	v.end()
	v.must(v.begin(0))
	print := v.in
	print.Request.Form = license.FormPrint
	step := v.lic.Reserve(print)
	v.must(step.Decision)
	v.in.State = step.State
	v.refused(v.fragment(sdKID, 1, 0, second), license.CountExhausted)
}

func TestEvaluator_E4_NothingIsSkipped(t *testing.T) {
	v := newViewer(t, newLicense(t, "PLAY; TIMELINE=NO_SKIP"), day0)
	d := v.begin(second)
	if diff := cmp.Diff([]string{"NO_GRANT/TIMELINE"}, spoken(d)); diff != "" {
		t.Fatal(diff)
	}
	v.must(v.begin(0))
	v.must(v.fragment(sdKID, 1, 0, second))
	v.must(v.fragment(sdKID, 1, 11*second, second)) // a slice behind the furthest point
	d = v.fragment(sdKID, 1, 22*second+1, second)
	if diff := cmp.Diff([]string{"NO_GRANT/TIMELINE"}, spoken(d)); diff != "" {
		t.Error(diff)
	}
	v.end()
	if v.durable.Seen != 12*second {
		t.Errorf("seen %d, want 12 s", v.durable.Seen)
	}
	v.must(v.begin(12 * second))
}

// A session that was never begun can be ended: nothing comes of it.
func TestEvaluator_E4_EndOfNothing(t *testing.T) {
	lic := counted(t, "PLAY; PLAY_COUNT=1", hour)
	if step := lic.End(license.Session{}, at(day0), 5); step.Commit || !step.Decision.Allow {
		t.Errorf("%+v", step)
	}
}

// Keys without a rate are free of charge where only the clock counts.
func TestEvaluator_E4_IntervalNeedsNoRate(t *testing.T) {
	v := newViewer(t, newLicense(t, "PLAY; INTERVAL=48h", func(i *license.Info) { i.Keys[1].BPS = 0 }), day0)
	v.must(v.begin(0))
	v.must(v.play(0, 20*second))
	v.must(v.fragment(hdKID, 1, 0, second))
	if v.durable.FirstUse != 0 || v.durable.Pending != 30*second {
		t.Errorf("%+v, want 30 s pending", v.durable)
	}
}

// A fragment larger than everything is refused, not wrapped.
func TestEvaluator_E4_HugeFragment(t *testing.T) {
	v := newViewer(t, counted(t, "PLAY; ACCUMULATED=1h", hour, func(*license.Policy) {}), day0)
	v.lic = newLicense(t, "PLAY; ACCUMULATED=1h", func(i *license.Info) { i.Keys[0].BPS = 1 })
	v.must(v.begin(0))
	v.refused(v.fragment(audioKID, 1<<62, 0, second), license.TimeExhausted)
	for range 3 { // the bytes of a track add up
		v.fragment(audioKID, 1<<62, 0, second)
	}
	if v.in.State.Acc > hour {
		t.Errorf("%d ms", v.in.State.Acc)
	}
}

// Begin is for uses, asks for consent, and makes it durable (E18).
func TestEvaluator_E18_Consent(t *testing.T) {
	lic := newLicense(t, "PLAY; MOVE=ANY", policy(func(p *license.Policy) {
		p.Report = &license.ReportRule{What: license.ReportMinutes, To: "the shop", Until: day0 + day}
	}))
	in := at(day0)
	d := lic.Evaluate(in)
	want := []license.Confirm{{Kind: license.Metered, Until: day0 + day, What: "MINUTES", To: "the shop"}}
	if diff := cmp.Diff(want, d.Confirm); diff != "" || d.ValidUntil != day0+day {
		t.Errorf("%+v: %s", d, diff)
	}
	if step := lic.Begin(in); step.Decision.Allow || !step.Decision.Has(license.NeedsConfirm) {
		t.Errorf("without consent: %+v", step.Decision)
	}
	in.Request.Consent = true
	step := lic.Begin(in)
	if !step.Decision.Allow || !step.Commit || !step.State.Consented {
		t.Errorf("with consent: %+v", step)
	}
	in.State, in.Request.Consent = step.State, false
	if step := lic.Begin(in); !step.Decision.Allow || step.Commit || step.Decision.Confirm != nil {
		t.Errorf("it is remembered: %+v", step)
	}
	in = at(day0 + day)
	if d := lic.Evaluate(in); !d.Allow || d.Confirm != nil {
		t.Errorf("no reports any more: %+v", d)
	}
	handled(permission.Move)(&in)
	if step := lic.Begin(in); step.Decision.Allow {
		t.Errorf("MOVE is no session: %+v", step)
	}
	in.Request.Dest = nil
	if step := lic.Begin(in); step.Decision.Allow {
		t.Errorf("MOVE is refused, too: %+v", step)
	}
}

// A rendition begins an INTERVAL at once.
func TestEvaluator_E4_RenditionBeginsAnInterval(t *testing.T) {
	lic := newLicense(t, "RENDER; INTERVAL=48h")
	in := at(day0)
	in.Request.Action, in.Request.Form = permission.Render, license.FormStill
	step := lic.Reserve(in)
	if !step.Decision.Allow || step.State.FirstUse != day0 || !step.Commit || !step.Anchor {
		t.Fatalf("%+v, want the first use", step)
	}
	in.State = step.State
	in.Clock.Est += hour
	if again := lic.Reserve(in); again.Commit || again.State.FirstUse != day0 {
		t.Errorf("%+v, want nothing changed", again)
	}
}

// A renewal takes a running session over, where it has the unit and the keys.
func TestEvaluator_E5_CarryASession(t *testing.T) {
	old := newLicense(t, "PLAY; PART=01; PLAY")
	v := newViewer(t, old, day0)
	v.must(v.begin(0))
	for _, tc := range []struct {
		name, text string
		edit       func(i *license.Info)
		ok         bool
	}{
		{"the same", "PLAY; PART=01; PLAY", func(*license.Info) {}, true},
		{"another order", "PLAY; PLAY; PART=01", func(*license.Info) {}, true},
		{"without the unit", "PLAY; PART=01", func(*license.Info) {}, false},
		{"without a key", "PLAY", func(i *license.Info) { i.Keys = i.Keys[:2] }, false},
	} {
		next := newLicense(t, tc.text, func(i *license.Info) { i.Version = 2; tc.edit(i) })
		ses, ok := next.Carry(old, v.ses)
		if ok != tc.ok {
			t.Errorf("%s: %v", tc.name, ok)
		}
		if !ok {
			continue
		}
		if step := next.Extend(ses, v.in, license.Fragment{KID: sdKID, Bytes: 1}); !step.Decision.Allow {
			t.Errorf("%s: %+v", tc.name, step.Decision)
		}
	}
	if _, ok := old.Carry(old, license.Session{KIDs: []ident.Key{sdKID}}); ok {
		t.Error("a session that was never begun is carried")
	}
}

// What a license says of thresholds and tails takes the place of the defaults.
func TestEvaluator_E3_E4_OwnThresholdsAndTails(t *testing.T) {
	for _, tc := range []struct {
		name     string
		edit     func(p *license.Policy)
		duration int64
		tail     int64 // behind an end that is crossed at the start of the content
	}{
		{"its own tail", func(p *license.Policy) { p.FinishTail = new(minute) }, 2 * hour, minute},
		{"none", func(p *license.Policy) { p.FinishTail = new(int64(0)) }, 2 * hour, 0},
		{"by the film", func(*license.Policy) {}, 2 * hour, 3*hour - 3*second/2},
		{"of a film that nobody measured", func(*license.Policy) {}, 0, 4 * hour},
	} {
		v := newViewer(t, counted(t, "PLAY; END_TIME=2026-01-01T01:00:00Z", tc.duration, tc.edit), day0+hour-second)
		v.must(v.begin(0))
		v.must(v.fragment(sdKID, 1, 0, second))
		v.wait(second)
		if d := v.fragment(sdKID, 1, 0, second); d.Allow != (tc.tail > 0) || d.Allow && v.ses.TailUntil != day0+hour+tc.tail {
			t.Errorf("%s: %+v, the tail ends %d behind the end", tc.name, d, v.ses.TailUntil-day0-hour)
		}
	}
	v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=1; INTERVAL=48h", 2*hour, func(p *license.Policy) {
		p.CountThreshold, p.FirstUseThreshold = 25*second, new(5*second)
	}), day0)
	v.must(v.begin(0))
	v.must(v.play(0, second))
	if v.durable.FirstUse != day0 || plays(v.durable) != 0 {
		t.Errorf("the first slice: %+v, want the first use and no charge", v.durable)
	}
	v.must(v.play(second, 21*second))
	if plays(v.durable) != 1 {
		t.Errorf("the third slice: %+v, want a charge", v.durable)
	}
	film := newLicense(t, "PLAY; ACCUMULATED=1h; CHARGE=LOAN") // without duration_ms
	if d := film.Evaluate(at(day0)); !d.Allow {
		t.Errorf("%+v", d)
	}
}
