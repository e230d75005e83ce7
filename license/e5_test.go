package license_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func TestEvaluator_E5_Concurrency(t *testing.T) {
	at10 := day0 + 10*day
	busy := func(seen ...int64) func(in *license.Input) {
		return func(in *license.Input) {
			for n, ago := range seen {
				in.Env.Slots = append(in.Env.Slots, license.Slot{Device: ident.Device{byte(n + 1)}, Since: at10 - hour, Seen: at10 - ago})
			}
		}
	}
	rule := func(r license.ConcurrencyRule) func(i *license.Info) {
		return func(i *license.Info) { i.Policy.Concurrency = &r }
	}
	asking := func(in *license.Input) { busy(0)(in); in.Request.Takeover = true }
	offline := func(in *license.Input) { in.Env.Offline = true }
	full, wait := []string{"SLOT_FULL/CONCURRENCY TAKEOVER"}, []string{"SLOT_FULL/CONCURRENCY WAIT_UNTIL"}
	one := license.ConcurrencyRule{Max: 1}
	askAll(t, []ask{
		{"free", "PLAY", rule(one), nil, nil},
		{"in use", "PLAY", rule(one), busy(0), full},
		{"one of two", "PLAY", rule(license.ConcurrencyRule{Max: 2}), busy(0), nil},
		{"by this device", "PLAY", rule(one), func(in *license.Input) { busy(0)(in); in.Env.Device = ident.Device{1} }, nil},
		{"taken over already", "PLAY", rule(one), func(in *license.Input) { busy(0)(in); in.Env.Slots[0].Taken = true }, nil},
		{"about to lapse", "PLAY", rule(one), busy(179_999), full},
		{"lapsed", "PLAY", rule(one), busy(180_000), nil},
		{"taken over now", "PLAY", rule(one), asking, nil},
		{"blocked", "PLAY", rule(license.ConcurrencyRule{Max: 1, OnFull: license.BlockNew}), asking, wait},
		{"the oldest goes", "PLAY", rule(license.ConcurrencyRule{Max: 1, OnFull: license.TakeoverOldest}), busy(0), nil},
		{"offline", "PLAY", rule(one), offline, nil},
		{"offline, which counts", "PLAY", rule(license.ConcurrencyRule{Max: 1, Offline: true}), offline, []string{"SLOT_FULL/CONCURRENCY CONTACT"}},
	})
	// With several slots the one that makes room is named, also where heartbeats coincide or lie before 1970.
	for _, tc := range []struct {
		max  uint64
		seen []int64
		free int64
	}{{1, []int64{10, 20, 30}, 10}, {2, []int64{10, 20, 30}, 20}, {3, []int64{30, 10, 20}, 30}, {1, []int64{20, 20}, 20}, {2, []int64{5, 20, 20}, 20}} {
		d := ask{text: "PLAY", edit: rule(license.ConcurrencyRule{Max: tc.max, OnFull: license.BlockNew}), in: busy(tc.seen...)}.decide(t)
		if want := at10 - tc.free + 3*minute; d.Reasons[0].Earliest != want || !slices.Contains(d.Next, license.Change{At: want, Change: "SLOT_FREE"}) {
			t.Errorf("%+v: %+v, want %d", tc, d, want)
		}
	}
	// Sessions of the keeper itself do not lapse, whatever the time is: when one ends nobody knows.
	own := ask{text: "PLAY", edit: rule(license.ConcurrencyRule{Max: 1, OnFull: license.BlockNew}), in: func(in *license.Input) {
		in.Clock.LoIss = at10 + 365*day
		in.Env.Slots = []license.Slot{{Device: ident.Device{1}, Since: at10, Seen: license.Open}, {Device: ident.Device{2}, Since: at10, Seen: license.Open}}
	}}
	if d := own.decide(t); d.Allow || !d.Has(license.SlotFull) || d.Reasons[0].Earliest != 0 || len(d.Next) != 0 {
		t.Errorf("slots of the keeper itself: %+v", d)
	}
	early := ask{text: "PLAY", edit: rule(one), in: func(in *license.Input) {
		in.Clock = license.Clock{Q: license.Secure}
		in.Env.Slots = []license.Slot{{Device: phone, Seen: -5}}
	}}
	if d := early.decide(t); d.Allow || d.ValidUntil != 3*minute-5 {
		t.Errorf("a heartbeat before 1970: %+v", d)
	}
}

// A session that runs is stopped by its own slot only.
func TestEvaluator_E5_RunningSessionAndItsSlot(t *testing.T) {
	v := newViewer(t, newLicense(t, "PLAY", policy(func(p *license.Policy) { p.Concurrency = &license.ConcurrencyRule{Max: 1, Offline: true} })), day0)
	v.in.Env.Device = phone
	v.must(v.begin(0))
	v.in.Env.Slots = []license.Slot{{Device: ident.Device{2}, Seen: day0}, {Device: phone, Seen: day0}, {Device: ident.Device{3}, Taken: true}}
	v.must(v.fragment(sdKID, 1, 0, second))
	v.in.Env.Offline = true
	v.must(v.fragment(sdKID, 1, 0, second))
	v.in.Env.Offline = false
	v.in.Env.Slots[1].Taken = true
	d := v.fragment(sdKID, 1, 0, second)
	if diff := cmp.Diff([]string{"SLOT_FULL/CONCURRENCY TAKEOVER"}, spoken(d)); diff != "" {
		t.Error(diff)
	}
}

// A film that is seen and begun again inside its session needs no second slot: not beside
// its own, as a module that keeps slots names it, nor in reach of no keeper.
func TestEvaluator_E5_BegunAgainInItsSlot(t *testing.T) {
	for name, change := range map[string]func(e *license.Env){
		"its own": func(e *license.Env) {
			e.Slots = []license.Slot{{Device: ident.Device{7}, Since: day0, Seen: day0 + 10*day}}
		},
		"offline": func(e *license.Env) { e.Offline = true },
	} {
		for full := license.OnFull(0); full <= license.TakeoverOldest; full++ {
			v := newViewer(t, counted(t, "PLAY; PLAY_COUNT=2", hour, func(p *license.Policy) {
				p.Concurrency = &license.ConcurrencyRule{Max: 1, OnFull: full, Offline: true}
			}), day0)
			v.must(v.begin(0))
			change(&v.in.Env)
			v.must(v.play(0, 55*minute))
			v.must(v.play(0, 2*minute))
			if p := v.in.State.OpenPlay; p == nil || p.ID != 2 {
				t.Errorf("%s, on_full %d: open is %+v, want play 2", name, full, p)
			}
		}
	}
}

// A signed refusal stops what is new at once and what runs within a minute.
func TestEvaluator_E5_SignedRefusal(t *testing.T) {
	lic := newLicense(t, "PLAY; END_TIME=2026-01-01T01:00:00Z; MOVE=ANY; CHARGE=SUBSCRIPTION", policy(func(p *license.Policy) {
		p.Renew, p.ExpiryMode = &license.RenewRule{}, license.ExpiryFinish
	}))
	v := newViewer(t, lic, day0)
	v.must(v.begin(0))
	v.in.State = v.in.State.Deny(v.now())
	if again := v.in.State.Deny(v.now() + hour); again.Denied != day0 || again.Ver != v.in.State.Ver {
		t.Errorf("denied twice: %+v", again)
	}
	v.wait(minute - 1)
	d := v.fragment(sdKID, 1, 0, second)
	v.must(d)
	if d.ValidUntil != day0+minute || v.ses.StopAt != day0+minute {
		t.Errorf("valid until %d, stops at %d, want a minute", d.ValidUntil, v.ses.StopAt)
	}
	v.wait(1)
	want := []string{"EXPIRED/RENEWAL CONTACT"}
	for name, got := range map[string]license.Decision{"running": v.fragment(sdKID, 1, 0, second), "new": lic.Evaluate(v.in)} {
		if diff := cmp.Diff(want, spoken(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	handled(permission.Move)(&v.in)
	if diff := cmp.Diff(want, spoken(lic.Evaluate(v.in))); diff != "" {
		t.Errorf("MOVE: %s", diff)
	}
}

// Without an answer use goes on through recovery, and a refusal takes it away.
func TestEvaluator_E5_Recovery(t *testing.T) {
	end := day0 + hour
	for _, tc := range []struct {
		name, text string
		rule       *license.RenewRule
		denied     bool
		want       int64 // ms behind the end
	}{
		{"none", "PLAY", nil, false, 0},
		{"its own", "PLAY", &license.RenewRule{Recovery: 5}, false, 5},
		{"rental", "PLAY; CHARGE=RENTAL", &license.RenewRule{}, false, 15 * minute},
		{"subscription", "PLAY; CHARGE=SUBSCRIPTION", &license.RenewRule{}, false, 72 * hour},
		{"refused", "PLAY; CHARGE=SUBSCRIPTION", &license.RenewRule{}, true, 0},
		{"without an end", "PLAY; CHARGE=FREE", &license.RenewRule{}, false, -1},
	} {
		text := tc.text + "; END_TIME=2026-01-01T01:00:00Z"
		if tc.want < 0 {
			text = tc.text
		}
		lic := newLicense(t, text, policy(func(p *license.Policy) { p.Renew = tc.rule }))
		in := at(day0 + minute)
		if in.State = (license.State{}); tc.denied {
			in.State.Denied = day0
		}
		got := int64(-1)
		for _, c := range lic.Evaluate(in).Next {
			if c.Change == "END" {
				got = c.At - end
			}
		}
		if got != tc.want {
			t.Errorf("%s: ends %d ms behind the end, want %d", tc.name, got, tc.want)
		}
	}
	short := newLicense(t, "PLAY; END_TIME=2026-01-01T00:05:00Z", policy(func(p *license.Policy) { p.Renew = &license.RenewRule{} }))
	if d := short.Evaluate(at(day0)); d.ValidUntil != day0+10*minute {
		t.Errorf("five minutes were sold: valid until %d, want twice that", d.ValidUntil-day0)
	}
}

func TestEvaluator_E5_WhenToRenew(t *testing.T) {
	const text = "PLAY; END_TIME=2026-01-02T00:00:00Z; PLAY; PART=01; END_TIME=2026-01-03T00:00:00Z"
	rule := func(r *license.RenewRule) *license.License {
		return newLicense(t, text, policy(func(p *license.Policy) { p.Renew = r }))
	}
	for _, tc := range []struct {
		name   string
		lic    *license.License
		tries  uint
		jitter float64
		want   int64
	}{
		{"not renewed", rule(nil), 0, 0, 0},
		{"without an end", newLicense(t, "PLAY", policy(func(p *license.Policy) { p.Renew = &license.RenewRule{} })), 0, 0, 0},
		{"half of the time", rule(&license.RenewRule{}), 0, 0, day0 + day},
		{"the later end comes first", newLicense(t, "PLAY; END_TIME=2026-01-03T00:00:00Z; PLAY; PART=01; END_TIME=2026-01-02T00:00:00Z", policy(func(p *license.Policy) { p.Renew = &license.RenewRule{} })), 0, 0, day0 + day},
		{"its own time", rule(&license.RenewRule{After: 5}), 0, 0, day0 + 5},
		{"after half a minute", rule(&license.RenewRule{}), 1, 0.5, day0 + 30*second},
		{"doubled", rule(&license.RenewRule{}), 3, 0.5, day0 + 2*minute},
		{"at most ten minutes", rule(&license.RenewRule{}), 99, 0.5, day0 + 10*minute},
		{"a fifth less", rule(&license.RenewRule{Retry: 10 * second}), 1, -1, day0 + 8*second},
		{"a fifth more", rule(&license.RenewRule{Retry: 10 * second}), 1, 2, day0 + 12*second},
	} {
		if got := tc.lic.RenewAt(tc.tries, day0, tc.jitter); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got-day0, tc.want-day0)
		}
	}
}

func TestEvaluator_E5_RenewalTakesTheStateOver(t *testing.T) {
	old := newLicense(t, "PLAY")
	other := ident.License{2}
	for _, tc := range []struct {
		name string
		edit func(i *license.Info)
		ok   bool
	}{
		{"a renewal", func(i *license.Info) { i.Version = 2 }, true},
		{"the same version", func(*license.Info) {}, false},
		{"a continuation", func(i *license.Info) {
			i.ID, i.Continues = other, &license.Continues{Issuer: i.Issuer, ID: old.Info().ID}
		}, true},
		{"a new sale", func(i *license.Info) { i.ID = other }, false},
		{"a continuation of another", func(i *license.Info) {
			i.ID, i.Continues = other, &license.Continues{Issuer: i.Issuer, ID: ident.License{3}}
		}, false},
		{"a continuation of another issuer's", func(i *license.Info) {
			i.ID, i.Continues = other, &license.Continues{Issuer: "other.example", ID: old.Info().ID}
		}, false},
		{"another issuer", func(i *license.Info) { i.Version, i.Issuer = 2, "other.example" }, false},
		{"another film", func(i *license.Info) { i.Version, i.Content = 2, "film-2" }, false},
		{"another household", func(i *license.Info) { i.Version, i.Subject = 2, license.DomainSubject(elsewhere, 1) }, false},
		{"a device", func(i *license.Info) { i.Version, i.Subject = 2, license.DeviceSubject(ident.Device(domain)) }, false},
		{"a newer generation", func(i *license.Info) { i.Version, i.Subject.Generation = 2, 2 }, true},
	} {
		s := license.State{Ver: 3, FirstUse: day0, Denied: day0, Acc: 5}
		next, err := newLicense(t, "PLAY", tc.edit).Continue(old, s)
		want := s
		if tc.ok {
			want = license.State{Ver: 4, FirstUse: day0, Acc: 5}
		}
		if diff := cmp.Diff(want, next); (err == nil) != tc.ok || err != nil && !errors.Is(err, license.ErrInvalid) || diff != "" {
			t.Errorf("%s: %v; %s", tc.name, err, diff)
		}
	}
	older := newLicense(t, "PLAY", func(i *license.Info) { i.Subject.Generation = 2 })
	if err := newLicense(t, "PLAY", func(i *license.Info) { i.Version = 2 }).Supersedes(older); !errors.Is(err, license.ErrInvalid) {
		t.Errorf("an older generation: %v", err)
	}
}
