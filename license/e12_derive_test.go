package license_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// derivation is a row: what a child says, or why there is none.
type derivation struct {
	name string
	text string
	edit func(p *license.Policy)
	d    license.Derivation
	want string // the child's text form
	fail string // or what the error says
}

func (r derivation) parent(t *testing.T) *license.License {
	return inspect(t, newInfo(t, r.text, func(i *license.Info) {
		i.Policy.Duration = 2 * hour
		if r.edit != nil {
			r.edit(&i.Policy)
		}
	}))
}

func (r derivation) check(t *testing.T, info *license.Info, err error) {
	t.Helper()
	if r.fail != "" {
		if err == nil || !strings.Contains(err.Error(), r.fail) {
			t.Errorf("%s: got %v, want an error about %q", r.name, err, r.fail)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
		return
	}
	u, err := info.Units()
	if err != nil || u.Text() != r.want {
		t.Errorf("%s: got %s (%v), want %s", r.name, u.Text(), err, r.want)
	}
}

func deriveAll(t *testing.T, kind license.DerivedKind, table []derivation) {
	t.Helper()
	for _, r := range table {
		r.d.Kind, r.d.Device, r.d.Now = kind, phone, max(r.d.Now, day0+day)
		info, err := license.Derive(r.parent(t), r.d)
		r.check(t, info, err)
	}
}

const later = "; END_TIME=2026-02-01T00:00:00Z"

func TestEvaluator_E8_DeriveCopies(t *testing.T) {
	rule := func(r license.CopyRule) func(p *license.Policy) { return func(p *license.Policy) { p.Copy = &r } }
	less := rule(license.CopyRule{Child: license.ChildInheritLess})
	custom := func(text string) func(p *license.Policy) {
		return rule(license.CopyRule{Child: license.ChildCustom, Code: code(t, text)})
	}
	used := license.State{Consumed: map[permission.Permission]uint64{permission.Play: 1, permission.Copy: 3}, FirstUse: day0 + hour}
	deriveAll(t, license.KindCopy, []derivation{
		{"plain", "PLAY; COPY=FREE; MOVE=ANY", nil, license.Derivation{}, "PLAY; COPY=NO_MORE; MOVE=ANY", ""},
		{"not granted", "PLAY", nil, license.Derivation{}, "", "no COPY"},
		{"not any more", "PLAY; COPY=NO_MORE", nil, license.Derivation{}, "", "no COPY"},
		{"may not move", "PLAY; COPY=FREE; MOVE=ANY", rule(license.CopyRule{NoChildMove: true}), license.Derivation{}, "PLAY; COPY=NO_MORE", ""},
		{"with a part of the count", "PLAY; COPY=COUNTED; COPY_COUNT=4; MAX_GENERATION=2", less, license.Derivation{Copies: 2, Index: 1}, "PLAY; COPY=COUNTED; COPY_COUNT=2; MAX_GENERATION=2", ""},
		{"with none of it", "PLAY; COPY=COUNTED; COPY_COUNT=4; MAX_GENERATION=2", less, license.Derivation{}, "PLAY; COPY=NO_MORE; MAX_GENERATION=2", ""},
		{"with too much of it", "PLAY; COPY=COUNTED; COPY_COUNT=4", less, license.Derivation{Copies: 2, State: used}, "", "2 copies to hand on"},
		{"free for all", "PLAY; COPY=FREE; MAX_GENERATION=2", less, license.Derivation{}, "PLAY; COPY=FREE; MAX_GENERATION=2", ""},
		{"a code of its own", "PLAY; COPY=FREE; MOVE=ANY", custom("PLAY; END_TIME=2026-02-01T00:00:00Z"), license.Derivation{}, "PLAY" + later + "; COPY=NO_MORE", ""},
		{"a code with management", "PLAY; COPY=FREE; MOVE=ANY", custom("PLAY; MOVE=DOMAIN"), license.Derivation{}, "PLAY; MOVE=DOMAIN", ""},
		{"a code that says more", "PLAY; COPY=FREE", custom("PLAY; RENDER"), license.Derivation{}, "", "wider"},
		{"plays are split", "PLAY; PLAY_COUNT=3; COPY=FREE", nil, license.Derivation{Plays: 2, State: used}, "PLAY; PLAY_COUNT=2; COPY=NO_MORE", ""},
		{"plays are each one's own", "PLAY; PLAY_COUNT=3; COPY=FREE", rule(license.CopyRule{PerInstance: true}), license.Derivation{State: used}, "PLAY; PLAY_COUNT=3; COPY=NO_MORE", ""},
		{"the interval runs", "PLAY; INTERVAL=48h; COPY=FREE", nil, license.Derivation{State: used}, "PLAY; END_TIME=2026-01-03T01:00:00Z; COPY=NO_MORE", ""},
	})
	if info, err := license.Derive(derivation{text: "PLAY; COPY=FREE"}.parent(t), license.Derivation{Kind: license.KindCopy, Now: day0}); err != nil || info.Parent.CopyGeneration != 1 || info.Subject != license.DomainSubject(domain, 1) {
		t.Errorf("%+v (%v), want the first generation for the same household", info, err)
	}
	own := newLicense(t, "PLAY; COPY=FREE", func(i *license.Info) { i.Subject = license.DeviceSubject(ident.Device{5}) })
	if info, err := license.Derive(own, license.Derivation{Kind: license.KindCopy, Device: phone, Now: day0}); err != nil || info.Subject != license.DeviceSubject(phone) {
		t.Errorf("%+v (%v), want a license for the other device", info, err)
	}
	broken := inspect(t, newInfo(t, "PLAY; COPY=FREE", policy(func(p *license.Policy) { p.Copy = &license.CopyRule{Child: license.ChildCustom, Code: code(t, "PLAY")} })))
	broken.Info().Policy.Copy.Code = []byte{1} // what Inspect refuses
	if _, err := license.Derive(broken, license.Derivation{Kind: license.KindCopy, Now: day0}); !errors.Is(err, permission.ErrMalformed) {
		t.Errorf("a broken code: %v", err)
	}
}

func TestEvaluator_E11_DeriveLoans(t *testing.T) {
	rule := func(r license.LendRule) func(p *license.Policy) { return func(p *license.Policy) { p.Lend = &r } }
	two := license.Derivation{For: 2 * day, Subject: license.DomainSubject(elsewhere, 1), Plays: 0}
	end := "; END_TIME=2026-01-04T00:00:00Z"
	plays := two
	plays.Plays = 1
	deriveAll(t, license.KindLoan, []derivation{
		{"two days", "PLAY; LEND; MOVE=ANY; EXPORT=hls", nil, two, "PLAY" + end, ""},
		{"no time", "PLAY; LEND", nil, license.Derivation{}, "", "no LEND"},
		{"not granted", "PLAY", nil, two, "", "no LEND"},
		{"until the lender's end", "PLAY; END_TIME=2026-01-03T00:00:00Z; LEND", nil, two, "PLAY; END_TIME=2026-01-03T00:00:00Z", ""},
		{"RENDER stays", "PLAY; RENDER; LEND", nil, two, "PLAY" + end, ""},
		{"RENDER only", "PLAY; RENDER; LEND", rule(license.LendRule{Grants: []permission.Permission{permission.Render}}), two, "RENDER" + end, ""},
		{"nothing to lend", "RENDER; LEND", nil, two, "", "no PLAY"},
		{"a play", "PLAY; PLAY_COUNT=2; LEND", nil, plays, "PLAY" + end + "; PLAY_COUNT=1", ""},
		{"plays of what is not counted", "PLAY; LEND", nil, plays, "", "not counted"},
		{"nothing is skipped", "PLAY; LEND; TIMELINE=NO_SKIP", nil, two, "PLAY" + end + "; TIMELINE=NO_SKIP", ""},
		{"an interval of its own", "PLAY; INTERVAL=24h; LEND", nil, two, "PLAY" + end + "; INTERVAL=24h", ""},
		{"over", "PLAY; END_TIME=2026-01-02T00:00:00Z; LEND", nil, two, "", "over"},
	})
	for _, overlap := range []bool{false, true} {
		r := derivation{text: "PLAY; LEND; END_TIME=2026-02-01T00:00:00Z; CHARGE=SUBSCRIPTION", edit: rule(license.LendRule{Overlap: overlap})}
		two.Kind, two.Now = license.KindLoan, day0+day
		info, err := license.Derive(r.parent(t), two)
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]int64{true: 24 * hour}[overlap]
		if p := info.Policy; *p.ClockGrace != want || p.ExpiryMode != license.ExpiryStop || p.HardEnd != day0+3*day || info.Subject != two.Subject {
			t.Errorf("overlap %v: %+v, want grace %d, STOP and the end", overlap, p, want)
		}
	}
}

func TestEvaluator_E4_DeriveAllowances(t *testing.T) {
	deriveAll(t, license.KindAllowance, []derivation{
		{"accumulated", "PLAY; ACCUMULATED=1h", nil, license.Derivation{MS: 600_000, State: license.State{Acc: 50 * minute}}, "PLAY; ACCUMULATED=10m", ""},
		{"more than is left", "PLAY; ACCUMULATED=1h", nil, license.Derivation{MS: 600_001, State: license.State{Acc: 50 * minute}}, "", "left"},
		{"ms of what has none", "PLAY", nil, license.Derivation{MS: 1}, "", "not accumulated"},
		{"a counted RENDER stays", "PLAY; RENDER; PLAY_COUNT=2", nil, license.Derivation{}, "PLAY", ""},
		{"EXECUTE stays", "PLAY; EXECUTE", nil, license.Derivation{}, "PLAY", ""},
		{"nothing is skipped", "PLAY; TIMELINE=NO_SKIP", nil, license.Derivation{}, "PLAY; TIMELINE=NO_SKIP", ""},
		{"nothing unknown is handed on", "PLAY; X.15=01", nil, license.Derivation{}, "", "unknown critical"},
		{"what may be ignored is", "PLAY; X.50=01", nil, license.Derivation{}, "PLAY", ""},
	})
	for _, kind := range []license.DerivedKind{license.KindExport, license.KindRebind, 9} {
		if _, err := license.Derive(newLicense(t, "PLAY"), license.Derivation{Kind: kind, Device: phone, Now: day0}); !errors.Is(err, license.ErrNoRight) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
	long := newLicense(t, "PLAY; START_TIME=2026-03-01T00:00:00Z; LEND")
	if _, err := license.Derive(long, license.Derivation{Kind: license.KindLoan, For: hour, Now: day0}); !errors.Is(err, permission.ErrInvalid) {
		t.Errorf("a loan that ends before the start: %v", err)
	}
}

func TestEvaluator_E4_GiveAndTakeBackAll(t *testing.T) {
	lic := derivation{text: "PLAY; PLAY_COUNT=3; ACCUMULATED=1h; COPY=COUNTED; COPY_COUNT=2"}.parent(t)
	whole := license.Share{Plays: 2, MS: minute, Copies: 1}
	s, err := lic.Give(license.State{Given: map[permission.Permission]uint64{permission.Play: 1}}, whole)
	if err != nil {
		t.Fatal(err)
	}
	want := license.State{Ver: 1, NextIndex: 1, GivenMS: minute, Given: map[permission.Permission]uint64{permission.Play: 3, permission.Copy: 1}}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	for name, x := range map[string]license.Share{"plays": {Plays: 1}, "copies": {Copies: 2}, "time": {MS: hour}, "negative": {MS: -1}} {
		if _, err := lic.Give(s, x); !errors.Is(err, license.ErrNoRight) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, x := range map[string]license.Share{"plays": {Plays: 4}, "copies": {Copies: 2}, "time": {MS: hour}, "negative": {MS: -1}} {
		if _, err := s.TakeBack(x); !errors.Is(err, license.ErrNoRight) {
			t.Errorf("back, %s: %v", name, err)
		}
	}
	back, err := s.TakeBack(license.Share{Plays: 1, MS: minute})
	want = license.State{Ver: 2, NextIndex: 1, Given: map[permission.Permission]uint64{permission.Play: 2, permission.Copy: 1}}
	if diff := cmp.Diff(want, back); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if got := (&license.Derivation{Plays: 2, MS: minute, Copies: 1}).Share(); got != whole {
		t.Errorf("share %+v", got)
	}
}

func TestEvaluator_E12_Relay(t *testing.T) {
	all := []string{"END_TIME", "PLAY_COUNT", "INTERVAL"}
	for _, r := range []struct {
		derivation
		holds []string
		lost  []string
	}{
		{derivation{"nothing to narrow", "PLAY; EXPORT=hls; MOVE=ANY", nil, license.Derivation{}, "PLAY", ""}, nil, nil},
		{derivation{"V27", "PLAY; INTERVAL=48h; EXPORT=hls", nil, license.Derivation{}, "PLAY; END_TIME=2026-01-04T00:00:00Z", ""}, []string{"END_TIME"}, []string{"INTERVAL"}},
		{derivation{"an interval that runs", "PLAY; INTERVAL=48h; EXPORT=hls", nil, license.Derivation{State: license.State{FirstUse: day0}}, "PLAY; END_TIME=2026-01-03T00:00:00Z", ""}, all, []string{"INTERVAL"}},
		{derivation{"an interval that is held", "PLAY; INTERVAL=48h; EXPORT=hls", nil, license.Derivation{}, "PLAY; INTERVAL=48h", ""}, all, nil},
		{derivation{"an end that is not held", "PLAY; END_TIME=2026-02-01T00:00:00Z; EXPORT=hls", nil, license.Derivation{}, "", "does not hold END_TIME"}, nil, nil},
		{derivation{"plays to one", "PLAY; PLAY_COUNT=3; END_TIME=2026-02-01T00:00:00Z; EXPORT=hls", nil, license.Derivation{}, "PLAY; END_TIME=2026-02-01T00:00:00Z; PLAY_COUNT=1", ""}, []string{"END_TIME"}, []string{"PLAY_COUNT"}},
		{derivation{"plays that are held", "PLAY; PLAY_COUNT=3; EXPORT=hls", nil, license.Derivation{}, "PLAY; PLAY_COUNT=1", ""}, all, nil},
		{derivation{"plays without an end", "PLAY; PLAY_COUNT=3; EXPORT=hls", nil, license.Derivation{}, "", "neither PLAY_COUNT nor an end"}, nil, nil},
		{derivation{"no play left", "PLAY; PLAY_COUNT=1; EXPORT=hls", nil, license.Derivation{State: license.State{Consumed: map[permission.Permission]uint64{permission.Play: 1}}}, "", "of 0 left"}, all, nil},
		{derivation{"over", "PLAY; END_TIME=2026-01-01T01:00:00Z; EXPORT=hls", nil, license.Derivation{}, "", "over"}, all, nil},
		{derivation{"not begun in time", "PLAY; INTERVAL=48h; END_TIME=2026-01-01T01:00:00Z; EXPORT=hls", nil, license.Derivation{}, "", "over"}, all, nil},
		{derivation{"another system", "PLAY; EXPORT=clearkey", nil, license.Derivation{}, "", "EXPORT to"}, all, nil},
		{derivation{"on its way", "PLAY; EXPORT=hls", nil, license.Derivation{State: license.State{Phase: license.Escrow}}, "", "ESCROW"}, all, nil},
		{derivation{"not closed", "PLAY; EXPORT=hls", nil, license.Derivation{State: license.State{Tx: &license.Tx{Unconfirmed: true}}}, "", "HELD"}, all, nil},
		{derivation{"parts only", "PLAY; PART=01; EXPORT=hls", nil, license.Derivation{}, "", "no PLAY of the whole"}, all, nil},
		{derivation{"conditions that are not held", "PLAY; RESOLUTION<=720p; EXPORT=hls; TIMELINE=NO_SKIP", nil, license.Derivation{}, "", "[RESOLUTION TIMELINE]"}, all, nil},
		{derivation{"conditions that are held", "PLAY; RESOLUTION<=720p; EXPORT=hls; TIMELINE=NO_SKIP", nil, license.Derivation{}, "PLAY; RESOLUTION<=720p; TIMELINE=NO_SKIP", ""}, []string{"RESOLUTION", "TIMELINE"}, nil},
		{derivation{"what nobody knows", "PLAY; X.15=01; EXPORT=hls", nil, license.Derivation{}, "", "unit 0x15"}, all, nil},
		{derivation{"policy that nobody knows", "PLAY; EXPORT=hls", func(p *license.Policy) { p.Other = map[uint64]wire.RawMessage{99: {1}} }, license.Derivation{}, "", "policy 99"}, all, nil},
	} {
		r.d.Now = day0 + day
		info, lost, err := license.Relay(r.parent(t), r.d, license.Target{System: "hls", Holds: r.holds})
		r.check(t, info, err)
		if diff := cmp.Diff(r.lost, lost); err == nil && diff != "" {
			t.Errorf("%s: lost %s", r.name, diff)
		}
	}
}

// TestEvaluator_E12_ExportOutOfSight: the child names its system alone, a play that nobody
// counts ends with its sitting, and nothing of a total is taken along.
func TestEvaluator_E12_ExportOutOfSight(t *testing.T) {
	counts := []string{"END_TIME", "PLAY_COUNT", "ACCUMULATED"}
	short := func(p *license.Policy) { p.ResumeWindow = hour }
	for _, r := range []struct {
		derivation
		holds []string
		plays uint64
	}{
		{derivation{"two of three plays", "PLAY; PLAY_COUNT=3; EXPORT=hls,odrl", nil, license.Derivation{Plays: 2}, "PLAY; PLAY_COUNT=2; EXPORT=hls", ""}, counts, 2},
		{derivation{"nothing counted", "PLAY; EXPORT=hls", nil, license.Derivation{}, "PLAY; EXPORT=hls", ""}, nil, 0},
		{derivation{"a play that nobody counts", "PLAY; PLAY_COUNT=3; END_TIME=2026-02-01T00:00:00Z; EXPORT=hls", nil, license.Derivation{}, "PLAY; END_TIME=2026-01-02T12:00:00Z; PLAY_COUNT=1; EXPORT=hls", ""}, []string{"END_TIME"}, 1},
		{derivation{"one with a sitting of an hour", "PLAY; PLAY_COUNT=3; END_TIME=2026-02-01T00:00:00Z; EXPORT=hls", short, license.Derivation{}, "PLAY; END_TIME=2026-01-02T01:00:00Z; PLAY_COUNT=1; EXPORT=hls", ""}, []string{"END_TIME"}, 1},
		{derivation{"a total", "PLAY; ACCUMULATED=10h; EXPORT=hls", nil, license.Derivation{}, "", "[ACCUMULATED]"}, counts, 0},
		{derivation{"another system", "PLAY; EXPORT=clearkey", nil, license.Derivation{}, "", "EXPORT to"}, counts, 0},
	} {
		r.d.Now = day0 + day
		info, _, err := license.Export(r.parent(t), r.d, license.Target{System: "hls", Holds: r.holds})
		r.check(t, info, err)
		if err != nil {
			continue
		}
		if s, err := info.ExportShare(); err != nil || s.Plays != r.plays {
			t.Errorf("%s: %d plays go along, %v; want %d", r.name, s.Plays, err, r.plays)
		}
	}
	if _, err := (&license.Info{Code: []byte{0xff}}).ExportShare(); err == nil {
		t.Error("the share of a code that is none")
	}
}
