package license_test

import (
	"pgregory.net/rapid"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// This file draws licenses with everything that the evaluation page knows. The
// drawn times lie within 300 hours of day0, so that they meet.

var (
	elsewhere = ident.Domain{0: 0xd0, 15: 9} // no household of the tests
	phone     = ident.Device{0: 0xde, 15: 1}
)

// some draws a value, or, as often, its zero value.
func some[T any](rt *rapid.T, name string, g *rapid.Generator[T]) T {
	var zero T
	if !rapid.Bool().Draw(rt, "has "+name) {
		return zero
	}
	return g.Draw(rt, name)
}

// rare draws true once in eight, and false when it shrinks.
func rare(rt *rapid.T, name string) bool { return rapid.IntRange(0, 7).Draw(rt, name) == 7 }

// seldom is some, with a value once in eight.
func seldom[T any](rt *rapid.T, name string, g *rapid.Generator[T]) T {
	var zero T
	if !rare(rt, "has "+name) {
		return zero
	}
	return g.Draw(rt, name)
}

// ptr makes a generator of pointers.
func ptr[T any](g *rapid.Generator[T]) *rapid.Generator[*T] {
	return rapid.Map(g, func(v T) *T { return &v })
}

// hoursFrom draws a time in hours behind day0.
func hoursFrom(a, b int64) *rapid.Generator[int64] {
	return rapid.Map(rapid.Int64Range(a, b), func(h int64) int64 { return day0 + h*hour })
}

func drawUsage(rt *rapid.T, kind permission.UsageKind, part []byte, stateful bool) permission.UsageUnit {
	x := permission.UsageUnit{
		Kind: kind, Part: part, StartTime: seldom(rt, "start", hoursFrom(1, 9)), EndTime: some(rt, "end", hoursFrom(10, 200)),
		MaxPixels: seldom(rt, "pixels", rapid.SampledFrom([]uint64{442_368, 2_073_600, 10_000})),
		Output:    seldom(rt, "protection", rapid.SampledFrom([]permission.Protection{permission.ProtectHDCP1, permission.ProtectHDCP22})),
	}
	if stateful {
		x.Interval = some(rt, "interval", rapid.Map(rapid.Int64Range(1, 200), func(h int64) int64 { return h * hour }))
		x.PlayCount = some(rt, "count", rapid.Uint64Range(1, 4))
		x.Accumulated = seldom(rt, "accumulated", rapid.Int64Range(1, 600_000))
	}
	if rare(rt, "unknown condition") && rare(rt, "really") {
		x.Extra = []permission.Item{{Tag: 0x7f, Value: []byte{1}}}
	}
	return x
}

// drawUnits draws a code. Of each kind one unit at most is stateful, and a part
// has one unit.
func drawUnits(rt *rapid.T) *permission.Units {
	u := &permission.Units{}
	stateful := rapid.IntRange(0, 2).Draw(rt, "stateful unit")
	for i := range rapid.IntRange(1, 3).Draw(rt, "PLAY units") {
		part := map[int][]byte{1: {1}, 2: {2}}[i]
		u.Usage = append(u.Usage, drawUsage(rt, permission.Playback, part, i == stateful))
	}
	if rapid.Bool().Draw(rt, "RENDER") {
		u.Usage = append(u.Usage, drawUsage(rt, permission.Print, nil, true))
	}
	m := &permission.ManagementUnit{
		Copy: some(rt, "copy", rapid.SampledFrom([]permission.CopyMode{permission.CopyFree, permission.CopyCounted, permission.CopyOnce, permission.CopyNoMore, permission.CopyNever})),
		Move: some(rt, "move", rapid.SampledFrom([]permission.MoveScope{permission.MoveDomain, permission.MoveAny})), MaxGeneration: seldom(rt, "max generation", rapid.Uint64Range(1, 3)),
		Transfer: some(rt, "transfer", rapid.Uint64Range(1, 3)), Encryption: seldom(rt, "encryption", rapid.SampledFrom([]permission.Encryption{permission.EncryptionKeep, permission.EncryptionRelease})),
		Timeline: seldom(rt, "timeline", rapid.SampledFrom([]permission.Timeline{permission.TimelineNoSkip, permission.TimelineFree})),
	}
	if m.Copy == permission.CopyCounted {
		m.CopyCount = rapid.Uint64Range(1, 4).Draw(rt, "copies")
	}
	if rapid.Bool().Draw(rt, "management") {
		u.Management = m
	}
	for range rapid.IntRange(0, 2).Draw(rt, "LEND units") {
		u.Extended = append(u.Extended, permission.ExtendedUnit{Kind: permission.TagLend, MaxDuration: some(rt, "lend time", rapid.Int64Range(1, 400*hour)), MaxLoans: some(rt, "loans", rapid.Uint64Range(1, 3))})
	}
	if rapid.Bool().Draw(rt, "export") {
		u.Export = &permission.ExportUnit{Systems: rapid.SampledFrom([][]string{{"clearkey"}, {"hls"}, {"clearkey", "hls"}}).Draw(rt, "systems")}
	}
	if rapid.Bool().Draw(rt, "classification") {
		u.Classification = &permission.ClassificationUnit{
			Charge:     some(rt, "charge", rapid.SampledFrom([]permission.Charge{permission.ChargePurchase, permission.ChargeRental, permission.ChargeSubscription, permission.ChargeLoan})),
			Territory:  some(rt, "territory", rapid.SampledFrom([][]string{{"AT"}, {"AT", "DE"}, {"ZZ"}})),
			UsageClass: seldom(rt, "live", rapid.Just(permission.UsageClassLive)),
		}
	}
	drawUnknown(rt, u)
	return u
}

// drawUnknown adds what this version does not know.
func drawUnknown(rt *rapid.T, u *permission.Units) {
	item := []permission.Item{{Tag: 0x7f, Value: []byte{1}}}
	switch rapid.IntRange(0, 39).Draw(rt, "unknown") {
	case 19:
		u.Unknown = []permission.Item{{Tag: 0x15, Value: []byte{1}}}
	case 18:
		u.Unknown = []permission.Item{{Tag: 0x50, Value: []byte{1}}}
	case 17:
		u.Actor = &permission.ActorUnit{Extra: item}
	case 16:
		if u.Management != nil {
			u.Management.Extra = item
		}
	case 15:
		if u.Export != nil {
			u.Export.Extra = item
		}
	default: // all is known
	}
}

func drawRules(rt *rapid.T) license.OutputRules {
	r := func(name string, of ...license.Rule) license.Rule { return some(rt, name, rapid.SampledFrom(of)) }
	return license.OutputRules{
		Digital: some(rt, "digital", rapid.SampledFrom([]permission.Protection{1, 2, 4})), Analog: r("analog", license.RuleDeny, license.RuleSDOnly, license.RuleCGMSNever),
		Wireless: r("wireless", license.RuleDeny, license.RuleProtected), Unknown: some(rt, "unknown output", ptr(rapid.SampledFrom([]license.Rule{license.RuleAllow, license.RuleDeny, license.RuleConstrain}))),
		OnViolation: some(rt, "on violation", rapid.SampledFrom([]license.OnViolation{license.BlockOutput, license.Stop})), Constrain: seldom(rt, "constrain", rapid.Uint64Range(1, 3_000_000)),
		MinLevel: seldom(rt, "key level", rapid.Uint64Range(1, 3)), MaxPixels: seldom(rt, "key pixels", rapid.Uint64Range(1, 3_000_000)), MaxFPS: seldom(rt, "key fps", rapid.Uint64Range(24, 60)),
		Settle: some(rt, "settle", rapid.Int64Range(1, 10_000)),
	}
}

func drawRegion(rt *rapid.T) license.RegionRule {
	return license.RegionRule{
		Deny: some(rt, "deny", rapid.SampledFrom([][]string{{"CH"}, {"CH", "FR"}, {"002"}})), Phase: license.RegionPhase(rapid.Uint64Range(0, 3).Draw(rt, "phase")),
		Unknown: license.UnknownRegion(rapid.Uint64Range(0, 2).Draw(rt, "unknown region")), RoamDays: some(rt, "roam days", ptr(rapid.Uint64Range(0, 4))),
		Areas: some(rt, "areas", rapid.SampledFrom([][]string{{"150"}, {"155"}, {"005", "155"}})),
	}
}

func drawDests(rt *rapid.T) (license.Dests, []ident.Device) {
	d := license.Dests(rapid.Uint64Range(0, 3).Draw(rt, "dests"))
	if d == license.DestList {
		return d, rapid.SampledFrom([][]ident.Device{{ident.Device(domain)}, {ident.Device(domain), phone}}).Draw(rt, "list")
	}
	return d, nil
}

// drawPolicy draws every rule of field 8.
func drawPolicy(rt *rapid.T) license.Policy {
	h := func(n int64) *rapid.Generator[int64] {
		return rapid.Map(rapid.Int64Range(1, n), func(h int64) int64 { return h * hour })
	}
	p := license.Policy{
		Duration: hour, StorageDuration: seldom(rt, "storage", rapid.Map(rapid.Int64Range(10, 200), func(h int64) int64 { return h * hour })),
		OnFirstUse: license.OnFirstUse(rapid.Uint64Range(0, 2).Draw(rt, "on first use")), HardEnd: seldom(rt, "hard end", hoursFrom(10, 200)),
		ExpiryMode: license.ExpiryMode(rapid.Uint64Range(0, 2).Draw(rt, "expiry mode")), FinishTail: seldom(rt, "tail", ptr(rapid.Int64Range(0, 5*hour))),
		FirstUseThreshold: seldom(rt, "first use threshold", ptr(rapid.Int64Range(0, 60_000))), CountThreshold: seldom(rt, "count threshold", rapid.Int64Range(1, 90_000)),
		ResumeWindow: some(rt, "resume window", h(24)), Slice: seldom(rt, "slice", rapid.Int64Range(1000, 60_000)), ClockGrace: some(rt, "grace", ptr(rapid.Int64Range(0, 72*hour))),
		EmbargoStrict: rare(rt, "embargo"), MinAnchor: some(rt, "min anchor", ptr(rapid.Uint64Range(0, 2))), OutputEvidence: license.Evidence(rapid.Uint64Range(0, 2).Draw(rt, "evidence")),
		MinLevel: seldom(rt, "min level", rapid.Uint64Range(1, 3)), AccumulatedBy: license.AccumulatedBy(rapid.Uint64Range(0, 2).Draw(rt, "by")),
		Region:      some(rt, "region", ptr(rapid.Custom(drawRegion))),
		Concurrency: seldom(rt, "concurrency", ptr(rapid.Custom(drawConcurrency))),
		Domain: seldom(rt, "domain", ptr(rapid.Custom(func(rt *rapid.T) license.DomainRule {
			return license.DomainRule{Devices: rapid.Uint64Range(1, 2).Draw(rt, "devices"), NewAYear: rapid.Uint64Range(0, 2).Draw(rt, "new a year")}
		}))),
		Transfer: some(rt, "transfer rule", ptr(rapid.Custom(func(rt *rapid.T) license.TransferRule {
			return license.TransferRule{Cooldown: some(rt, "cooldown", h(48)), Countersign: license.Countersigned(rapid.Uint64Range(0, 3).Draw(rt, "countersign")), Region: rapid.Bool().Draw(rt, "region")}
		}))),
		Report: seldom(rt, "report", ptr(rapid.Custom(func(rt *rapid.T) license.ReportRule {
			return license.ReportRule{What: license.ReportStarted, To: "shop", Until: some(rt, "until", hoursFrom(1, 200))}
		}))),
		Overlay: seldom(rt, "overlay", rapid.Just(&license.OverlayRule{Text: 1})),
		Renew: seldom(rt, "renew", ptr(rapid.Custom(func(rt *rapid.T) license.RenewRule {
			return license.RenewRule{Recovery: some(rt, "recovery", h(50))}
		}))),
	}
	if rapid.Bool().Draw(rt, "copy rule") {
		p.Copy = &license.CopyRule{Countersign: license.Countersigned(rapid.Uint64Range(0, 3).Draw(rt, "countersign")), PerInstance: rapid.Bool().Draw(rt, "per instance"), NoChildMove: rapid.Bool().Draw(rt, "no child move")}
		p.Copy.Dests, p.Copy.List = drawDests(rt)
		p.Copy.Child = rapid.SampledFrom([]license.ChildCopies{0, license.ChildNoMore, license.ChildInheritLess}).Draw(rt, "child")
	}
	if rapid.Bool().Draw(rt, "lend rule") {
		p.Lend = &license.LendRule{Overlap: rapid.Bool().Draw(rt, "overlap"), Plays: some(rt, "plays", rapid.Uint64Range(1, 2)), Grants: some(rt, "grants", rapid.SampledFrom([][]permission.Permission{{1}, {2}, {1, 2}}))}
		p.Lend.Dests, p.Lend.List = drawDests(rt)
	}
	if rare(rt, "other policy") && rare(rt, "really") {
		p.Other = map[uint64]wire.RawMessage{rapid.SampledFrom([]uint64{98, 99}).Draw(rt, "other"): {1}}
	}
	return p
}

func drawConcurrency(rt *rapid.T) license.ConcurrencyRule {
	return license.ConcurrencyRule{Max: rapid.Uint64Range(1, 2).Draw(rt, "max"), OnFull: license.OnFull(rapid.Uint64Range(0, 3).Draw(rt, "on full")), Offline: rapid.Bool().Draw(rt, "offline counts")}
}

// drawInfo draws a root license of the tests' household.
func drawInfo(rt *rapid.T) *license.Info {
	i := newInfo(rt, "PLAY")
	u := drawUnits(rt)
	c, err := u.Encode()
	if err != nil {
		rt.Fatalf("%+v: %v", u, err)
	}
	i.Code, i.Policy = c, drawPolicy(rt)
	i.RevMinEpoch, i.RevMaxAge = seldom(rt, "min epoch", rapid.Uint64Range(1, 3)), seldom(rt, "max age", rapid.Int64Range(1, 100*hour))
	if c := u.Classification; c == nil || c.Charge != permission.ChargePurchase && c.Charge != permission.ChargeLoan {
		i.Policy.Stale = license.Staleness(rapid.Uint64Range(0, 2).Draw(rt, "stale"))
	}
	uhd, own := keyRef(uhdKID, license.TierUHD, 4_000_000), keyRef(ident.Key{9}, 64, 500_000)
	i.Keys = append(i.Keys, uhd, own)
	i.Keys = i.Keys[:rapid.IntRange(1, len(i.Keys)).Draw(rt, "keys")]
	for n := range i.Keys {
		if rapid.Bool().Draw(rt, "rules") {
			r := drawRules(rt)
			i.Keys[n].Outputs = rules(rt, r)
		}
		if rare(rt, "no bps") && len(i.Keys[n].Outputs) == 0 {
			i.Keys[n].BPS = 0
		}
	}
	return i
}
