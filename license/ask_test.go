package license_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// ask is a row of a table: a license, what surrounds the request, and every
// reason that is expected, in its order.
type ask struct {
	name string
	text string
	edit func(i *license.Info)   // may be nil
	in   func(in *license.Input) // at day 10, of PLAY; may be nil
	want []string                // CODE/CONSTRAINT, the remedy, and "warns" for what does not refuse
}

// spoken lists all reasons of a decision.
func spoken(d license.Decision) []string {
	var out []string
	for _, r := range d.Reasons {
		s := string(r.Code) + "/" + r.Constraint
		if r.Remedy != "" {
			s += " " + string(r.Remedy)
		}
		if !r.Closed {
			s += " warns"
		}
		out = append(out, s)
	}
	return out
}

// refusals counts the expected reasons that refuse.
func (a ask) refusals() int {
	n := 0
	for _, w := range a.want {
		if len(w) < 6 || w[len(w)-6:] != " warns" {
			n++
		}
	}
	return n
}

func (a ask) decide(t *testing.T) license.Decision {
	t.Helper()
	lic := inspect(t, newInfo(t, a.text, func(i *license.Info) {
		i.Policy.Duration = 2 * hour
		if a.edit != nil {
			a.edit(i)
		}
	}))
	in := at(day0 + 10*day)
	if a.in != nil {
		a.in(&in)
	}
	return lic.Evaluate(in)
}

// askAll runs a table.
func askAll(t *testing.T, table []ask) {
	t.Helper()
	for _, a := range table {
		t.Run(a.name, func(t *testing.T) {
			d := a.decide(t)
			if diff := cmp.Diff(a.want, spoken(d)); diff != "" || d.Allow != (a.refusals() == 0) {
				t.Errorf("allow %v; -want +got %s", d.Allow, diff)
			}
		})
	}
}

// handled makes an input of handling: the action, and a destination in the household.
func handled(p permission.Permission, more ...func(in *license.Input)) func(in *license.Input) {
	return func(in *license.Input) {
		in.Request.Action, in.Request.Dest, in.Request.For = p, &license.Dest{Domain: domain, Level: 1, Anchor: 1}, hour
		in.Request.Countersigned = license.CountersignDomain
		for _, f := range more {
			f(in)
		}
	}
}

func consumed(p permission.Permission, n uint64) func(in *license.Input) {
	return func(in *license.Input) { in.State.Consumed = map[permission.Permission]uint64{p: n} }
}
