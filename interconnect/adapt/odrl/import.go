package odrl

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license/permission"
)

// Import reads a policy as a proposal. Rules that are not understood are left
// out, each with a line in the loss; a policy that hangs on something that is
// not understood fails with ErrUnknown. Nothing is fetched and no party is
// looked up: who accepts the proposal checks whom the policy is for.
func (Adapter) Import(ctx context.Context, doc []byte) (adapt.Proposal, error) {
	if err := ctx.Err(); err != nil {
		return adapt.Proposal{}, err
	}
	p, err := parse(doc)
	if err != nil {
		return adapt.Proposal{}, err
	}
	switch p.kind {
	case "Set", "Offer", "Agreement", "Policy":
	case "Request", "Assertion", "Ticket", "Privacy":
		return adapt.Proposal{}, fmt.Errorf("%w: a policy of type %s grants nothing here", adapt.ErrNoRights, p.kind)
	default:
		return adapt.Proposal{}, fmt.Errorf("%w: a policy of another type", adapt.ErrDocument)
	}
	in := importing{units: &permission.Units{}}
	if err := in.policy(p); err != nil {
		return adapt.Proposal{}, err
	}
	return in.proposal()
}

// importing gathers what a policy grants.
type importing struct {
	units     *permission.Units
	territory []string
	about     string
	assignee  string
	loss      adapt.Loss
	any       bool // some permission was used
}

func (in *importing) policy(p *policy) error {
	for i := range p.permissions {
		r := &p.permissions[i]
		if len(r.odd) > 0 {
			for _, what := range r.odd {
				in.lose(what, adapt.Dropped, "A permission is left out, because it depends on something that is not understood here.")
			}
			continue
		}
		for _, a := range r.actions {
			if bad := conflicting(p.prohibitions, r, a.name); bad {
				if p.conflict == "perm" {
					in.lose("PROHIBITION", adapt.Dropped, "The policy lets its permissions win over its prohibitions.")
				} else if p.conflict != "prohibit" {
					return fmt.Errorf("%w: it permits and prohibits the same, which makes it void", adapt.ErrNoRights)
				} else {
					in.lose(strings.ToUpper(a.name), adapt.Dropped, "What the policy also prohibits is left out.")
					continue
				}
			}
			in.permission(r, a)
		}
	}
	return nil
}

// conflicting reports whether a prohibition of the same asset takes the action
// away, whatever it is limited to.
func conflicting(prohibitions []rule, r *rule, name string) bool {
	return slices.ContainsFunc(prohibitions, func(p rule) bool {
		if p.target != "" && r.target != "" && p.target != r.target && !slices.Contains(p.odd, "TARGET") {
			return false
		}
		return len(p.actions) == 0 || slices.ContainsFunc(p.actions, func(a action) bool { return slices.Contains(touched(a.name), name) })
	})
}

// permission adds one action of one permission, or says why it does not.
func (in *importing) permission(r *rule, a action) {
	left := func(right, words string) { in.lose(right, adapt.Dropped, words) }
	if in.any && (r.target != in.about || r.assignee != in.assignee) {
		left("TARGET", "A proposal is about one title for one party; what the policy grants beyond that is left out.")
		return
	}
	g := grant{usage: permission.UsageUnit{Kind: permission.Playback}}
	for _, c := range append(slices.Clone(r.constraints), a.refinements...) {
		if !g.apply(c) {
			left(constraintName(c), "A permission is left out, because one of its conditions is not understood here.")
			return
		}
	}
	if x := &g.usage; x.EndTime != 0 && x.EndTime <= x.StartTime {
		left(strings.ToUpper(a.name), "A permission is left out, because its time is empty.")
		return
	}
	if g.territory != nil && in.territory != nil && !slices.Equal(g.territory, in.territory) {
		left("TERRITORY", "A proposal is for one territory; what the policy grants for another one is left out.")
		return
	}
	if !in.add(a.name, &g) {
		return
	}
	if g.territory != nil {
		in.territory = g.territory
	}
	in.any, in.about, in.assignee = true, r.target, r.assignee
}

// add puts a grant among the units.
func (in *importing) add(name string, g *grant) bool {
	m := in.units.Management
	manage := func() *permission.ManagementUnit {
		if m == nil {
			m = &permission.ManagementUnit{}
			in.units.Management = m
		}
		return m
	}
	x := &g.usage
	limited := x.StartTime != 0 || x.EndTime != 0 || x.Interval != 0 || x.Accumulated != 0 || x.MaxPixels != 0 || x.Output != 0
	switch name {
	case actUse, actPlay:
		if name == actUse {
			in.lose("USE", adapt.Narrowed, "Of all uses that the policy permits, playing is taken.")
		}
		return in.use(g)
	case actPrint:
		g.usage.Kind = permission.Print
		if g.usage.MaxPixels != 0 || g.usage.Output != 0 {
			break
		}
		return in.use(g)
	case actReproduce:
		if limited || m != nil && m.Copy != 0 {
			break
		}
		if manage().Copy = permission.CopyFree; g.counted {
			m.Copy, m.CopyCount = permission.CopyCounted, g.usage.PlayCount
		}
		in.lose("REPRODUCE", adapt.Narrowed, "Copies are of the first generation, for devices of the household.")
		return true
	case actMove:
		if limited || g.counted {
			break
		}
		manage().Move = permission.MoveDomain
		return true
	case actTransfer, "give", "sell":
		if limited || g.counted {
			break
		}
		manage().Transfer = 1
		return true
	case actLend:
		if limited || g.counted || len(in.units.Extended) > 0 {
			break
		}
		in.units.Extended = append(in.units.Extended, permission.ExtendedUnit{Kind: permission.TagLend})
		return true
	}
	in.lose(strings.ToUpper(name), adapt.Dropped, "A permission is left out, because there is none like it here with these conditions.")
	return false
}

// maxUses is how many alternatives a proposal has. Source: local, docs/spec/odrl.md.
const maxUses = 8

// use adds a usage unit. Of each kind one at most has a state.
func (in *importing) use(g *grant) bool {
	stateful := func(x *permission.UsageUnit) bool { return x.PlayCount != 0 || x.Interval != 0 || x.Accumulated != 0 }
	for i := range in.units.Usage {
		if x := &in.units.Usage[i]; x.Kind == g.usage.Kind && stateful(x) && stateful(&g.usage) || len(in.units.Usage) >= maxUses {
			in.lose("PLAY", adapt.Dropped, "Of several permissions that are counted or timed from the first use, the first one is taken.")
			return false
		}
	}
	in.units.Usage = append(in.units.Usage, g.usage)
	return true
}

func (in *importing) lose(right string, e adapt.Effect, words string) {
	if !in.loss.Has(right) {
		in.loss = append(in.loss, adapt.Lost{Right: right, Effect: e, Words: words})
	}
}

func (in *importing) proposal() (adapt.Proposal, error) {
	if !in.any {
		err := fmt.Errorf("%w: no permission of it can be used here", adapt.ErrNoRights)
		for _, l := range in.loss {
			err = fmt.Errorf("%w; %s is %v", err, l.Right, l.Effect)
		}
		return adapt.Proposal{}, err
	}
	if in.territory != nil {
		in.units.Classification = &permission.ClassificationUnit{Territory: in.territory}
	}
	slices.SortStableFunc(in.units.Usage, func(a, b permission.UsageUnit) int { return int(a.Kind) - int(b.Kind) })
	code, err := in.units.Encode()
	if err != nil {
		return adapt.Proposal{}, fmt.Errorf("%w: %w", adapt.ErrDocument, err)
	}
	if in.assignee != "" {
		in.lose("ASSIGNEE", adapt.Narrowed, "It is for one party only; who accepts it checks that this is the household.")
	}
	return adapt.Proposal{Code: code, About: in.about, Policy: adapt.Strict(in.units), Loss: in.loss}, nil
}

// constraintName is the left operand as a loss names it.
func constraintName(c object) string {
	name := term(c["leftOperand"])
	if name == "" || len(name) > 40 {
		return "CONSTRAINT"
	}
	return name
}
