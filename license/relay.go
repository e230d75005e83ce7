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
	child, units, lost, err := parent.relay(&d, &to)
	if err != nil {
		return nil, nil, err
	}
	child, err = parent.finish(child, units)
	return child, lost, err
}

// relay is the child of Relay before its units are encoded.
func (l *License) relay(d *Derivation, to *Target) (child *Info, units *permission.Units, lost []string, err error) {
	if !l.units.Export.Names(to.System) {
		return nil, nil, nil, fmt.Errorf("%w: EXPORT to %q", ErrNoRight, to.System)
	}
	d.Kind = KindExport
	child, err = l.child(d)
	if err != nil {
		return nil, nil, nil, err
	}
	u := l.units
	i := slices.IndexFunc(u.Usage, func(x permission.UsageUnit) bool { return x.Kind == permission.Playback && len(x.Part) == 0 })
	if i < 0 {
		return nil, nil, nil, fmt.Errorf("%w: no PLAY of the whole content", ErrNoRight)
	}
	if rest := l.unheld(&u.Usage[i], to); len(rest) > 0 {
		return nil, nil, nil, fmt.Errorf("%w: %s does not hold %v", ErrNoRight, to.System, rest)
	}
	x, lost, err := l.narrow(&u.Usage[i], d, to)
	if err != nil {
		return nil, nil, nil, err
	}
	q := &child.Policy
	q.Copy, q.Transfer, q.Lend = nil, nil, nil
	units = bare(u)
	units.Usage = []permission.UsageUnit{*x}
	return child, units, lost, nil
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

// defaultSitting is 12 hours in ms. Source: evaluator E4, resume_window.
const defaultSitting = 12 * 3_600_000

// Sitting is how long, in ms, one play may be interrupted and resumed without
// being another one (evaluator E4): within it a play that nobody counts is one.
func (i *Info) Sitting() int64 {
	if w := i.Policy.ResumeWindow; w != 0 {
		return min(w, defaultSitting)
	}
	return defaultSitting
}

// Export is Relay for an artifact that outlives the source's sight, as the
// module that signs the child and whoever writes the artifact reckon it: the
// child names this system and no other, a play that nobody counts there is over
// after one sitting, and of a total that is used here too nothing is taken along.
func Export(parent *License, d Derivation, to Target) (child *Info, lost []string, err error) {
	to.Holds = slices.DeleteFunc(slices.Clone(to.Holds), func(c string) bool { return c == "ACCUMULATED" })
	child, units, lost, err := parent.relay(&d, &to)
	if err != nil {
		return nil, nil, err
	}
	if slices.Contains(lost, "PLAY_COUNT") {
		units.Usage[0].EndTime = min(units.Usage[0].EndTime, d.Now+child.Sitting())
	}
	units.Export = &permission.ExportUnit{Systems: []string{to.System}, Extra: parent.units.Export.Extra}
	child, err = parent.finish(child, units)
	return child, lost, err
}

// ExportShare is what an exported child takes along: its plays.
func (i *Info) ExportShare() (Share, error) {
	units, err := i.Units()
	if err != nil {
		return Share{}, err
	}
	var out Share
	for x := range units.EachUsage(permission.Play) {
		out.Plays += x.PlayCount
	}
	return out, nil
}
