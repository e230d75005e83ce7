package license_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// The second half of the list: rules in the style of other systems, and the
// ways to pay, or not to. The helpers are in tr62636_test.go.

// sound makes the license one of sound alone, as music has it.
func sound(i *license.Info) { i.Keys = i.Keys[:1] }

// on is another screen.
func on(class license.OutputClass, p permission.Protection) func(*license.Input) {
	return func(in *license.Input) { in.Request.Output = license.Output{Class: class, Protection: p} }
}

func TestTR62636_ExportOfOMADRMContent(t *testing.T) {
	lic := usage(t, "export of OMA DRM content", film)
	want(t, lic.Evaluate(do(day0, permission.Export, system("oma-drm-2", false))))
	want(t, lic.Evaluate(do(day0, permission.Export, system("oma-drm-2", true))), "DEST_NOT_ALLOWED/ENCRYPTION")
	want(t, lic.Evaluate(do(day0, permission.Export, system("another", false))), "DEST_NOT_ALLOWED/EXPORT")

	var s license.State
	target := license.Target{System: "oma-drm-2", Holds: []string{"PLAY_COUNT"}}
	for i := range 5 {
		info, lost, err := license.Relay(lic, license.Derivation{Now: day0, Index: s.NextIndex, State: s}, target)
		if err != nil || len(lost) != 0 {
			t.Fatalf("relay %d: lost %v, %v", i, lost, err)
		}
		u, err := permission.Parse(info.Code)
		if err != nil || !strings.HasPrefix(u.Text(), "PLAY; PLAY_COUNT=1") || u.Grants(permission.Export) {
			t.Fatalf("relayed %s (%v), want one play and no further export", u.Text(), err)
		}
		if s, err = lic.Give(s, license.Share{Plays: 1}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, lic.Evaluate(do(day0, permission.Play, with(s))), "COUNT_EXHAUSTED/PLAY_COUNT BUY") // what was relayed is gone here
	if _, _, err := license.Relay(lic, license.Derivation{Now: day0, Index: 5, State: s}, target); !errors.Is(err, license.ErrNoRight) {
		t.Errorf("a sixth relay: %v", err)
	}
	target.Holds = nil // it would play without limit
	if _, _, err := license.Relay(lic, license.Derivation{Now: day0}, target); !errors.Is(err, license.ErrNoRight) {
		t.Errorf("to a system that does not count: %v", err)
	}
}

func TestTR62636_CombinedConstraints(t *testing.T) {
	zero := uint64(0)
	lic := usage(t, "combined constraints", film, func(i *license.Info) {
		i.Keys = append(i.Keys, keyRef(uhdKID, license.TierUHD, 4_000_000))
		i.Policy.Region = &license.RegionRule{Phase: license.RegionEachUse, RoamDays: &zero}
	})
	begins := time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC).UnixMilli()
	in := func(country string, now int64) func(*license.Input) {
		return func(in *license.Input) {
			in.Env.Region = license.RegionEvidence{Country: country, Source: license.RegionHome, At: now}
		}
	}
	play := func(now int64, edit ...func(*license.Input)) license.Decision {
		return lic.Evaluate(do(now, permission.Play, append([]func(*license.Input){in("FR", now)}, edit...)...))
	}
	d := play(begins)
	want(t, d)
	if d.Tier != license.TierHD || len(d.WouldUnlock) != 1 || d.WouldUnlock[0].Tier != license.TierUHD {
		t.Errorf("tier %v, unlock %v; want HD, and that UHD is too large", d.Tier, d.WouldUnlock)
	}
	want(t, play(begins-5*minute))
	want(t, play(begins-5*minute-1), "NOT_YET/START_TIME WAIT_UNTIL")
	want(t, play(christmas), "EXPIRED/END_TIME BUY")
	want(t, play(begins+48*hour, with(license.State{FirstUse: begins})), "INTERVAL_OVER/INTERVAL BUY")
	want(t, play(begins, on(license.OutputDigital, permission.ProtectHDCP22)))
	want(t, play(begins, on(license.OutputDigital, permission.ProtectHDCP1)), "OUTPUT/SD CONNECT_DISPLAY", "OUTPUT/HD CONNECT_DISPLAY", "OUTPUT/UHD", "OUTPUT/UHD CONNECT_DISPLAY")
	want(t, play(begins, in("DE", begins)))
	want(t, play(begins, in("US", begins)), "REGION/REGION CONTACT")
	used := license.State{FirstUse: begins, Consumed: map[permission.Permission]uint64{permission.Play: 2}, Acc: 10 * hour}
	want(t, play(begins+48*hour, with(used), in("US", begins+48*hour)),
		"INTERVAL_OVER/INTERVAL BUY", "COUNT_EXHAUSTED/PLAY_COUNT BUY", "TIME_EXHAUSTED/ACCUMULATED BUY", "REGION/REGION CONTACT") // all of them
}

func TestTR62636_FairPlayStyleRules(t *testing.T) {
	lic := usage(t, "FairPlay-style rules", sound)
	for i := range 7 { // every device of the household
		d := lic.Evaluate(do(day0, permission.Play, func(in *license.Input) { in.Env.Device = ident.Device{byte(i + 1)} }))
		if want(t, d); d.Tier != license.TierAudio {
			t.Errorf("tier %v, want AUDIO", d.Tier)
		}
	}
	want(t, lic.Evaluate(do(day0, permission.Play, func(in *license.Input) { in.Env.Domains = nil })), "SUBJECT_MISMATCH/SUBJECT CONTACT")
	want(t, lic.Evaluate(do(day0, permission.Move, to(domain))))
	want(t, lic.Evaluate(do(day0, permission.Move, to(neighbours))), "DEST_NOT_ALLOWED/DEST")
	want(t, lic.Evaluate(do(day0, permission.Export, system("usb", false))), "DEST_NOT_ALLOWED/EXPORT")
	want(t, lic.Evaluate(do(day0, permission.Export, system("audio-cd", true)))) // a compact disc holds no protection
	kept := newLicense(t, strings.Replace(usageLine(t, "FairPlay-style rules"), "RELEASE", "KEEP", 1), sound)
	want(t, kept.Evaluate(do(day0, permission.Export, system("audio-cd", true))), "DEST_NOT_ALLOWED/ENCRYPTION")
	want(t, kept.Evaluate(do(day0, permission.Export, system("audio-cd", false))))
}

func TestTR62636_CPRMStyleRules(t *testing.T) {
	lic := usage(t, "CPRM-style rules")
	s := handOn(t, lic, permission.Copy, 3, 0)
	want(t, lic.Evaluate(do(day0, permission.Copy, with(s), to(domain))), "COUNT_EXHAUSTED/COPY_COUNT MOVE_INSTEAD")
	want(t, lic.Evaluate(do(day0, permission.Move, with(s), to(neighbours)))) // another medium, anywhere
	card := derived(t, lic, license.Derivation{Kind: license.KindCopy, Index: 2, Now: day0})
	want(t, card.Evaluate(at(day0)))
	want(t, card.Evaluate(do(day0, permission.Copy, to(domain))), "GENERATION/COPY MOVE_INSTEAD")
	want(t, card.Evaluate(do(day0, permission.Move, to(neighbours))))
	want(t, lic.Evaluate(do(day0, permission.Export, system("cprm", true))), "NO_GRANT/EXPORT BUY")
}

func TestTR62636_SAFIAStyleRules(t *testing.T) {
	lic := usage(t, "SAFIA-style rules", film)
	want(t, lic.Evaluate(do(day0, permission.Play, on(license.OutputDigital, permission.ProtectHDCP1))))
	want(t, lic.Evaluate(do(day0, permission.Play, on(license.OutputDigital, permission.ProtectNone))), "OUTPUT/SD CONNECT_DISPLAY", "OUTPUT/HD CONNECT_DISPLAY")
	v := newViewer(t, lic, day0)
	playAll(t, v, 8)
	v.in.Request.Again = true
	want(t, v.begin(0), "COUNT_EXHAUSTED/PLAY_COUNT BUY")
	some := v.in.State
	some.Consumed = map[permission.Permission]uint64{permission.Play: 3}
	want(t, lic.Evaluate(do(day0+7*day-1, permission.Play, with(some))))
	want(t, lic.Evaluate(do(day0+7*day, permission.Play, with(some))), "INTERVAL_OVER/INTERVAL BUY")
	want(t, lic.Evaluate(do(day0+7*day-1, permission.Move, with(some), to(neighbours)))) // with its cassette, to any device
	want(t, lic.Evaluate(do(day0+7*day, permission.Move, with(some), to(neighbours))), "INTERVAL_OVER/INTERVAL BUY")
}

func TestTR62636_Ringtones(t *testing.T) {
	phone := ident.Device{5}
	lic := usage(t, "ringtones", sound, func(i *license.Info) { i.Subject = license.DeviceSubject(phone) })
	rings := func(in *license.Input) { in.Env.Device = phone }
	for i := range 1000 {
		want(t, lic.Evaluate(do(day0+int64(i)*day, permission.Play, rings)))
	}
	want(t, lic.Evaluate(do(day0, permission.Play)), "SUBJECT_MISMATCH/SUBJECT")
	want(t, lic.Evaluate(do(day0, permission.Copy, rings, to(domain))), "NO_GRANT/COPY BUY")
	want(t, lic.Evaluate(do(day0, permission.Move, rings, to(domain))), "NO_GRANT/MOVE BUY")
}

// watchedInOrder plays what may not be skipped, and tries to skip it.
func watchedInOrder(t *testing.T, lic *license.License) {
	t.Helper()
	v := newViewer(t, lic, day0)
	want(t, v.begin(1), "NO_GRANT/TIMELINE")
	want(t, v.begin(0))
	want(t, v.play(0, 5*minute))
	want(t, v.fragment(sdKID, 125_000, 5*minute+11*second, second), "NO_GRANT/TIMELINE")
	want(t, v.fragment(sdKID, 125_000, 5*minute, second)) // the film goes on
	want(t, v.fragment(sdKID, 125_000, minute, second))   // and back is free
	v.end()
	want(t, v.begin(5*minute))
	v.end()
	want(t, v.begin(20*minute), "NO_GRANT/TIMELINE")
}

// copiedFreely makes a copy that nothing counts.
func copiedFreely(t *testing.T, lic *license.License) {
	t.Helper()
	step := lic.Reserve(do(day0, permission.Copy, to(domain)))
	want(t, step.Decision)
	if step.Commit || step.Decision.Counters.CopiesLeft != nil {
		t.Errorf("a free copy is counted: %+v", step)
	}
}

func TestTR62636_DownloadFreeWithAdvertising(t *testing.T) {
	lic := usage(t, "download free with advertising")
	watchedInOrder(t, lic)
	copiedFreely(t, lic)
	watchedInOrder(t, derived(t, lic, license.Derivation{Kind: license.KindCopy, Now: day0})) // a copy has its advertising, too
}

func TestTR62636_StreamingFreeWithAdvertising(t *testing.T) {
	lic := usage(t, "streaming free with advertising")
	watchedInOrder(t, lic)
	want(t, lic.Evaluate(do(day0, permission.Copy, to(domain))), "NO_GRANT/COPY BUY")
	// What is live has no grace: its end is judged by proven time.
	live := usage(t, "streaming free with advertising", policy(func(p *license.Policy) { p.HardEnd = day0 + 3*hour }))
	unproven := func(in *license.Input) { in.Clock.Q, in.Clock.Unsynced = license.Anchored, 1 }
	want(t, live.Evaluate(do(day0, permission.Play)))
	want(t, live.Evaluate(do(day0, permission.Play, unproven)), "CLOCK_STALE/CLOCK_GRACE SYNC_TIME")
	want(t, live.Evaluate(do(day0+3*hour, permission.Play)), "EXPIRED/HARD_END BUY")
}

func TestTR62636_Giveaways(t *testing.T) {
	lic := usage(t, "giveaways")
	copiedFreely(t, lic)
	want(t, lic.Evaluate(do(day0, permission.Move, to(neighbours))))
	// MOVE keeps the subject: where it has come to, only the household plays it.
	abroad := func(in *license.Input) { in.Env.Domains[0].Domain = neighbours }
	want(t, lic.Evaluate(do(day0, permission.Play, abroad)), "SUBJECT_MISMATCH/SUBJECT CONTACT")
	// A gift that changes hands goes by TRANSFER: a day after the last hand, signed for by the giver's house.
	gift := lic
	unsigned := func(in *license.Input) { in.Request.Countersigned = 0 }
	want(t, gift.Evaluate(do(day0, permission.Transfer, to(neighbours), unsigned)), "DEST_NOT_ALLOWED/COUNTERSIGN CONTACT")
	s := handOn(t, gift, permission.Transfer, 1, 0)
	want(t, gift.Evaluate(do(day0+day-1, permission.Transfer, with(s), to(neighbours))), "NOT_YET/TRANSFER_COOLDOWN WAIT_UNTIL")
	want(t, gift.Evaluate(do(day0+day, permission.Transfer, with(s), to(neighbours))))
	s = handOn(t, gift, permission.Transfer, 3, day)
	want(t, gift.Evaluate(do(day0+9*day, permission.Transfer, with(s), to(neighbours))), "COUNT_EXHAUSTED/TRANSFER BUY")
}

func TestTR62636_CouponsOrPoints(t *testing.T) {
	lic := usage(t, "coupons or points", film)
	v := newViewer(t, lic, day0)
	playAll(t, v, 1)
	want(t, v.begin(0), "COUNT_EXHAUSTED/PLAY_COUNT BUY")
	// Points buy a new license; a new version of the old one gives no play.
	again := usage(t, "coupons or points", film, func(i *license.Info) { i.ID[15] = 2 })
	want(t, again.Evaluate(at(v.now())))
	newer := usage(t, "coupons or points", film, func(i *license.Info) { i.Version = 2 })
	s, err := newer.Continue(lic, v.in.State)
	if err != nil {
		t.Fatal(err)
	}
	want(t, newer.Evaluate(do(v.now()+day, permission.Play, with(s))), "COUNT_EXHAUSTED/PLAY_COUNT BUY")
	if _, err := again.Continue(lic, v.in.State); err == nil {
		t.Error("a new sale takes over the state of the old one")
	}
}

func TestTR62636_DisclosureOfPrivateData(t *testing.T) {
	person := func(i *license.Info) {
		i.Subject = license.Subject{Kind: license.SubjectUser, ID: receiver}
		i.Keys = i.Keys[:1]
	}
	lic := usage(t, "disclosure of private data", person)
	until := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	named := func(in *license.Input) { in.Env.Users = []ident.User{ident.User(receiver)} }
	other := func(in *license.Input) { in.Env.Users = []ident.User{{9}} }
	text := func(in *license.Input) { in.Request.Form = license.FormText }
	want(t, lic.Evaluate(do(until-1, permission.Play, named)))
	want(t, lic.Evaluate(do(until-1, permission.Render, named, text)))
	want(t, lic.Evaluate(do(until-1, permission.Render, named)), "DEST_NOT_ALLOWED/RENDERER")
	want(t, lic.Evaluate(do(until, permission.Play, named)), "EXPIRED/END_TIME BUY")
	want(t, lic.Evaluate(do(until, permission.Render, named, text)), "EXPIRED/END_TIME BUY")
	want(t, lic.Evaluate(do(day0, permission.Play, other)), "SUBJECT_MISMATCH/SUBJECT")
	want(t, lic.Evaluate(do(day0, permission.Copy, named, to(domain))), "NO_GRANT/COPY BUY")
	// The person that the code names is the subject, or nobody signs it.
	wrong := newInfo(t, usageLine(t, "disclosure of private data"), person, func(i *license.Info) { i.Subject.ID[0]++ })
	if _, err := license.Sign(fixedKey(t, 7), []byte("certificate"), wrong); !errors.Is(err, license.ErrInvalid) {
		t.Errorf("for another person: %v", err)
	}
}

func TestTR62636_NineCopiesWithUnlimitedMoves(t *testing.T) {
	lic := usage(t, "nine copies with unlimited moves")
	for n := range 10 {
		s := handOn(t, lic, permission.Copy, n, 0)
		d := lic.Evaluate(do(day0, permission.Copy, with(s), to(domain)))
		if n == 9 {
			want(t, d, "COUNT_EXHAUSTED/COPY_COUNT MOVE_INSTEAD")
		} else {
			want(t, d)
		}
		if left := fmt.Sprint(*d.Counters.CopiesLeft); left != fmt.Sprint(9-n) {
			t.Errorf("after %d copies %s are left", n, left)
		}
		want(t, lic.Evaluate(do(day0, permission.Move, with(s), to(domain)))) // at will
	}
	want(t, lic.Evaluate(do(day0, permission.Move, to(neighbours))), "DEST_NOT_ALLOWED/DEST")
	child := derived(t, lic, license.Derivation{Kind: license.KindCopy, Now: day0})
	want(t, child.Evaluate(do(day0, permission.Copy, to(domain))), "GENERATION/COPY MOVE_INSTEAD")
	want(t, child.Evaluate(do(day0, permission.Move, to(domain))))
}

func TestTR62636_GameSubscription(t *testing.T) {
	lic := usage(t, "game subscription")
	for _, now := range []int64{day0, yearEnd - 1, yearEnd} {
		for p := permission.Play; p <= permission.Export; p++ {
			want(t, lic.Evaluate(do(now, p, to(domain))), "NO_GRANT/"+p.String()+" BUY") // a game is not played here
		}
	}
	if n := len(lic.Units().Usage); n != 1 || lic.Units().Usage[0].EndTime != yearEnd {
		t.Errorf("%+v, want one unit until %d", lic.Units().Usage, yearEnd)
	}
}
