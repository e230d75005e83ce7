package adapt

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// Exportable reads the license's permission code and returns its units, or
// ErrNotExportable when its data export condition does not name the system.
func Exportable(lic *license.License, system string) (*permission.Units, error) {
	units, err := permission.Parse(lic.Info().Code)
	if err != nil {
		return nil, fmt.Errorf("read the permission code: %w", err)
	}
	if !units.Export.Names(system) {
		return nil, fmt.Errorf("%w: its export condition does not name %q", ErrNotExportable, system)
	}
	return units, nil
}

// Rights names what a permission code grants and limits, in the order of the
// text form: the vocabulary in which a Loss must be complete.
func Rights(u *permission.Units) []string {
	var out []string
	add := func(name string, there bool) {
		if there {
			out = append(out, name)
		}
	}
	for p := permission.Render; p <= permission.Lend; p++ {
		add(p.String(), u.Grants(p))
	}
	var start, end, interval, count, resolution, output, acc, part bool
	for x := range u.EachUsage(permission.Play) {
		start, end = start || x.StartTime != 0, end || x.EndTime != 0
		interval, count = interval || x.Interval != 0, count || x.PlayCount != 0
		resolution, output = resolution || x.MaxPixels != 0, output || x.Output != permission.ProtectNone
		acc, part = acc || x.Accumulated != 0, part || len(x.Part) > 0
	}
	add("START_TIME", start)
	add("END_TIME", end)
	add("INTERVAL", interval)
	add("PLAY_COUNT", count)
	add("RESOLUTION", resolution)
	add("OUTPUT_PROTECTION", output)
	add("ACCUMULATED", acc)
	add("PART", part)
	add("TIMELINE", u.Management != nil && u.Management.Timeline == permission.TimelineNoSkip)
	return out
}

// Conditions names what a license says about its use beyond the permission
// code: conditions of its policy and of its keys that an artifact must keep or
// that must keep it from leaving. Defaults are none.
func Conditions(info *license.Info, u *permission.Units) []string {
	p := &info.Policy
	rules := false
	for i := range info.Keys {
		rules = rules || len(info.Keys[i].Outputs) > 0
	}
	var out []string
	for _, c := range []struct {
		name  string
		there bool
	}{
		{"STORAGE_DURATION", p.StorageDuration != 0},
		{"HARD_END", p.HardEnd != 0},
		{"TERRITORY", u.Classification != nil && len(u.Classification.Territory) > 0},
		{"REGION", p.Region != nil},
		{"KEY_RULES", rules},
		{"MIN_LEVEL", p.MinLevel != 0},
		{"MIN_ANCHOR", p.MinAnchor != nil && *p.MinAnchor > 1},
		{"EMBARGO_STRICT", p.EmbargoStrict},
		{"OUTPUT_EVIDENCE", p.OutputEvidence == license.EvidenceTREM},
		{"FRESHNESS", info.RevMaxAge != 0 && p.Stale == license.StaleDeny},
		{"CONCURRENCY", p.Concurrency != nil},
		{"DOMAIN", p.Domain != nil},
		{"REPORT", p.Report != nil},
		{"OVERLAY", p.Overlay != nil},
	} {
		if c.there {
			out = append(out, c.name)
		}
	}
	return out
}

// unknown names what stands where conditions do and nobody here understands.
func unknown(info *license.Info, u *permission.Units) []string {
	out := u.UnknownCritical(permission.Play)
	for k := range info.Policy.Other {
		if k%2 == 1 {
			out = append(out, fmt.Sprintf("policy %d", k))
		}
	}
	slices.Sort(out)
	return out
}
