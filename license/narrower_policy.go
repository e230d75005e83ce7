package license

import (
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

func (n *narrowing) policy() bool {
	var none permission.UsageUnit
	c, p := termsOf(n.c, n.cu, &none), termsOf(n.p, n.pu, &none)
	cp, pp := &n.c.Policy, &n.p.Policy
	return cp.Duration == pp.Duration &&
		(p.finish() || !c.finish()) && (!c.finish() || tailAtMost(cp.FinishTail, pp.FinishTail)) &&
		c.firstUseThreshold() <= p.firstUseThreshold() && c.countThreshold() <= p.countThreshold() && c.resumeWindow() <= p.resumeWindow() && c.slice() <= p.slice() &&
		c.grace(nil) <= p.grace(nil) && (cp.ClockGrace != nil || c.charge == p.charge) && // a profile has a grace for each charge model (cp.EmbargoStrict || !pp.EmbargoStrict) &&
		c.minAnchor() >= p.minAnchor() && max(cp.OutputEvidence, EvidenceHost) >= max(pp.OutputEvidence, EvidenceHost) && cp.MinLevel >= pp.MinLevel &&
		max(cp.Stale, StaleWarn) >= max(pp.Stale, StaleWarn)
}

// tailAtMost: without a value the tail depends on the film, so only none, 0 or
// an equal one is known to be at most that.
func tailAtMost(c, p *int64) bool {
	switch {
	case c == nil:
		return p == nil
	case *c == 0:
		return true
	}
	return p != nil && *c <= *p
}

// policyRules compares the rules of field 8 that are maps.
func (n *narrowing) policyRules() bool {
	c, p := &n.c.Policy, &n.p.Policy
	by := func(a AccumulatedBy) AccumulatedBy { return max(a, AccumulatedWall) }
	return by(c.AccumulatedBy) <= by(p.AccumulatedBy) && n.region() && n.copyRule() && n.transferRule() && n.lendRule() &&
		c.Concurrency.atLeast(p.Concurrency) && sameAsParent(c.Report, p.Report) && sameAsParent(c.Overlay, p.Overlay) && c.Domain.atLeast(p.Domain) && n.renew()
}

// sameAsParent: what asks something of the user or the player stays as it is;
// a child may ask where the parent does not.
func sameAsParent[T comparable](c, p *T) bool { return p == nil || c != nil && *c == *p }

// region: at least as early judged, as much denied, as little permitted.
func (n *narrowing) region() bool {
	p, c := n.p.Policy.Region, n.c.Policy.Region
	if p == nil {
		return true
	}
	if c == nil {
		return false
	}
	roam := func(r *RegionRule) uint64 {
		if r.RoamDays == nil {
			return roamDays
		}
		return *r.RoamDays
	}
	live := func(u *permission.Units) bool {
		return u.Classification != nil && u.Classification.UsageClass == permission.UsageClassLive
	}
	return max(c.Phase, RegionIssue) >= max(p.Phase, RegionIssue) && roam(c) <= roam(p) && (c.denies(live(n.cu)) || !p.denies(live(n.pu))) &&
		subset(p.Deny, c.Deny)
}

// subset reports whether everything in a is in b.
func subset[T comparable](a, b []T) bool {
	return !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}

// destsAtMost compares destinations.
func destsAtMost(c, p Dests, cl, pl []ident.Device) bool {
	switch p {
	case DestAny:
		return true
	case DestList:
		return c == DestList && subset(cl, pl)
	default:
		return c == DestDomain
	}
}

func (n *narrowing) copyRule() bool {
	if !n.cu.Grants(permission.Copy) {
		return true
	}
	c, p := value(n.c.Policy.Copy), value(n.p.Policy.Copy)
	return (p.PerInstance || !c.PerInstance) && (c.NoChildMove || !p.NoChildMove) && (c.Child <= ChildNoMore || c.Child == p.Child && string(c.Code) == string(p.Code)) &&
		destsAtMost(c.dests(), p.dests(), c.List, p.List) && c.countersign() >= p.countersign()
}

func (n *narrowing) transferRule() bool {
	if !n.cu.Grants(permission.Transfer) {
		return true
	}
	c, p := value(n.c.Policy.Transfer), value(n.p.Policy.Transfer)
	return c.cooldown() >= p.cooldown() && c.countersign() >= p.countersign() && (c.Region || !p.Region)
}

func (n *narrowing) lendRule() bool {
	if !n.cu.Grants(permission.Lend) {
		return true
	}
	c, p := value(n.c.Policy.Lend), value(n.p.Policy.Lend)
	return (p.Overlap || !c.Overlap) && c.plays() <= p.plays() && destsAtMost(c.dests(), p.dests(), c.List, p.List) &&
		(!c.lends(permission.Play) || p.lends(permission.Play)) && (!c.lends(permission.Render) || p.lends(permission.Render))
}

// atLeast reports whether the rule is at least as strict as its parent's.
func (r *ConcurrencyRule) atLeast(p *ConcurrencyRule) bool {
	if p == nil {
		return true
	}
	asks := func(x *ConcurrencyRule) bool { return x.OnFull != TakeoverOldest }
	blocks := func(x *ConcurrencyRule) bool { return x.OnFull == BlockNew }
	return r != nil && r.Max <= p.Max && (blocks(r) || !blocks(p)) && (asks(r) || !asks(p)) && (r.Offline || !p.Offline)
}

// atLeast: no more devices, and no more new ones.
func (r *DomainRule) atLeast(p *DomainRule) bool {
	return p == nil || r != nil && r.Devices <= p.Devices && (p.NewAYear == 0 || r.NewAYear != 0 && r.NewAYear <= p.NewAYear)
}

// renew: a child is not renewed for longer than its parent goes on.
func (n *narrowing) renew() bool {
	c, p := n.c.Policy.Renew, n.p.Policy.Renew
	return c == nil || p != nil && atMost(c.Recovery, p.Recovery)
}
