package license_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// The invariants I5 and I6 of docs/spec/evaluation.md: what is derived is
// narrower, by Narrower and by what Evaluate answers.

// makeCopy makes a copy as a TREM does: it takes the unit, derives, and consumes it.
func makeCopy(rt *rapid.T, lic *license.License, s license.State, copies uint64) (*license.License, license.State) {
	in := at(day0 + hour)
	in.State, in.Request.Action, in.Request.Dest = s, permission.Copy, &license.Dest{Domain: domain, Level: 1, Anchor: 1}
	step := lic.Reserve(in)
	if !step.Decision.Allow {
		return nil, s
	}
	s = step.State
	next, err := lic.Give(s, license.Share{Copies: copies})
	if err != nil {
		next, copies = s, 0
	}
	info, err := license.Derive(lic, license.Derivation{Kind: license.KindCopy, Copies: copies, Index: s.Consumed[permission.Copy], Now: day0 + hour, State: s})
	if err != nil {
		rt.Fatal(err)
	}
	if s, err = next.Commit(permission.Copy, day0+hour); err != nil {
		rt.Fatal(err)
	}
	return inspect(rt, info), s
}

// Copies of copies, however they hand on what is left, are no more than the count.
func TestEvaluator_E16_I5_CopiesAreAtMostTheCount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.Uint64Range(1, 5).Draw(rt, "copies")
		child := rapid.SampledFrom([]license.ChildCopies{license.ChildNoMore, license.ChildInheritLess}).Draw(rt, "child")
		root := newLicense(rt, "PLAY", func(i *license.Info) {
			u := permission.Units{Usage: []permission.UsageUnit{{Kind: permission.Playback}}, Management: &permission.ManagementUnit{Copy: permission.CopyCounted, CopyCount: n, MaxGeneration: 9}}
			i.Policy.Copy = &license.CopyRule{Child: child}
			i.Code, _ = u.Encode()
		})
		lics, states := []*license.License{root}, []license.State{{}}
		for range 12 {
			k := rapid.IntRange(0, len(lics)-1).Draw(rt, "of")
			made, after := makeCopy(rt, lics[k], states[k], rapid.Uint64Range(0, 3).Draw(rt, "handed on"))
			if states[k] = after; made != nil {
				lics, states = append(lics, made), append(states, license.State{})
			}
		}
		if made := uint64(len(lics)) - 1; made > n {
			rt.Fatalf("%d copies of %d", made, n)
		}
	})
}

// An instance that is on its way, lent or gone allows nothing and derives
// nothing; one that is installed and not closed may only be played.
func TestEvaluator_E16_I5_NoUseWhileItMoves(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lic, in := inspect(rt, drawInfo(rt)), drawWhole(rt)
		in.State.Phase = license.Phase(rapid.Uint64Range(0, 3).Draw(rt, "phase"))
		in.State.Tx = &license.Tx{ID: ident.Transfer{Seq: 1}, Unconfirmed: in.State.Phase == license.Held}
		played := in.State.Phase == license.Held && in.Request.Action == permission.Play
		if d := lic.Evaluate(in); d.Allow && !played {
			rt.Fatalf("%v in %v: %+v", in.Request.Action, in.State.Phase, d)
		}
		if step := lic.Reserve(in); step.Decision.Allow || step.Commit {
			rt.Fatalf("reserved in %v: %+v", in.State.Phase, step)
		}
		for _, kind := range []license.DerivedKind{license.KindAllowance, license.KindCopy, license.KindLoan} {
			if _, err := license.Derive(lic, license.Derivation{Kind: kind, Device: phone, Plays: 1, For: hour, Now: day0 + hour, State: in.State}); !errors.Is(err, license.ErrNoRight) {
				rt.Fatalf("derived in %v: %v", in.State.Phase, err)
			}
		}
		if _, _, err := license.Relay(lic, license.Derivation{Now: day0 + hour, State: in.State}, license.Target{System: "hls"}); !errors.Is(err, license.ErrNoRight) {
			rt.Fatalf("relayed in %v: %v", in.State.Phase, err)
		}
	})
}

// fitting makes an input about which a parent and its child can be asked: both
// subjects are here, a device's own defaults are not, and one key is meant.
func fitting(rt *rapid.T, now int64) license.Input {
	in := drawWhole(rt)
	in.Env.Domains[0].NotAfter, in.Env.Domains[0].Removed = 0, false
	if in.Request.Action > permission.Render { // whose unit's clock and anchor count depends on which ends last
		in.Clock.Q = license.Secure
		if in.Request.Dest != nil {
			in.Request.Dest.Anchor = 2
		}
	}
	in.Clock.Est, in.Clock.Lo, in.Clock.LoIss, in.State.LoLic = now, now, 0, 0
	in.State.FirstUse = some(rt, "child's first use", rapid.Map(rapid.Int64Range(0, 60*hour), func(ms int64) int64 { return now - ms }))
	return in
}

// atMost holds what a child allows against what its parent does. firsts are
// times at which the parent can have been begun: the end of a child may be that
// of an INTERVAL of the parent's.
func atMost(rt *rapid.T, child, parent *license.License, in license.Input, firsts []int64) {
	keys := []ident.Key{{}}
	if in.Request.Action <= permission.Render {
		keys = nil
		for _, k := range child.Info().Keys {
			keys = append(keys, k.KID)
		}
	}
	for _, kid := range keys {
		in.Request.KID = kid
		if !child.Evaluate(in).Allow {
			continue
		}
		ok, last := false, license.Decision{}
		for _, first := range append(firsts, in.State.FirstUse) {
			of := in
			of.State.FirstUse = first
			last = parent.Evaluate(of)
			ok = ok || last.Allow
		}
		if !ok {
			rt.Fatalf("%v allowed to the child only: %+v\nchild  %s\nparent %s", in.Request.Action, last.Reasons, child.Units().Text(), parent.Units().Text())
		}
	}
}

// drawDerivation draws what is derived of a parent, and when.
func drawDerivation(rt *rapid.T) license.Derivation {
	d := license.Derivation{
		Kind: license.DerivedKind(rapid.Uint64Range(1, 3).Draw(rt, "kind")), Device: phone, Subject: license.DomainSubject(domain, 1), Plays: rapid.Uint64Range(0, 2).Draw(rt, "plays"),
		MS: some(rt, "ms", rapid.Int64Range(1, 100_000)), Copies: seldom(rt, "handed on", rapid.Uint64Range(1, 2)), For: rapid.Int64Range(1, 300*hour).Draw(rt, "for"), Now: day0 + rapid.Int64Range(0, 100*hour).Draw(rt, "derived"),
	}
	begun := min(d.Now, day0+rapid.Int64Range(1, 9*hour).Draw(rt, "first use")) // before every end that is drawn
	d.State = license.State{FirstUse: some(rt, "begun", rapid.Just(begun)), Consumed: drawCounts(rt, "consumed", 2)}
	return d
}

// Whatever is derived or relayed is narrower, and allows nothing that its parent
// would not.
func TestEvaluator_E16_I6_DerivedIsNarrower(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		parent, d := inspect(rt, drawInfo(rt)), drawDerivation(rt)
		info, err := license.Derive(parent, d)
		if rapid.Bool().Draw(rt, "relay") {
			hold := []string{"END_TIME", "PLAY_COUNT", "INTERVAL", "START_TIME", "ACCUMULATED", "RESOLUTION", "OUTPUT_PROTECTION", "TIMELINE", "region", "concurrency", "report", "overlay"}
			holds := hold[rapid.IntRange(0, 3).Draw(rt, "does not hold"):]
			info, _, err = license.Relay(parent, d, license.Target{System: "hls", Holds: holds})
		}
		if errors.Is(err, license.ErrNotNarrower) {
			rt.Fatalf("%v: %+v %s", err, d.Kind, parent.Units().Text()) // what is derived is narrower by itself
		}
		if err != nil {
			return
		}
		if err := license.Narrower(info, parent.Info()); err != nil {
			rt.Fatal(err)
		}
		child := inspect(rt, info)
		for range 4 {
			in := fitting(rt, d.Now+rapid.Int64Range(0, 200*hour).Draw(rt, "later"))
			if in.State.CopyGeneration = 0; in.State.FirstUse != 0 {
				in.State.FirstUse = max(in.State.FirstUse, d.Now)
			}
			atMost(rt, child, parent, in, []int64{0, d.State.FirstUse, d.Now})
		}
	})
}

// edits change a license in one place, to less or to more.
func edits() []func(rt *rapid.T, i *license.Info, u *permission.Units) {
	usage := func(f func(rt *rapid.T, x *permission.UsageUnit)) func(*rapid.T, *license.Info, *permission.Units) {
		return func(rt *rapid.T, _ *license.Info, u *permission.Units) {
			f(rt, &u.Usage[rapid.IntRange(0, len(u.Usage)-1).Draw(rt, "unit")])
		}
	}
	whole := func(f func(a, b *license.Info, au, bu *permission.Units)) func(*rapid.T, *license.Info, *permission.Units) {
		return func(rt *rapid.T, i *license.Info, u *permission.Units) {
			other := drawInfo(rt)
			ou, err := other.Units()
			if err != nil {
				rt.Fatal(err)
			}
			f(i, other, u, ou)
		}
	}
	return []func(rt *rapid.T, i *license.Info, u *permission.Units){
		usage(func(rt *rapid.T, x *permission.UsageUnit) { x.StartTime = some(rt, "start", hoursFrom(1, 9)) }),
		usage(func(rt *rapid.T, x *permission.UsageUnit) { x.EndTime = some(rt, "end", hoursFrom(10, 200)) }),
		usage(func(rt *rapid.T, x *permission.UsageUnit) {
			x.Interval = some(rt, "interval", rapid.Map(rapid.Int64Range(1, 200), func(h int64) int64 { return h * hour }))
		}),
		usage(func(rt *rapid.T, x *permission.UsageUnit) { x.PlayCount = some(rt, "count", rapid.Uint64Range(1, 4)) }),
		usage(func(rt *rapid.T, x *permission.UsageUnit) {
			x.Accumulated = some(rt, "accumulated", rapid.Int64Range(1, 600_000))
		}),
		usage(func(rt *rapid.T, x *permission.UsageUnit) {
			x.MaxPixels, x.Output = some(rt, "pixels", rapid.Uint64Range(1, 3_000_000)), permission.Protection(rapid.Uint8Range(0, 4).Draw(rt, "protection"))
		}),
		whole(func(_, _ *license.Info, au, bu *permission.Units) { au.Management = bu.Management }),
		whole(func(_, _ *license.Info, au, bu *permission.Units) { au.Extended = bu.Extended }),
		whole(func(_, _ *license.Info, au, bu *permission.Units) { au.Export = bu.Export }),
		whole(func(_, _ *license.Info, au, bu *permission.Units) { au.Actor, au.Unknown = bu.Actor, bu.Unknown }),
		whole(func(a, b *license.Info, au, bu *permission.Units) {
			au.Classification, a.Policy.Region = bu.Classification, b.Policy.Region
		}),
		whole(func(a, b *license.Info, _, _ *permission.Units) { a.Policy.Region = b.Policy.Region }),
		whole(func(a, b *license.Info, _, _ *permission.Units) { a.Policy.Concurrency = b.Policy.Concurrency }),
		whole(func(a, b *license.Info, _, _ *permission.Units) { a.Policy.Domain = b.Policy.Domain }),
		whole(func(a, b *license.Info, _, _ *permission.Units) { a.Policy.Transfer = b.Policy.Transfer }),
		whole(func(a, b *license.Info, _, _ *permission.Units) { a.Policy.Copy = b.Policy.Copy }),
		whole(func(a, b *license.Info, _, _ *permission.Units) {
			a.Policy.HardEnd, a.Policy.StorageDuration, a.Policy.OnFirstUse, a.Policy.Renew = b.Policy.HardEnd, b.Policy.StorageDuration, b.Policy.OnFirstUse, b.Policy.Renew
		}),
		whole(func(a, b *license.Info, _, _ *permission.Units) {
			a.Policy.ClockGrace, a.Policy.MinAnchor, a.Policy.MinLevel, a.Policy.EmbargoStrict = b.Policy.ClockGrace, b.Policy.MinAnchor, b.Policy.MinLevel, b.Policy.EmbargoStrict
		}),
		whole(func(a, b *license.Info, _, _ *permission.Units) {
			a.Policy.Report, a.Policy.Overlay, a.Policy.OutputEvidence, a.Policy.Stale = b.Policy.Report, b.Policy.Overlay, b.Policy.OutputEvidence, b.Policy.Stale
			a.RevMinEpoch, a.RevMaxAge, a.Policy.Other = b.RevMinEpoch, b.RevMaxAge, b.Policy.Other
		}),
		func(rt *rapid.T, i *license.Info, _ *permission.Units) {
			k := &i.Keys[rapid.IntRange(0, len(i.Keys)-1).Draw(rt, "key")]
			k.Outputs = rules(rt, drawRules(rt))
		},
		func(rt *rapid.T, i *license.Info, _ *permission.Units) {
			k := &i.Keys[rapid.IntRange(0, len(i.Keys)-1).Draw(rt, "key")]
			k.BPS = rapid.SampledFrom([]uint64{0, 1000, 8_000_000}).Draw(rt, "bps")
		},
		func(rt *rapid.T, i *license.Info, _ *permission.Units) { // a key that stops nothing is left out
			if r, err := i.Keys[len(i.Keys)-1].Rules(); err == nil && r.OnViolation != license.Stop && len(i.Keys) > 1 {
				i.Keys = i.Keys[:len(i.Keys)-1]
			}
		},
	}
}

// Of a random pair, when Narrower holds, the child allows no more than the
// parent in any state and surroundings.
func TestEvaluator_E16_I6_NarrowerAllowsLess(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		parent := drawInfo(rt)
		u, err := parent.Units()
		if err != nil {
			rt.Fatal(err)
		}
		child := *parent
		child.Keys, child.Parent = slices.Clone(parent.Keys), &license.Parent{Kind: license.KindRebind}
		for range rapid.IntRange(1, 2).Draw(rt, "edits") {
			rapid.SampledFrom(edits()).Draw(rt, "edit")(rt, &child, u)
		}
		if child.Code, err = u.Encode(); err != nil {
			return // an empty window
		}
		if license.Narrower(&child, parent) != nil {
			return
		}
		c, p := inspect(rt, &child), inspect(rt, parent)
		for range 4 {
			in := fitting(rt, day0+rapid.Int64Range(0, 250*hour).Draw(rt, "now"))
			atMost(rt, c, p, in, []int64{0, day0})
		}
	})
}
