package license

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license/permission"
)

// Target is a foreign system as far as narrowing needs to know it.
type Target struct {
	System string
	// Holds names the constraints that the system enforces itself, or that the
	// source enforces while it feeds it, as in the text form of a permission
	// code and in field 8: END_TIME, PLAY_COUNT, region.
	Holds []string
}

func (t *Target) holds(name string) bool { return slices.Contains(t.Holds, name) }

// Relay narrows a license to what a foreign system can hold (evaluator E12): the
// information of a child of kind 4, and what is lost. An INTERVAL that the
// system does not know becomes an absolute end, a PLAY_COUNT becomes one play
// with an end; everything else that it does not hold refuses. The caller has
// evaluated EXPORT, and debits the child's plays with Give where the parent is
// counted, before the child leaves: d.Plays, where the system holds PLAY_COUNT,
// else one.
func Relay(parent *License, d Derivation, to Target) (child *Info, lost []string, err error) {
	if !parent.units.Export.Names(to.System) {
		return nil, nil, fmt.Errorf("%w: EXPORT to %q", ErrNoRight, to.System)
	}
	d.Kind = KindExport
	child, err = parent.child(&d)
	if err != nil {
		return nil, nil, err
	}
	u := parent.units
	i := slices.IndexFunc(u.Usage, func(x permission.UsageUnit) bool { return x.Kind == permission.Playback && len(x.Part) == 0 })
	if i < 0 {
		return nil, nil, fmt.Errorf("%w: no PLAY of the whole content", ErrNoRight)
	}
	if rest := parent.unheld(&u.Usage[i], &to); len(rest) > 0 {
		return nil, nil, fmt.Errorf("%w: %s does not hold %v", ErrNoRight, to.System, rest)
	}
	x, lost, err := parent.narrow(&u.Usage[i], &d, &to)
	if err != nil {
		return nil, nil, err
	}
	q := &child.Policy
	q.Copy, q.Transfer, q.Lend = nil, nil, nil
	cu := bare(u)
	cu.Usage = []permission.UsageUnit{*x}
	child, err = parent.finish(child, cu)
	return child, lost, err
}

// narrow is the child's usage unit and what of the parent's is lost.
func (l *License) narrow(x *permission.UsageUnit, d *Derivation, to *Target) (*permission.UsageUnit, []string, error) {
	var lost []string
	out := *x
	t := termsOf(&l.info, l.units, x)
	t.denied = true
	end := t.end(d.State.FirstUse)
	if end <= d.Now {
		return nil, nil, fmt.Errorf("%w: over", ErrNoRight)
	}
	if x.Interval != 0 && (d.State.FirstUse != 0 || !to.holds("INTERVAL")) {
		if d.State.FirstUse == 0 {
			end = min(t.latestEnd(), plus(d.Now, x.Interval))
		}
		out.Interval = 0
		lost = append(lost, "INTERVAL")
	}
	if out.EndTime = 0; end != never {
		out.EndTime = end
	}
	if end != never && !to.holds("END_TIME") {
		return nil, nil, fmt.Errorf("%w: %s does not hold END_TIME", ErrNoRight, to.System)
	}
	if n := x.PlayCount; n != 0 {
		if out.PlayCount = max(d.Plays, 1); !to.holds("PLAY_COUNT") {
			out.PlayCount = 1
		}
		if out.PlayCount > d.State.free(n) {
			return nil, nil, fmt.Errorf("%w: %d plays of %d left", ErrNoRight, out.PlayCount, d.State.free(n))
		}
		if !to.holds("PLAY_COUNT") {
			if end == never {
				return nil, nil, fmt.Errorf("%w: %s holds neither PLAY_COUNT nor an end", ErrNoRight, to.System)
			}
			lost = append(lost, "PLAY_COUNT")
		}
	}
	return &out, lost, nil
}

// unheld names the conditions that cannot be narrowed and that the target does
// not hold.
func (l *License) unheld(x *permission.UsageUnit, to *Target) []string {
	p, m := &l.info.Policy, l.units.Management
	var out []string
	for _, c := range []struct {
		name  string
		there bool
	}{
		{"START_TIME", x.StartTime != 0},
		{"ACCUMULATED", x.Accumulated != 0},
		{"RESOLUTION", x.MaxPixels != 0},
		{"OUTPUT_PROTECTION", x.Output != 0},
		{"TIMELINE", m != nil && m.Timeline == permission.TimelineNoSkip},
		{"region", p.Region != nil && p.Region.Phase >= RegionFirstUse},
		{"concurrency", p.Concurrency != nil},
		{"domain", p.Domain != nil},
		{"report", p.Report != nil},
		{"overlay", p.Overlay != nil},
	} {
		if c.there && !to.holds(c.name) {
			out = append(out, c.name)
		}
	}
	return append(append(out, l.units.UnknownCritical(permission.Play)...), p.unknown(true)...)
}
