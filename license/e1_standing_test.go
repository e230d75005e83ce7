package license_test

import (
	"math"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func TestEvaluator_E1_Standing(t *testing.T) {
	compromise := func(epoch uint64) func(in *license.Input) {
		return func(in *license.Input) { in.Env.CompromisedEpoch, in.Env.AcceptedEpoch = epoch, 5 }
	}
	tx := &license.Tx{ID: ident.Transfer{Seq: 1}}
	relayed := func(level uint8, unsynced int64) func(in *license.Input) {
		return func(in *license.Input) { in.Clock.Relayed, in.Clock.Unsynced = level, unsynced }
	}
	ages := func(age int64) func(in *license.Input) { return func(in *license.Input) { in.Env.StatusAge = age } }
	askAll(t, []ask{
		{"V24: compromised at acceptance", "PLAY", nil, compromise(5), []string{"BAD_SIGNATURE/KEY_COMPROMISE CONTACT"}},
		{"V24: compromised later", "PLAY", nil, compromise(6), nil},
		{"sunset", "PLAY", nil, func(in *license.Input) { in.Env.SunsetAt = in.Clock.Est }, []string{"SUNSET/SUNSET warns"}},
		{"sunset to come", "PLAY", nil, func(in *license.Input) { in.Env.SunsetAt = in.Clock.Est + 1 }, nil},
		{"old status", "PLAY", func(i *license.Info) { i.RevMaxAge = day }, ages(day), nil},
		{"older status", "PLAY", func(i *license.Info) { i.RevMaxAge = day }, ages(day + 1), []string{"STATUS_STALE/REV_MAX_AGE RENEW warns"}},
		{"escrow", "PLAY", nil, func(in *license.Input) { in.State.Phase, in.State.Tx = license.Escrow, tx }, []string{"LOCKED_IN_MOVE/PHASE RESUME_MOVE"}},
		{"lent", "PLAY", nil, func(in *license.Input) { in.State.Phase, in.State.Loan = license.Lent, &license.Loan{Until: 1} }, []string{"LENT_OUT/PHASE WAIT_UNTIL"}},
		{"not closed, RENDER", "RENDER", nil, func(in *license.Input) {
			in.Request.Action, in.Request.Form, in.State.Tx = permission.Render, license.FormText, &license.Tx{Unconfirmed: true}
		}, []string{"LOCKED_IN_MOVE/UNCONFIRMED RESUME_MOVE"}},
		{"RENDER on nothing", "RENDER", nil, func(in *license.Input) { in.Request.Action = permission.Render }, []string{"DEST_NOT_ALLOWED/RENDERER"}},
		{"RENDER somewhere", "RENDER", nil, func(in *license.Input) { in.Request.Action, in.Request.Dest = permission.Render, &license.Dest{} }, []string{"DEST_NOT_ALLOWED/RENDERER"}},
		{"levels that nobody knows", "PLAY", func(i *license.Info) { i.Policy.MinLevel = 3 }, func(in *license.Input) { in.Env.Level, in.Env.Anchor = 9, 9 }, nil},
		{"V29: relayed by SL1", "PLAY; END_TIME=2026-02-01T00:00:00Z", nil, relayed(1, 48*hour), nil},
		{"V29: relayed by SL1, for SL2", "PLAY; END_TIME=2026-02-01T00:00:00Z", func(i *license.Info) { i.Policy.MinLevel = 2 }, func(in *license.Input) { relayed(1, 48*hour)(in); in.Env.Level = 2 }, []string{"CLOCK_STALE/CLOCK_GRACE SYNC_TIME"}},
		{"grace of a live stream", "PLAY; USAGE_CLASS=LIVE; END_TIME=2026-02-01T00:00:00Z", nil, func(in *license.Input) { in.Clock.Q, in.Clock.Unsynced = license.Free, 1 }, []string{"CLOCK_STALE/CLOCK_GRACE SYNC_TIME"}},
		{"a subscription is over", "PLAY; CHARGE=SUBSCRIPTION; END_TIME=2026-01-02T00:00:00Z", nil, nil, []string{"EXPIRED/END_TIME RENEW"}},
		{"recovery is over", "PLAY; END_TIME=2026-01-02T00:00:00Z", func(i *license.Info) { i.Policy.Renew = &license.RenewRule{} }, nil, []string{"EXPIRED/RECOVERY BUY"}},
	})
	// A level beyond the last one is printed, not looked up.
	a := ask{text: "PLAY; PLAY_COUNT=1", edit: func(i *license.Info) { i.Policy.MinAnchor = new(uint64(2)); i.Policy.MinLevel = 3 }, in: func(in *license.Input) { in.Env.Level, in.Env.Anchor = 0, 0 }}
	d := a.decide(t)
	if d.Reasons[0].Have != "SL0" || d.Reasons[1].Have != "A0" {
		t.Errorf("%+v", d.Reasons)
	}
}

// A unit with PART covers a request for it, one without covers every request;
// the cheapest that allows is used (E2).
func TestEvaluator_E2_PartsAndAlternatives(t *testing.T) {
	part := func(p byte) func(in *license.Input) { return func(in *license.Input) { in.Request.Part = []byte{p} } }
	used := func(in *license.Input) { part(1)(in); consumed(permission.Play, 1)(in) }
	askAll(t, []ask{
		{"another part", "PLAY; PART=01", nil, part(2), []string{"NO_GRANT/PART BUY"}},
		{"the whole of parts", "PLAY; PART=01; PLAY; PART=02", nil, nil, []string{"NO_GRANT/PART BUY"}},
		{"the part", "PLAY; PART=01; PLAY; PART=02", nil, part(2), nil},
		{"the part or the whole", "PLAY; END_TIME=2026-01-02T00:00:00Z; PLAY; PART=01; PLAY; PART=02; END_TIME=2026-01-02T00:00:00Z", nil, part(1), nil},
		{"the cheaper of two", "PLAY; PLAY_COUNT=1; PLAY; PART=01", nil, used, nil},
		{"the one with fewer reasons", "PLAY; END_TIME=2026-01-02T00:00:00Z; PLAY; PART=01; START_TIME=2026-02-01T00:00:00Z; PLAY_COUNT=1", nil, used, []string{"EXPIRED/END_TIME BUY"}},
		{"warnings do not count", "PLAY; RESOLUTION<=576p; PLAY; PART=01; END_TIME=2026-01-02T00:00:00Z", nil, part(1), []string{"OUTPUT/HD warns"}},
		{"what would start an interval comes last", "PLAY; INTERVAL=1h; PLAY; PART=01", nil, part(1), nil},
	})
	d := ask{text: "PLAY; INTERVAL=1h; PLAY; PART=01", in: part(1)}.decide(t)
	if len(d.Confirm) != 0 {
		t.Errorf("%+v: a unit without state is there", d)
	}
}

// What is not known concerns handling as it concerns use.
func TestEvaluator_E2_UnknownInHandling(t *testing.T) {
	other := func(i *license.Info) { i.Policy.Other = map[uint64]wire.RawMessage{99: {1}, 98: {1}} }
	askAll(t, []ask{
		{"policy", "PLAY; MOVE=ANY", other, handled(permission.Move), []string{"UNKNOWN_CRITICAL/policy 99 CONTACT"}},
		{"a use", "PLAY; X.10.7F=01; MOVE=ANY", nil, handled(permission.Move), nil},
		{"the management unit", "PLAY; MOVE=ANY; X.30.7F=01", nil, handled(permission.Move), []string{"UNKNOWN_CRITICAL/unit 0x30 item 0x7f CONTACT"}},
	})
}

// The generation of a copy is its parent link's, or its state's where that is higher (E8).
func TestEvaluator_E8_GenerationOfACopy(t *testing.T) {
	linked := func(i *license.Info) { i.Parent = &license.Parent{Kind: license.KindCopy, CopyGeneration: 1} }
	askAll(t, []ask{
		{"of the link", "PLAY; COPY=FREE; MAX_GENERATION=2", linked, handled(permission.Copy), nil},
		{"of the state", "PLAY; COPY=FREE; MAX_GENERATION=2", linked, handled(permission.Copy, func(in *license.Input) { in.State.CopyGeneration = 2 }), []string{"GENERATION/MAX_GENERATION"}},
	})
}

// Sums saturate: a time beyond all times is never.
func TestEvaluator_P2_SumsSaturate(t *testing.T) {
	in := at(day0).After(math.MaxInt64)
	if in.Clock.Est != math.MaxInt64 || in.Clock.Unsynced != math.MaxInt64 {
		t.Fatalf("%+v, want never", in.Clock)
	}
	if d := newLicense(t, "PLAY; END_TIME=2026-02-01T00:00:00Z").Evaluate(in); d.Allow || !d.Has(license.Expired) {
		t.Errorf("%+v, want EXPIRED", d)
	}
}
