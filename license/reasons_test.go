package license_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func TestEvaluator_P4_AllReasons(t *testing.T) {
	lic := newLicense(t, "PLAY; END_TIME=2026-02-01T00:00:00Z; PLAY_COUNT=1", func(i *license.Info) {
		i.Policy.Duration, i.Policy.MinLevel, i.RevMinEpoch = 2*hour, 2, 9
	})
	in := at(day0 + 60*day)
	in.Env = license.Env{Level: 1}
	in.Clock.Q, in.Clock.Unsynced = license.Free, 100*day
	in.State.Consumed = map[permission.Permission]uint64{permission.Play: 1}
	in.State.Phase = license.Escrow
	in.Request.Output.Class = license.OutputLink
	got := codes(lic.Evaluate(in))
	want := []license.Code{
		license.BadSignature, license.SubjectMismatch, license.StatusStale, license.LockedInMove, license.ClockStale, license.Expired, license.CountExhausted,
		license.TREMLevel, license.TREMLevel, license.OutputCode, license.KeyNotGranted, license.KeyNotGranted, license.KeyNotGranted,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEvaluator_E15_PhasesAndHolds(t *testing.T) {
	lic := newLicense(t, "PLAY")
	tx := &license.Tx{ID: ident.Transfer{Seq: 1}, Unconfirmed: true, HoldUntil: day0 + hour}
	for _, tc := range []struct {
		name  string
		state license.State
		q     license.Quality
		now   int64
		want  license.Code
	}{
		{"escrow", license.State{Phase: license.Escrow}, license.Secure, day0, license.LockedInMove},
		{"lent", license.State{Phase: license.Lent}, license.Secure, day0, license.LentOut},
		{"closed", license.State{Phase: license.Closed}, license.Secure, day0, license.MovedAway},
		{"unconfirmed in time", license.State{Tx: tx}, license.Secure, day0, ""},
		{"unconfirmed near the hold", license.State{Tx: tx}, license.Secure, day0 + 55*minute, license.LockedInMove},
		{"unconfirmed without proven time", license.State{Tx: tx}, license.Anchored, day0, license.LockedInMove},
		{"unconfirmed without a hold", license.State{Tx: &license.Tx{Unconfirmed: true}}, license.Anchored, day0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := at(tc.now)
			in.State, in.Clock.Q = tc.state, tc.q
			d := lic.Evaluate(in)
			if d.Allow != (tc.want == "") || tc.want != "" && !d.Has(tc.want) {
				t.Errorf("%+v, want %q", d, tc.want)
			}
		})
	}
}

func TestEvaluator_E1_Subjects(t *testing.T) {
	dev := ident.Device{0: 9}
	user := ident.User{0: 8}
	for _, tc := range []struct {
		name  string
		sub   license.Subject
		env   func(*license.Env)
		allow bool
	}{
		{"member", license.DomainSubject(domain, 1), func(*license.Env) {}, true},
		{"older generation", license.DomainSubject(domain, 2), func(*license.Env) {}, false},
		{"newer generation", license.DomainSubject(domain, 1), func(e *license.Env) { e.Domains[0].Generation = 5 }, true},
		{"removed", license.DomainSubject(domain, 1), func(e *license.Env) { e.Domains[0].Removed = true }, false},
		{"another domain", license.DomainSubject(ident.Domain{3}, 1), func(*license.Env) {}, false},
		{"purchase with lapsed membership", license.DomainSubject(domain, 1), func(e *license.Env) { e.Domains[0].NotAfter = day0 }, true},
		{"device", license.DeviceSubject(dev), func(e *license.Env) { e.Device = dev }, true},
		{"another device", license.DeviceSubject(dev), func(*license.Env) {}, false},
		{"user", license.Subject{Kind: license.SubjectUser, ID: user}, func(e *license.Env) { e.Users = []ident.User{user} }, true},
		{"another user", license.Subject{Kind: license.SubjectUser, ID: user}, func(*license.Env) {}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := at(day0 + hour)
			tc.env(&in.Env)
			lic := newLicense(t, "PLAY", func(i *license.Info) { i.Subject = tc.sub })
			if d := lic.Evaluate(in); d.Allow != tc.allow || !tc.allow && !d.Has(license.SubjectMismatch) {
				t.Errorf("%+v, want allow %v", d, tc.allow)
			}
		})
	}
}

func TestEvaluator_E1_LapsedMembershipBoundsRentals(t *testing.T) {
	lic := rental(t)
	v := newViewer(t, lic, day0)
	v.in.Env.Domains[0].NotAfter = day0 + 30*minute
	v.must(v.begin(0))
	v.wait(hour)
	v.must(v.fragment(sdKID, 1, 0, second)) // a session that runs goes on
	v.end()
	v.refused(v.begin(0), license.SubjectMismatch)
}

func TestEvaluator_E5_RevocationFreshness(t *testing.T) {
	for _, tc := range []struct {
		stale license.Staleness
		allow bool
	}{{0, true}, {license.StaleWarn, true}, {license.StaleDeny, false}} {
		lic := newLicense(t, "PLAY", func(i *license.Info) { i.RevMaxAge, i.Policy.Stale = day, tc.stale })
		in := at(day0)
		in.Env.StatusAge = 2 * day
		if d := lic.Evaluate(in); d.Allow != tc.allow || !d.Has(license.StatusStale) {
			t.Errorf("stale %d: %+v, want allow %v and STATUS_STALE", tc.stale, d, tc.allow)
		}
	}
	in := at(day0)
	in.Env.Revoked = []string{"license"}
	if d := newLicense(t, "PLAY").Evaluate(in); d.Allow || !d.Has(license.RevokedCode) {
		t.Errorf("%+v, want REVOKED", d)
	}
}

func TestEvaluator_E2_ClosedWorld(t *testing.T) {
	lic := newLicense(t, "PLAY; MOVE=DOMAIN")
	for p, want := range map[permission.Permission]license.Code{
		permission.Render: license.NoGrant, permission.Copy: license.NoGrant, permission.Lend: license.NoGrant, permission.Export: license.NoGrant, 0: license.NoGrant,
		permission.Move: license.DestNotAllowed, // granted, but nowhere to go
	} {
		in := at(day0)
		in.Request.Action = p
		if d := lic.Evaluate(in); d.Allow || !slices.Equal(codes(d), []license.Code{want}) {
			t.Errorf("%v: %+v, want %s", p, d, want)
		}
	}
}
