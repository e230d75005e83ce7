package adapt

import (
	"fmt"
	"math"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Terms is the one use that an artifact states: PLAY of the whole content, with
// every condition as the artifact is to say it.
type Terms struct {
	Start, End  int64  // Unix ms; 0 = none. End is the earliest of END_TIME, STORAGE_DURATION and HARD_END
	Interval    int64  // ms from the first use, and never behind End; 0 = none
	Plays       uint64 // 0 = not counted; the play of a sitting is 1, also where the system does not count
	Accumulated int64  // ms; 0 = not limited
	MaxPixels   uint64 // 0 = not limited
	Output      permission.Protection
	NoSkip      bool
	Territory   []string // ISO 3166-1 alpha-2, sorted; empty = everywhere
	KIDs        []ident.Key
}

// Flatten gives the terms of a license for a system that is not live, and what
// is lost on the way. It fails with ErrNotExportable where the license does not
// name the system or grants no PLAY, and with an UnheldError where the system
// would not keep a condition.
func Flatten(lic *license.License, s System) (*Terms, Loss, error) {
	units, err := Exportable(lic, s.Name)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(units.Usage, func(x permission.UsageUnit) bool { return x.Kind == permission.Playback && len(x.Part) == 0 })
	if i < 0 {
		return nil, nil, fmt.Errorf("%w: it does not grant %v of the whole content", ErrNotExportable, permission.Play)
	}
	info, one := lic.Info(), *units
	one.Usage = units.Usage[i : i+1]
	if bad := unkept(info, &one, &s); len(bad) > 0 {
		return nil, nil, &UnheldError{System: s.Name, Rights: bad}
	}
	x := &units.Usage[i]
	t := &Terms{
		Start: x.StartTime, End: end(info, x), Interval: x.Interval, Plays: x.PlayCount, Accumulated: x.Accumulated, MaxPixels: x.MaxPixels, Output: x.Output,
		NoSkip: units.Management != nil && units.Management.Timeline == permission.TimelineNoSkip,
	}
	if c := units.Classification; c != nil {
		t.Territory = c.Territory
	}
	for _, k := range info.Keys {
		t.KIDs = append(t.KIDs, k.KID)
	}
	slices.SortFunc(t.KIDs, func(a, b ident.Key) int { return slices.Compare(a[:], b[:]) })
	return t, dropped(info, units, i), nil
}

// unkept names the conditions of a license with one use that the system does
// not keep. STORAGE_DURATION and HARD_END are ends like any other.
func unkept(info *license.Info, u *permission.Units, s *System) []string {
	var out []string
	for _, c := range append(conditionsOf(u), Conditions(info, u)...) {
		as := c
		if c == "STORAGE_DURATION" || c == "HARD_END" {
			as = "END_TIME"
		}
		if c == "PLAY_COUNT" && onePlay(info, &u.Usage[0]) {
			continue
		}
		if !s.Keeps(as) && !slices.Contains(out, as) {
			out = append(out, as)
		}
	}
	return append(out, unknown(info, u)...)
}

// onePlay reports whether a license is a relayed play for one sitting: where
// nobody counts, its end keeps the count.
func onePlay(info *license.Info, x *permission.UsageUnit) bool {
	e := end(info, x)
	return info.Parent != nil && info.Parent.Kind == license.KindExport && x.PlayCount == 1 && e != 0 && e-info.IssuedAt <= info.Sitting()
}

// conditionsOf is Rights without the permissions.
func conditionsOf(u *permission.Units) []string {
	return slices.DeleteFunc(Rights(u), func(name string) bool {
		var p permission.Permission
		return p.UnmarshalText([]byte(name)) == nil
	})
}

// end is the end that holds whatever is used first: of END_TIME,
// STORAGE_DURATION and HARD_END the earliest, 0 for none. Under on_first_use
// REPLACE the license itself may last longer; the artifact does not.
func end(info *license.Info, x *permission.UsageUnit) int64 {
	e := int64(math.MaxInt64)
	for _, t := range []int64{x.EndTime, info.Policy.HardEnd} {
		if t != 0 {
			e = min(e, t)
		}
	}
	if d := info.Policy.StorageDuration; d != 0 && info.IssuedAt <= math.MaxInt64-d {
		e = min(e, info.IssuedAt+d)
	}
	if e == math.MaxInt64 {
		return 0
	}
	return e
}

// dropped names what an artifact does not say: every permission but PLAY, every
// use but the one, a longer end, and that it is renewed.
func dropped(info *license.Info, u *permission.Units, of int) Loss {
	var out Loss
	for p := permission.Render; p <= permission.Lend; p++ {
		if u.Grants(p) {
			out = append(out, Lost{Right: p.String(), Effect: Dropped, Words: "The other system can only play; use a paired device for this."})
		}
	}
	for i := range u.Usage {
		if x := &u.Usage[i]; i != of && x.Kind == permission.Playback {
			right := "PLAY"
			if len(x.Part) > 0 {
				right = "PART"
			}
			if !out.Has(right) {
				out = append(out, Lost{Right: right, Effect: Dropped, Words: "Of several ways to play, only the first one for the whole film is handed on."})
			}
		}
	}
	if x := &u.Usage[of]; x.Interval != 0 && end(info, x) != 0 && info.Policy.OnFirstUse != license.OnFirstCap {
		out = append(out, Lost{Right: "END_TIME", Effect: Narrowed, Words: "A viewing that begins late ends with the license there, not a full interval later."})
	}
	if info.Policy.Renew != nil {
		out = append(out, Lost{Right: "RENEW", Effect: Dropped, Words: "It is not renewed there by itself."})
	}
	return out
}

// Strict is the policy of a proposal: the strictest reading of everything that
// bears on the units and that no foreign document says.
func Strict(u *permission.Units) license.Policy {
	zero := int64(0)
	p := license.Policy{OnFirstUse: license.OnFirstCap, ExpiryMode: license.ExpiryStop, FirstUseThreshold: &zero}
	for i := range u.Usage {
		x := &u.Usage[i]
		if x.StartTime != 0 || x.EndTime != 0 || x.Interval != 0 {
			p.ClockGrace = &zero
		}
		if x.PlayCount != 0 {
			p.CountThreshold, p.ResumeWindow = strictCount, strictResume
		}
	}
	if c := u.Classification; c != nil && len(c.Territory) > 0 {
		p.Region = &license.RegionRule{Phase: license.RegionEachUse, Unknown: license.UnknownDeny, RoamDays: new(uint64)}
	}
	return p
}

// What a count means where the document does not say: it is charged with the
// first slice, and a break longer than this is another play. In ms. Source:
// local, docs/spec/adapt.md.
const (
	strictCount  = 10_000
	strictResume = 60_000
)
