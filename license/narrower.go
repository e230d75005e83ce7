package license

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license/permission"
)

// Narrower checks that child permits nothing that parent does not (evaluator
// E12, docs/spec/license.md): issuer and content equal, keys a subset with the
// same check values, every grant, time, count, level and output at least as
// strict. Every failure wraps ErrNotNarrower and names what is wider.
//
// It compares what the two say. What has been used of the parent, and that no
// index is given twice, is for the party that derives.
func Narrower(child, parent *Info) error {
	cu, err := child.check()
	if err != nil {
		return err
	}
	pu, err := parent.check()
	if err != nil {
		return err
	}
	n := narrowing{child, parent, cu, pu}
	for _, part := range []struct {
		what string
		ok   func() bool
	}{
		{"derivation", n.derivation},
		{"issuer or content", n.identity},
		{"keys", n.keys},
		{"usage", n.usage},
		{"management, loan or export", n.rights},
		{"classification", n.classification},
		{"policy", n.policy},
		{"rules", n.policyRules},
		{"revocation", n.revocation},
		{"unknown conditions", n.unknown},
	} {
		if !part.ok() {
			return fmt.Errorf("%w: %s", ErrNotNarrower, part.what)
		}
	}
	return nil
}

type narrowing struct {
	c, p   *Info
	cu, pu *permission.Units
}

func (n *narrowing) derivation() bool {
	link := n.c.Parent
	if link == nil {
		return false
	}
	var before uint64
	if n.p.Parent != nil {
		before = n.p.Parent.CopyGeneration
	}
	if link.Kind != KindCopy && link.CopyGeneration != before {
		return false
	}
	switch link.Kind {
	case KindCopy:
		m := n.pu.Management
		return n.pu.Grants(permission.Copy) && link.CopyGeneration == before+1 && before < max(m.MaxGeneration, 1) && link.Of == copies(m)
	case KindLoan:
		return n.pu.Grants(permission.Lend) && n.c.Policy.HardEnd != 0
	case KindExport:
		return n.pu.Grants(permission.Export)
	case KindAllowance:
		if n.c.Subject.Kind != SubjectDevice {
			return false
		}
		// index < parent's count; check has already held index against of.
		for x := range n.pu.EachUsage(permission.Play) {
			if x.PlayCount != 0 && link.Of != x.PlayCount {
				return false
			}
		}
	default: // KindRebind
	}
	return true
}

func (n *narrowing) identity() bool { return n.c.Issuer == n.p.Issuer && n.c.Content == n.p.Content }

func (n *narrowing) keys() bool {
	for i := range n.c.Keys {
		c := &n.c.Keys[i]
		at := slices.IndexFunc(n.p.Keys, func(k KeyRef) bool { return k.KID == c.KID })
		if at < 0 {
			return false
		}
		p := &n.p.Keys[at]
		if c.Check != p.Check || c.Tier != p.Tier || !atMost(c.BPS, p.BPS) || c.BPS != 0 && p.BPS == 0 || !rulesAtLeast(c, p) {
			return false
		}
	}
	return true
}

// rulesAtLeast reports whether a's output rules are at least as strict as b's.
// max_pixels is a statement about the pictures, so it must not change.
func rulesAtLeast(a, b *KeyRef) bool {
	if bytes.Equal(a.Outputs, b.Outputs) {
		return true
	}
	x, errX := a.Rules()
	y, errY := b.Rules()
	if errX != nil || errY != nil {
		return false
	}
	stricter := func(c, p Rule) bool { return c == p || c == RuleDeny || p == RuleAllow }
	unknown := func(r *Rule) Rule {
		if r == nil {
			return RuleConstrain
		}
		return *r
	}
	constrain := func(r *OutputRules) uint64 {
		if r.Constrain == 0 {
			return defaultConstrain
		}
		return r.Constrain
	}
	settle := func(r OutputRules) int64 { return (&keyRule{OutputRules: r}).settle() }
	return x.Digital >= y.Digital && stricter(x.Analog, y.Analog) && stricter(x.Wireless, y.Wireless) && stricter(unknown(x.Unknown), unknown(y.Unknown)) &&
		x.OnViolation.rank() >= y.OnViolation.rank() && settle(x) <= settle(y) && constrain(&x) <= constrain(&y) && x.MinLevel >= y.MinLevel && x.MaxPixels == y.MaxPixels && atMost(x.MaxFPS, y.MaxFPS)
}

// rank orders what a violation does: a key with BLOCK_OUTPUT stays usable where
// others do not.
func (v OnViolation) rank() int {
	return [...]int{Downgrade: 1, BlockOutput: 0, Stop: 2}[v] // Rules lets no other pass
}

// atMost compares limits of which 0 means unlimited.
func atMost[T uint64 | int64](child, parent T) bool {
	return parent == 0 || child != 0 && child <= parent
}

func (n *narrowing) usage() bool {
	for i := range n.cu.Usage {
		c := &n.cu.Usage[i]
		if !slices.ContainsFunc(n.pu.Usage, func(p permission.UsageUnit) bool { return n.unit(c, &p) }) {
			return false
		}
	}
	return true
}

func (n *narrowing) unit(c, p *permission.UsageUnit) bool {
	if c.Kind != p.Kind || !bytes.Equal(c.Part, p.Part) || !sameItems(c.Extra, p.Extra) {
		return false
	}
	ct, pt := termsOf(n.c, n.cu, c), termsOf(n.p, n.pu, p)
	return c.StartTime >= p.StartTime && n.ends(&ct, &pt) && ct.minAnchor() >= pt.minAnchor() && atMost(c.PlayCount, p.PlayCount) && atMost(c.Accumulated, p.Accumulated) &&
		atMost(c.MaxPixels, p.MaxPixels) && c.Output >= p.Output
}

// ends compares the windows. A child without INTERVAL of a parent with one is
// from a started interval: its end is absolute, and since the interval began
// before the child was issued, at most INTERVAL behind that.
func (n *narrowing) ends(c, p *terms) bool {
	cx, px := c.usage, p.usage
	if c.latestEnd() > p.latestEnd() {
		return false
	}
	if px.Interval == 0 {
		return true
	}
	if cx.Interval == 0 {
		return c.latestEnd() <= plus(n.c.IssuedAt, px.Interval)
	}
	return cx.Interval <= px.Interval && c.storeEnd() <= p.storeEnd()
}

// conditions are the unknown units that stand where conditions do.
func conditions(units []permission.Item) []permission.Item {
	var out []permission.Item
	for _, u := range units {
		if u.Tag >= permission.TagPlayback && u.Tag <= permission.TagExport {
			out = append(out, u)
		}
	}
	return out
}

func sameItems(a, b []permission.Item) bool {
	return slices.EqualFunc(a, b, func(x, y permission.Item) bool { return x.Tag == y.Tag && bytes.Equal(x.Value, y.Value) })
}

func (n *narrowing) rights() bool {
	for _, q := range []permission.Permission{permission.Copy, permission.Move, permission.Transfer, permission.Lend, permission.Export} {
		if n.cu.Grants(q) && !n.pu.Grants(q) {
			return false
		}
	}
	if !n.restrictions() {
		return false
	}
	if c, p := n.cu.Management, n.pu.Management; c != nil && p != nil {
		copies := c.Copy == p.Copy && c.CopyCount <= p.CopyCount || !n.cu.Grants(permission.Copy) || p.Copy == permission.CopyFree
		if !copies || max(c.MaxGeneration, 1) > max(p.MaxGeneration, 1) || c.Move > p.Move || c.Transfer > p.Transfer {
			return false
		}
	}
	for _, c := range n.cu.Extended {
		if !slices.ContainsFunc(n.pu.Extended, func(p permission.ExtendedUnit) bool {
			return c.Kind == p.Kind && longestLoan(&c) <= longestLoan(&p) && max(c.MaxLoans, 1) <= max(p.MaxLoans, 1) && sameItems(c.Extra, p.Extra)
		}) {
			return false
		}
	}
	if c := n.cu.Export; c != nil && len(c.Systems) > 0 {
		for _, s := range c.Systems {
			if !n.pu.Export.Names(s) {
				return false
			}
		}
	}
	return true
}

// restrictions: TIMELINE, ENCRYPTION and TRANSCODE restrict what other units
// grant, so a child without them must not be wider.
func (n *narrowing) restrictions() bool {
	c, p := value(n.cu.Management), value(n.pu.Management)
	return (p.Timeline != permission.TimelineNoSkip || c.Timeline == permission.TimelineNoSkip) &&
		(c.Encryption != permission.EncryptionRelease || p.Encryption == permission.EncryptionRelease) &&
		max(c.Transcode, permission.TranscodeDeny) <= max(p.Transcode, permission.TranscodeDeny)
}

// classification: TERRITORY and areas permit at most what the parent's do. What
// defaults hang on is compared where they are.
func (n *narrowing) classification() bool {
	c, p := value(n.cu.Classification).Territory, value(n.pu.Classification).Territory
	ca, pa := value(n.c.Policy.Region).Areas, value(n.p.Policy.Region).Areas
	if len(p) == 0 && len(pa) == 0 {
		return true
	}
	within := func(country string) bool {
		return slices.Contains(p, country) || slices.ContainsFunc(pa, func(area string) bool { return inRegion(country, area) })
	}
	return len(c)+len(ca) > 0 && !slices.ContainsFunc(c, func(t string) bool { return !within(t) }) && subset(ca, pa)
}

func (n *narrowing) revocation() bool {
	return n.c.RevMinEpoch >= n.p.RevMinEpoch && atMost(n.c.RevMaxAge, n.p.RevMaxAge)
}

// unknown: what the parent says critically and nobody here understands, the
// child says in the same bytes, and it adds nothing of the kind.
func (n *narrowing) unknown() bool {
	for k, v := range n.p.Policy.Other {
		if k%2 == 1 && !bytes.Equal(n.c.Policy.Other[k], v) {
			return false
		}
	}
	for k := range n.c.Policy.Other {
		if _, there := n.p.Policy.Other[k]; k%2 == 1 && !there {
			return false
		}
	}
	if n.cu.Export != nil && len(n.cu.Export.Systems) > 0 && !sameItems(n.cu.Export.Extra, n.pu.Export.Extra) {
		return false // rights has seen that the parent has one
	}
	return sameItems(conditions(n.cu.Unknown), conditions(n.pu.Unknown)) && sameItems(value(n.cu.Management).Extra, value(n.pu.Management).Extra) &&
		sameItems(value(n.cu.Actor).Extra, value(n.pu.Actor).Extra)
}
