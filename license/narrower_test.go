package license_test

import (
	"errors"
	"testing"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// lattice is a row: a parent and a child of the household, and whether the child
// is at most its parent.
type lattice struct {
	name          string
	parent, child string
	edit          func(p, c *license.Info) // may be nil
	ok            bool
}

func holdAll(t *testing.T, table []lattice) {
	t.Helper()
	for _, r := range table {
		p, c := newInfo(t, r.parent), newInfo(t, r.child)
		p.Policy.Duration, c.Policy.Duration = hour, hour
		c.Parent = &license.Parent{Kind: license.KindRebind}
		if r.edit != nil {
			r.edit(p, c)
		}
		if err := license.Narrower(c, p); (err == nil) != r.ok || err != nil && !errors.Is(err, license.ErrNotNarrower) {
			t.Errorf("%s: got %v, want ok %v", r.name, err, r.ok)
		}
	}
}

func TestEvaluator_E12_NarrowerRights(t *testing.T) {
	holdAll(t, []lattice{
		{"a loan as long as 14 days", "PLAY; LEND", "PLAY; LEND; LEND_TIME=14d", nil, true},
		{"a loan longer than 14 days", "PLAY; LEND", "PLAY; LEND; LEND_TIME=15d", nil, false},
		{"a shorter loan", "PLAY; LEND; LEND_TIME=2h", "PLAY; LEND; LEND_TIME=1h", nil, true},
		{"a loan of 14 days by default", "PLAY; LEND; LEND_TIME=1h", "PLAY; LEND", nil, false},
		{"more loans", "PLAY; LEND", "PLAY; LEND; LEND_COUNT=2", nil, false},
		{"a loan with what nobody knows", "PLAY; LEND", "PLAY; LEND; X.20.7F=01", nil, false},
		{"skipping", "PLAY; TIMELINE=NO_SKIP", "PLAY", nil, false},
		{"no skipping", "PLAY", "PLAY; TIMELINE=NO_SKIP", nil, true},
		{"transcoding", "PLAY", "PLAY; TRANSCODE=LOWER", nil, false},
		{"released", "PLAY; ENCRYPTION=KEEP", "PLAY; ENCRYPTION=RELEASE", nil, false},
		{"a system less", "PLAY; EXPORT=clearkey,hls", "PLAY; EXPORT=hls", nil, true},
		{"a system more", "PLAY; EXPORT=hls", "PLAY; EXPORT=clearkey,hls", nil, false},
		{"an export without its unknown condition", "PLAY; EXPORT=hls; X.40.7F=01", "PLAY; EXPORT=hls", nil, false},
		{"an export with it", "PLAY; EXPORT=hls; X.40.7F=01", "PLAY; EXPORT=hls; X.40.7F=01", nil, true},
		{"no management, an unknown condition in it", "PLAY; MOVE=ANY; X.30.7F=01", "PLAY", nil, false},
		{"no actor, an unknown condition in it", "PLAY; ACTOR; X.01.7F=01", "PLAY", nil, false},
		{"without what may be ignored", "PLAY; X.50=01", "PLAY", nil, true},
		{"a generation more", "PLAY; COPY=FREE", "PLAY; COPY=FREE; MAX_GENERATION=2", nil, false},
		{"a copy of a copy", "PLAY; COPY=FREE; MAX_GENERATION=3", "PLAY; COPY=NO_MORE", func(p, c *license.Info) {
			p.Parent = &license.Parent{Kind: license.KindCopy, CopyGeneration: 1}
			c.Parent = &license.Parent{Kind: license.KindCopy, CopyGeneration: 2}
		}, true},
		{"the generation of another", "PLAY; COPY=FREE; MAX_GENERATION=3", "PLAY; COPY=NO_MORE", func(_, c *license.Info) {
			c.Parent = &license.Parent{Kind: license.KindCopy, CopyGeneration: 2}
		}, false},
		{"one unit's anchor", "PLAY; RENDER; PLAY_COUNT=1", "PLAY", nil, true},
		{"an anchor dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Policy.MinAnchor = new(uint64(2)) }, false},
		{"critical policy dropped", "PLAY", "PLAY", func(p, _ *license.Info) { p.Policy.Other = map[uint64]wire.RawMessage{99: {1}} }, false},
		{"critical policy added", "PLAY", "PLAY", func(_, c *license.Info) { c.Policy.Other = map[uint64]wire.RawMessage{99: {1}} }, false},
		{"critical policy kept", "PLAY", "PLAY", func(p, c *license.Info) {
			p.Policy.Other = map[uint64]wire.RawMessage{99: {1}, 98: {1}}
			c.Policy.Other = map[uint64]wire.RawMessage{99: {1}, 96: {1}}
		}, true},
	})
	good, broken := newInfo(t, "PLAY"), newInfo(t, "PLAY")
	good.Parent, broken.Version = &license.Parent{Kind: license.KindRebind}, 0
	if license.Narrower(broken, good) == nil || license.Narrower(good, broken) == nil {
		t.Error("information that no issuer may write is compared")
	}
}

func TestEvaluator_E12_NarrowerRegions(t *testing.T) {
	rule := func(p, c *license.RegionRule) func(pi, ci *license.Info) {
		return func(pi, ci *license.Info) { pi.Policy.Region, ci.Policy.Region = p, c }
	}
	areas := func(a ...string) *license.RegionRule { return &license.RegionRule{Areas: a} }
	phase := func(p license.RegionPhase) *license.RegionRule { return &license.RegionRule{Phase: p} }
	roaming := func(n uint64) *license.RegionRule { return &license.RegionRule{RoamDays: &n} }
	deny := func(d ...string) *license.RegionRule { return &license.RegionRule{Deny: d} }
	unknown := &license.RegionRule{Unknown: license.UnknownDeny}
	holdAll(t, []lattice{
		{"added", "PLAY", "PLAY", rule(nil, areas("150")), true},
		{"dropped", "PLAY", "PLAY", rule(areas("150"), nil), false},
		{"dropped, though it says nothing", "PLAY", "PLAY", rule(&license.RegionRule{}, nil), false},
		{"an area less", "PLAY", "PLAY", rule(areas("019", "150"), areas("150")), true},
		{"an area more", "PLAY", "PLAY", rule(areas("150"), areas("019", "150")), false},
		{"areas beside the countries", "PLAY; TERRITORY=AT", "PLAY; TERRITORY=AT", rule(nil, areas("019")), false},
		{"a country of the area", "PLAY", "PLAY; TERRITORY=AT", rule(areas("150"), &license.RegionRule{}), true},
		{"a country of another area", "PLAY", "PLAY; TERRITORY=US", rule(areas("150"), &license.RegionRule{}), false},
		{"all countries", "PLAY; TERRITORY=AT", "PLAY", nil, false},
		{"an area for a country", "PLAY; TERRITORY=AT", "PLAY", rule(nil, areas("150")), false},
		{"judged later", "PLAY", "PLAY", rule(phase(2), phase(3)), true},
		{"judged at issue", "PLAY", "PLAY", rule(phase(2), phase(1)), false},
		{"more days on the road", "PLAY", "PLAY", rule(roaming(3), roaming(4)), false},
		{"the default of days", "PLAY", "PLAY", rule(roaming(3), &license.RegionRule{}), false},
		{"fewer than the default", "PLAY", "PLAY", rule(&license.RegionRule{}, roaming(3)), true},
		{"denied no more", "PLAY", "PLAY", rule(deny("CH", "FR"), deny("CH")), false},
		{"denied more", "PLAY", "PLAY", rule(deny("CH"), deny("CH", "FR")), true},
		{"unknown allowed", "PLAY", "PLAY", rule(unknown, &license.RegionRule{}), false},
		{"unknown allowed, live", "PLAY; USAGE_CLASS=LIVE", "PLAY; USAGE_CLASS=LIVE", rule(unknown, &license.RegionRule{}), true},
	})
}

func TestEvaluator_E12_NarrowerPolicy(t *testing.T) {
	concurrency := func(p, c *license.ConcurrencyRule) func(pi, ci *license.Info) {
		return func(pi, ci *license.Info) { pi.Policy.Concurrency, ci.Policy.Concurrency = p, c }
	}
	one := func(on license.OnFull) *license.ConcurrencyRule {
		return &license.ConcurrencyRule{Max: 1, OnFull: on}
	}
	list := func(ids ...ident.Device) *license.CopyRule {
		return &license.CopyRule{Dests: license.DestList, List: ids}
	}
	copies := func(p, c *license.CopyRule) func(pi, ci *license.Info) {
		return func(pi, ci *license.Info) { pi.Policy.Copy, ci.Policy.Copy = p, c }
	}
	tail := func(p, c *int64) func(pi, ci *license.Info) {
		return func(pi, ci *license.Info) { pi.Policy.FinishTail, ci.Policy.FinishTail = p, c }
	}
	domain := func(p, c *license.DomainRule) func(pi, ci *license.Info) {
		return func(pi, ci *license.Info) { pi.Policy.Domain, ci.Policy.Domain = p, c }
	}
	five := &license.DomainRule{Devices: 5, NewAYear: 4}
	anywhere := &license.CopyRule{Dests: license.DestAny}
	holdAll(t, []lattice{
		{"slots added", "PLAY", "PLAY", concurrency(nil, one(0)), true},
		{"slots dropped", "PLAY", "PLAY", concurrency(one(0), nil), false},
		{"asks where the parent takes over", "PLAY", "PLAY", concurrency(one(license.TakeoverOldest), one(0)), true},
		{"takes over where the parent asks", "PLAY", "PLAY", concurrency(one(0), one(license.TakeoverOldest)), false},
		{"asks where the parent blocks", "PLAY", "PLAY", concurrency(one(license.BlockNew), one(0)), false},
		{"devices bounded", "PLAY", "PLAY", domain(nil, five), true},
		{"devices not bounded", "PLAY", "PLAY", domain(five, nil), false},
		{"the same devices", "PLAY", "PLAY", domain(five, five), true},
		{"more devices", "PLAY", "PLAY", domain(five, &license.DomainRule{Devices: 6, NewAYear: 4}), false},
		{"more new devices", "PLAY", "PLAY", domain(five, &license.DomainRule{Devices: 5, NewAYear: 5}), false},
		{"any number of new devices", "PLAY", "PLAY", domain(five, &license.DomainRule{Devices: 5}), false},
		{"new devices bounded", "PLAY", "PLAY", domain(&license.DomainRule{Devices: 5}, five), true},
		{"no tail", "PLAY", "PLAY", tail(nil, new(int64(0))), true},
		{"a tail of its own", "PLAY", "PLAY", tail(nil, new(minute)), false},
		{"a shorter tail", "PLAY", "PLAY", tail(new(hour), new(minute)), true},
		{"a longer tail", "PLAY", "PLAY", tail(new(minute), new(hour)), false},
		{"the default of tails", "PLAY", "PLAY", tail(new(minute), nil), false},
		{"copies to a list of many", "PLAY; COPY=FREE", "PLAY; COPY=FREE", copies(anywhere, list(phone)), true},
		{"copies to one of a list", "PLAY; COPY=FREE", "PLAY; COPY=FREE", copies(list(ident.Device{1}, phone), list(phone)), true},
		{"copies to none of a list", "PLAY; COPY=FREE", "PLAY; COPY=FREE", copies(list(ident.Device{1}), list(phone)), false},
		{"copies anywhere of a list", "PLAY; COPY=FREE", "PLAY; COPY=FREE", copies(list(phone), anywhere), false},
		{"copies anywhere of a household's", "PLAY; COPY=FREE", "PLAY; COPY=FREE", copies(nil, anywhere), false},
		{"transfers without a pause", "PLAY; TRANSFER=1", "PLAY; TRANSFER=1", func(_, c *license.Info) { c.Policy.Transfer = &license.TransferRule{Cooldown: 1} }, false},
		{"the same transfers", "PLAY; TRANSFER=1", "PLAY; TRANSFER=1", nil, true},
		{"loans of more", "PLAY; RENDER; LEND", "PLAY; RENDER; LEND", func(_, c *license.Info) {
			c.Policy.Lend = &license.LendRule{Grants: []permission.Permission{permission.Play, permission.Render}}
		}, false},
		{"loans anywhere", "PLAY; LEND", "PLAY; LEND", func(p, _ *license.Info) { p.Policy.Lend = &license.LendRule{Dests: license.DestDomain} }, false},
		{"a report dropped", "PLAY", "PLAY", func(p, _ *license.Info) {
			p.Policy.Report = &license.ReportRule{What: license.ReportStarted, To: "x"}
		}, false},
		{"renewed where the parent is not", "PLAY", "PLAY", func(_, c *license.Info) { c.Policy.Renew = &license.RenewRule{} }, false},
	})
}

func TestEvaluator_E12_NarrowerKeys(t *testing.T) {
	keys := func(p, c license.OutputRules) func(pi, ci *license.Info) {
		return func(pi, ci *license.Info) { pi.Keys[0].Outputs, ci.Keys[0].Outputs = rules(t, p), rules(t, c) }
	}
	on := func(v license.OnViolation) license.OutputRules {
		return license.OutputRules{Digital: 1, OnViolation: v}
	}
	holdAll(t, []lattice{
		{"a rate where there was none", "PLAY", "PLAY", func(p, _ *license.Info) { p.Keys[0].BPS = 0 }, false},
		{"no rate where there was one", "PLAY", "PLAY", func(_, c *license.Info) { c.Keys[0].BPS = 0 }, false},
		{"no rate in either", "PLAY", "PLAY", func(p, c *license.Info) { p.Keys[0].BPS, c.Keys[0].BPS = 0, 0 }, true},
		{"a longer settle", "PLAY", "PLAY", keys(license.OutputRules{Digital: 1}, license.OutputRules{Digital: 1, Settle: 3001}), false},
		{"a shorter settle", "PLAY", "PLAY", keys(license.OutputRules{Digital: 1}, license.OutputRules{Digital: 1, Settle: 2999}), true},
		{"dark instead of unusable", "PLAY", "PLAY", keys(on(license.Downgrade), on(license.BlockOutput)), false},
		{"unusable instead of dark", "PLAY", "PLAY", keys(on(license.BlockOutput), on(license.Downgrade)), true},
		{"stopped", "PLAY", "PLAY", keys(on(license.Downgrade), on(license.Stop)), true},
		{"stopped no more", "PLAY", "PLAY", keys(on(license.Stop), on(license.BlockOutput)), false},
		{"unknown outputs denied", "PLAY", "PLAY", keys(license.OutputRules{Digital: 1}, license.OutputRules{Digital: 1, Unknown: new(license.RuleDeny)}), true},
		{"more pixels there", "PLAY", "PLAY", keys(license.OutputRules{Digital: 1, Constrain: 9}, license.OutputRules{Digital: 1}), false},
		{"rules that nobody knows", "PLAY", "PLAY", func(p, _ *license.Info) { p.Keys[0].Outputs = []byte{0xa1, 0x18, 0x20, 1} }, false},
		{"the same rules that nobody knows", "PLAY", "PLAY", func(p, c *license.Info) {
			p.Keys[0].Outputs = []byte{0xa1, 0x18, 0x20, 1}
			c.Keys[0].Outputs = p.Keys[0].Outputs
		}, true},
	})
}
