package core

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/trem"
)

// input is what a license of this module is evaluated with. Everything but
// the ask comes from the vault.
func (c *Core) input(inst *instance, in trem.Ask, r Reading) license.Input {
	domains := c.memberships(inst.leaf().Info().Issuer)
	if m, ok := c.stands(inst); ok {
		domains = append(domains, m)
	}
	now := c.clock.judge(r)
	now.LoIss = c.issuerTime(inst)
	held, offline := c.slots(inst, now, r)
	watched, others := c.outputs(in, now.Est)
	var dest *license.Dest
	if in.Renderer != "" {
		dest = &license.Dest{Renderer: in.Renderer}
	}
	return license.Input{
		State: inst.state,
		Clock: now,
		Env: license.Env{
			Accepted: true, AcceptedEpoch: inst.epoch, CompromisedEpoch: c.compromised(inst), Device: c.self, Domains: domains, Keys: inst.kids(),
			RevEpoch: c.epoch(), StatusAge: c.statusAge(r), Level: c.level(), Anchor: uint8(c.peer.Anchor()), Outputs: others,
			SunsetAt: c.sunsetAt(inst, now.Est),
			Slots:    held, Offline: offline,
		},
		Request: license.Request{
			Action: in.Action, Tier: license.Tier(in.Tier), Output: watched,
			Confirm: in.Confirm, From: in.FromMS, Again: in.Again, Part: in.Part, FPS: in.FPS, Consent: in.Consent, Overlay: in.Overlay, Person: in.Person, Takeover: in.Takeover, Dest: dest,
		},
	}
}

// openOf lists the sessions of an instance, oldest first, but for releases by a sunset,
// which are no use.
func (c *Core) openOf(inst *instance) []uint64 {
	var out []uint64
	for handle, s := range c.sessions {
		if s.inst == inst && !s.release {
			out = append(out, handle)
		}
	}
	slices.Sort(out)
	return out
}

func (i *instance) kids() []ident.Key {
	kids := make([]ident.Key, 0, len(i.keys))
	for kid := range i.keys {
		kids = append(kids, kid)
	}
	slices.SortFunc(kids, func(a, b ident.Key) int { return slices.Compare(a[:], b[:]) })
	return kids
}

// memberships is the domain that this module is in, under the name its issuer knows.
func (c *Core) memberships(issuer ident.Issuer) []license.Membership {
	id, generation, ok := c.pairwise(issuer)
	if !ok {
		return nil
	}
	m := license.Membership{Domain: id, Generation: generation}
	if c.membership != nil {
		m.NotAfter = c.membership.NotAfter
	}
	return []license.Membership{m}
}

func (c *Core) statusAge(r Reading) int64 {
	if c.revoked == nil {
		return 0
	}
	return max(c.clock.judge(r).Est-c.revoked.Head().IssuedAt, 0)
}

// tier is how far this module may act on its revocation state for a license.
func (c *Core) tier(inst *instance, r Reading) revocation.Tier {
	const longest = math.MaxInt64 / int64(time.Millisecond)
	age := time.Duration(min(inst.leaf().Info().RevMaxAge, longest)) * time.Millisecond
	return c.revoked.Head().Tier(time.UnixMilli(c.clock.judge(r).Est), age)
}

// judge evaluates one instance for an ask.
func (c *Core) judge(inst *instance, in trem.Ask, r Reading) license.Decision {
	return c.standStill(inst, inst.leaf().Evaluate(c.input(inst, in, r)))
}

// evaluate answers what a use would be.
func (c *Core) evaluate(in trem.Ask, r Reading) (license.Decision, error) {
	if c.peer == nil {
		return license.Decision{}, stateError("this module is not enrolled yet")
	}
	_, d := c.choose(in, r, func(_ *instance, with *license.Input) bool { // BEGIN asks the keeper
		with.Env.Offline = false
		return true
	})
	return d, nil
}

// choose picks the license for the ask (license.Choose); without any it is
// NO_GRANT. Where bend is not nil, each is judged by what that makes of its input, and
// left out where it returns false.
func (c *Core) choose(in trem.Ask, r Reading, bend func(*instance, *license.Input) bool) (*instance, license.Decision) {
	var list []license.Candidate
	var held []*instance
	for _, inst := range c.sorted() {
		if !inst.meant(in) {
			continue
		}
		with := c.input(inst, in, r)
		if bend != nil && !bend(inst, &with) {
			continue
		}
		d := c.standStill(inst, inst.leaf().Evaluate(with))
		list, held = append(list, license.Candidate{License: inst.leaf(), State: inst.state, Decision: &d}), append(held, inst)
	}
	best := license.Choose(list)
	if best < 0 {
		return nil, c.nothing(in.Content, in.Action)
	}
	return held[best], *list[best].Decision
}

// meant reports whether an ask is about a license, by its content or by itself.
func (i *instance) meant(in trem.Ask) bool {
	info := i.leaf().Info()
	return (in.Content == "" || info.Content == in.Content) && (in.License == (ident.License{}) || info.ID == in.License)
}

// nothing is the refusal where no license is here: it was never, or it moved away.
func (c *Core) nothing(content ident.Content, action permission.Permission) license.Decision {
	for _, away := range c.away {
		if away.Content == content {
			return license.Decision{Action: action, Reasons: []license.Reason{{
				Code: license.MovedAway, Constraint: "PHASE", Have: away.TID.Dst.String(), Need: license.Held.String(), Closed: true, Remedy: license.Contact,
			}}}
		}
	}
	return license.Decision{Action: action, Reasons: []license.Reason{{Code: license.NoGrant, Closed: true, Remedy: license.Buy}}}
}

// sorted lists the instances in an order that does not change.
func (c *Core) sorted() []*instance {
	out := make([]*instance, 0, len(c.held))
	for _, inst := range c.held {
		out = append(out, inst)
	}
	slices.SortFunc(out, func(a, b *instance) int {
		return strings.Compare(a.leaf().Info().ID.String(), b.leaf().Info().ID.String())
	})
	return out
}

func (c *Core) licenses(r Reading) []trem.Held {
	out := make([]trem.Held, 0, len(c.held))
	for _, inst := range c.sorted() {
		info := inst.leaf().Info()
		h := trem.Held{
			License: info.ID, Hash: inst.leaf().Hash(), Content: info.Content, Issuer: info.Issuer, Terms: inst.leaf().Units().Text(),
			Bytes: inst.leaf().Bytes(), Phase: inst.state.Phase.String(),
			Counters: c.judge(inst, trem.Ask{Content: info.Content, Action: 1, Output: trem.OutputInternal}, r).Counters,
		}
		_, h.House = inst.root().House()
		if info.Parent != nil {
			h.Kind = uint64(info.Parent.Kind)
		}
		out = append(out, h)
	}
	return out
}
