package license_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func dest(f func(d *license.Dest)) func(in *license.Input) {
	return func(in *license.Input) { f(in.Request.Dest) }
}

func TestEvaluator_E8_Copies(t *testing.T) {
	copying := func(more ...func(in *license.Input)) func(in *license.Input) {
		return handled(permission.Copy, more...)
	}
	generation := func(n uint64) func(in *license.Input) { return func(in *license.Input) { in.State.CopyGeneration = n } }
	rule := func(r license.CopyRule) func(i *license.Info) { return func(i *license.Info) { i.Policy.Copy = &r } }
	listed := rule(license.CopyRule{Dests: license.DestList, List: []ident.Device{phone}})
	toDomain := rule(license.CopyRule{Dests: license.DestList, List: []ident.Device{ident.Device(domain)}})
	noDest := []string{"DEST_NOT_ALLOWED/DEST"}
	askAll(t, []ask{
		{"free", "PLAY; COPY=FREE", nil, copying(), nil},
		{"not granted", "PLAY", nil, copying(), []string{"NO_GRANT/COPY BUY"}},
		{"no more", "PLAY; COPY=NO_MORE", nil, copying(), []string{"GENERATION/COPY"}},
		{"no more, but it may move", "PLAY; COPY=NO_MORE; MOVE=ANY", nil, copying(), []string{"GENERATION/COPY MOVE_INSTEAD"}},
		{"never", "PLAY; COPY=NEVER", nil, copying(), []string{"NO_GRANT/COPY BUY"}},
		{"a copy of a copy", "PLAY; COPY=FREE", nil, copying(generation(1)), []string{"GENERATION/MAX_GENERATION"}},
		{"a copy of a copy, granted", "PLAY; COPY=FREE; MAX_GENERATION=2", nil, copying(generation(1)), nil},
		{"once", "PLAY; COPY=ONCE", nil, copying(), nil},
		{"twice of once", "PLAY; COPY=ONCE", nil, copying(consumed(permission.Copy, 1)), []string{"COUNT_EXHAUSTED/COPY_COUNT BUY"}},
		{"counted, in progress", "PLAY; COPY=COUNTED; COPY_COUNT=2", nil, copying(consumed(permission.Copy, 1), func(in *license.Input) {
			in.State.Reserved = map[permission.Permission]uint64{permission.Copy: 1}
		}), []string{"COUNT_EXHAUSTED/COPY_COUNT BUY"}},
		{"counted, handed on", "PLAY; COPY=COUNTED; COPY_COUNT=2; MOVE=ANY", nil, copying(generation(1), func(in *license.Input) {
			in.State.Given = map[permission.Permission]uint64{permission.Copy: 2}
		}), []string{"COUNT_EXHAUSTED/COPY_COUNT MOVE_INSTEAD", "GENERATION/MAX_GENERATION MOVE_INSTEAD"}},
		{"nowhere", "PLAY; COPY=FREE", nil, copying(func(in *license.Input) { in.Request.Dest = nil }), noDest},
		{"to another household", "PLAY; COPY=FREE", nil, copying(dest(func(d *license.Dest) { d.Domain = elsewhere })), noDest},
		{"to none", "PLAY; COPY=FREE", nil, copying(dest(func(d *license.Dest) { d.Domain = ident.Domain{} })), noDest},
		{
			"a device's license, in its household", "PLAY; COPY=FREE", func(i *license.Info) { i.Subject = license.DeviceSubject(ident.Device{}); i.Subject.ID[0] = 1 },
			copying(func(in *license.Input) { in.Env.Device = ident.Device{1} }), nil,
		},
		{
			"a device's license, elsewhere", "PLAY; COPY=FREE", func(i *license.Info) { i.Subject = license.DeviceSubject(ident.Device{1}) },
			copying(func(in *license.Input) { in.Env.Device, in.Request.Dest.Domain = ident.Device{1}, elsewhere }), noDest,
		},
		{"anywhere", "PLAY; COPY=FREE", rule(license.CopyRule{Dests: license.DestAny}), copying(dest(func(d *license.Dest) { d.Domain = elsewhere })), nil},
		{"to a listed device", "PLAY; COPY=FREE", listed, copying(dest(func(d *license.Dest) { d.Device = phone })), nil},
		{"to a listed household", "PLAY; COPY=FREE", toDomain, copying(), nil},
		{"to what is not listed", "PLAY; COPY=FREE", listed, copying(), noDest},
		{"agreed by the household", "PLAY; COPY=FREE", rule(license.CopyRule{Countersign: license.CountersignDomain}), copying(), nil},
		{"not agreed by the issuer", "PLAY; COPY=FREE", rule(license.CopyRule{Countersign: license.CountersignIssuer}), copying(), []string{"DEST_NOT_ALLOWED/COUNTERSIGN CONTACT"}},
		{"agreed by nobody", "PLAY; COPY=FREE", rule(license.CopyRule{Countersign: license.CountersignDomain}), copying(func(in *license.Input) { in.Request.Countersigned = 0 }), []string{"DEST_NOT_ALLOWED/COUNTERSIGN CONTACT"}},
		{"to a weak module", "PLAY; COPY=FREE", policy(func(p *license.Policy) { p.MinLevel = 2 }), copying(), []string{"TREM_LEVEL/DEST_LEVEL"}},
		{"to a weak vault", "PLAY; COPY=FREE; PLAY_COUNT=1", nil, copying(dest(func(d *license.Dest) { d.Anchor = 0 })), []string{"TREM_LEVEL/DEST_ANCHOR"}},
	})
}

// Dubbing 10 says what is left.
func TestEvaluator_E8_CopiesLeft(t *testing.T) {
	a := ask{text: "PLAY; COPY=COUNTED; COPY_COUNT=9; MOVE=ANY", in: handled(permission.Copy, consumed(permission.Copy, 4))}
	if d := a.decide(t); d.Counters.CopiesLeft == nil || *d.Counters.CopiesLeft != 5 {
		t.Errorf("%+v, want 5 left", d.Counters)
	}
}

func TestEvaluator_E9_Move(t *testing.T) {
	moving := func(more ...func(in *license.Input)) func(in *license.Input) {
		return handled(permission.Move, more...)
	}
	away := dest(func(d *license.Dest) { d.Domain = elsewhere })
	askAll(t, []ask{
		{"in the household", "PLAY; MOVE=DOMAIN", nil, moving(), nil},
		{"out of it", "PLAY; MOVE=DOMAIN", nil, moving(away), []string{"DEST_NOT_ALLOWED/DEST"}},
		{"anywhere", "PLAY; MOVE=ANY", nil, moving(away), nil},
		{"before the start", "PLAY; MOVE=ANY; START_TIME=2026-02-01T00:00:00Z", nil, moving(), nil},
		{"after the end", "PLAY; MOVE=ANY; END_TIME=2026-01-05T00:00:00Z", nil, moving(), []string{"EXPIRED/END_TIME BUY"}},
		{"while one unit lasts", "PLAY; MOVE=ANY; END_TIME=2026-01-05T00:00:00Z; PLAY; PART=01", nil, moving(), nil},
		{"the first lasts longest", "PLAY; PLAY; PART=01; END_TIME=2026-01-05T00:00:00Z; MOVE=ANY", nil, moving(), nil},
		{"without a use", "MOVE=ANY", nil, moving(), nil},
	})
}

func TestEvaluator_E10_Transfer(t *testing.T) {
	giving := func(more ...func(in *license.Input)) func(in *license.Input) {
		return handled(permission.Transfer, more...)
	}
	last := func(hours int64) func(in *license.Input) {
		return func(in *license.Input) { in.State.LastTransfer = in.Clock.Est - hours*hour }
	}
	rule := func(r license.TransferRule) func(i *license.Info) {
		return func(i *license.Info) { i.Policy.Transfer = &r }
	}
	askAll(t, []ask{
		{"to another household", "PLAY; TRANSFER=1", nil, giving(dest(func(d *license.Dest) { d.Domain = elsewhere })), nil},
		{"used up", "PLAY; TRANSFER=1", nil, giving(consumed(permission.Transfer, 1)), []string{"COUNT_EXHAUSTED/TRANSFER BUY"}},
		{"too soon", "PLAY; TRANSFER=2", nil, giving(last(23)), []string{"NOT_YET/TRANSFER_COOLDOWN WAIT_UNTIL"}},
		{"a day later", "PLAY; TRANSFER=2", nil, giving(last(24)), nil},
		{"a cooldown of its own", "PLAY; TRANSFER=2", rule(license.TransferRule{Cooldown: 48 * hour}), giving(last(24)), []string{"NOT_YET/TRANSFER_COOLDOWN WAIT_UNTIL"}},
		{"nobody agreed", "PLAY; TRANSFER=1", nil, giving(func(in *license.Input) { in.Request.Countersigned = 0 }), []string{"DEST_NOT_ALLOWED/COUNTERSIGN CONTACT"}},
		{"nobody needs to", "PLAY; TRANSFER=1", rule(license.TransferRule{Countersign: license.CountersignNone}), giving(func(in *license.Input) { in.Request.Countersigned = 0 }), nil},
	})
	a := ask{text: "PLAY; TRANSFER=2", in: giving(last(23))}
	if d := a.decide(t); d.Reasons[0].Earliest != day0+10*day+hour || cmp.Diff([]license.Change{{At: day0 + 10*day + hour, Change: "COOLDOWN"}}, d.Next) != "" {
		t.Errorf("%+v, want in an hour", d)
	}
}

func TestEvaluator_E11_Lend(t *testing.T) {
	lending := func(more ...func(in *license.Input)) func(in *license.Input) {
		return handled(permission.Lend, more...)
	}
	lasting := func(ms int64) func(in *license.Input) { return func(in *license.Input) { in.Request.For = ms } }
	rule := func(r license.LendRule) func(i *license.Info) { return func(i *license.Info) { i.Policy.Lend = &r } }
	open := func(charged bool) func(in *license.Input) {
		return func(in *license.Input) { in.State.OpenPlay = &license.OpenPlay{ID: 1, Charged: charged} }
	}
	tooLong, none := []string{"NO_GRANT/LEND_TIME"}, []string{"COUNT_EXHAUSTED/PLAY_COUNT BUY"}
	askAll(t, []ask{
		{"to anybody", "PLAY; LEND", nil, lending(dest(func(d *license.Dest) { d.Domain = elsewhere })), nil},
		{"in the household only", "PLAY; LEND", rule(license.LendRule{Dests: license.DestDomain}), lending(dest(func(d *license.Dest) { d.Domain = elsewhere })), []string{"DEST_NOT_ALLOWED/DEST"}},
		{"out already", "PLAY; LEND", nil, lending(func(in *license.Input) { in.State.Loan = &license.Loan{Until: in.Clock.Est + day} }), []string{"LENT_OUT/LEND_COUNT WAIT_UNTIL"}},
		{"14 days", "PLAY; LEND", nil, lending(lasting(14 * day)), nil},
		{"longer", "PLAY; LEND", nil, lending(lasting(14*day + 1)), tooLong},
		{"no time", "PLAY; LEND", nil, lending(lasting(0)), tooLong},
		{"a time of its own", "PLAY; LEND; LEND_TIME=1h", nil, lending(lasting(2 * hour)), tooLong},
		{"the longer of two", "PLAY; LEND; LEND_TIME=1h; LEND; LEND_TIME=3h", nil, lending(lasting(2 * hour)), nil},
		{"one of two plays", "PLAY; PLAY_COUNT=2; LEND", nil, lending(consumed(permission.Play, 1)), nil},
		{"the last one is open", "PLAY; PLAY_COUNT=2; LEND", nil, lending(consumed(permission.Play, 1), open(false)), none},
		{"the open one is charged", "PLAY; PLAY_COUNT=2; LEND", nil, lending(consumed(permission.Play, 1), open(true)), nil},
		{"two are lent", "PLAY; PLAY_COUNT=2; LEND", rule(license.LendRule{Plays: 2}), lending(consumed(permission.Play, 1)), none},
	})
}

func TestEvaluator_E12_Export(t *testing.T) {
	leaving := func(system string, clear bool) func(in *license.Input) {
		return handled(permission.Export, dest(func(d *license.Dest) { d.System, d.Clear = system, clear }))
	}
	bare := []string{"DEST_NOT_ALLOWED/ENCRYPTION"}
	askAll(t, []ask{
		{"named", "PLAY; EXPORT=hls", nil, leaving("hls", false), nil},
		{"not named", "PLAY; EXPORT=hls", nil, leaving("clearkey", false), []string{"DEST_NOT_ALLOWED/EXPORT"}},
		{"nowhere", "PLAY; EXPORT=hls", nil, handled(permission.Export, func(in *license.Input) { in.Request.Dest = nil }), []string{"DEST_NOT_ALLOWED/EXPORT"}},
		{"in the clear", "PLAY; EXPORT=hls", nil, leaving("hls", true), bare},
		{"in the clear, kept", "PLAY; EXPORT=hls; ENCRYPTION=KEEP", nil, leaving("hls", true), bare},
		{"in the clear, released", "PLAY; EXPORT=hls; ENCRYPTION=RELEASE", nil, leaving("hls", true), nil},
	})
}

// Reserve takes one unit before anything leaves; what came of it is consumed or
// given back (E4).
func TestEvaluator_E4_ReserveCommitRelease(t *testing.T) {
	lic := newLicense(t, "PLAY; RENDER; PLAY_COUNT=1; COPY=COUNTED; COPY_COUNT=2; TRANSFER=1; MOVE=ANY", policy(func(p *license.Policy) { p.Duration = hour }))
	for _, p := range []permission.Permission{permission.Copy, permission.Transfer, permission.Render} {
		in := at(day0)
		handled(p)(&in)
		in.Request.Form = license.FormStill
		step := lic.Reserve(in)
		if !step.Decision.Allow || !step.Commit || !step.Anchor || step.State.Reserved[p] != 1 || step.State.Ver != 1 {
			t.Fatalf("%v: %+v", p, step)
		}
		done, err := step.State.Commit(p, day0+1)
		if err != nil || done.Consumed[p] != 1 || done.Reserved != nil || (done.LastTransfer != 0) != (p == permission.Transfer) {
			t.Errorf("%v done: %+v (%v)", p, done, err)
		}
		if back, err := step.State.Release(p); err != nil || back.Reserved != nil || back.Consumed != nil {
			t.Errorf("%v released: %+v (%v)", p, back, err)
		}
		if _, err := done.Release(p); err == nil {
			t.Errorf("%v released after it was done", p)
		}
		if _, err := done.Commit(p, day0); err == nil {
			t.Errorf("%v done twice", p)
		}
	}
	two := license.State{Reserved: map[permission.Permission]uint64{permission.Copy: 2, permission.Transfer: 1}}
	one, err := two.Release(permission.Copy)
	if err != nil || one.Reserved[permission.Copy] != 1 || one.Reserved[permission.Transfer] != 1 {
		t.Errorf("one of two released: %+v (%v)", one, err)
	}
	in := at(day0)
	handled(permission.Move)(&in)
	if step := lic.Reserve(in); !step.Decision.Allow || step.Commit {
		t.Errorf("MOVE has no count: %+v", step)
	}
	for _, p := range []permission.Permission{permission.Play, permission.Render} {
		in.Request.Action, in.Request.Dest.Renderer = p, "tv"
		if step := lic.Reserve(in); step.Decision.Allow {
			t.Errorf("%v is a session: %+v", p, step.Decision)
		}
	}
}
