package license

import (
	"math"
	"slices"

	"github.com/lares-drm/lares/license/permission"
)

// Bounds of region rules. Source: evaluator E6.
const (
	dayMS      = 86400_000 // ms
	roamWindow = 90        // days that are looked back on
	roamDays   = 30        // default of roam_days
	homeTrust  = dayMS     // ms that an assertion of the home's domain manager holds
)

// place is what Begin remembers of a region that was judged.
type place struct {
	country string // a permitted country; "" = none was asserted or permitted
	away    bool   // roaming: today is a day of use elsewhere
}

// region judges where a use begins (evaluator E6).
func (e *evaluation) region() {
	e.place = place{}
	r, s, ev := e.l.info.Policy.Region, e.in.State.Region, &e.in.Env.Region
	if r == nil || r.Phase < RegionFirstUse || e.ses != nil || s != nil && s.Sealed {
		return
	}
	known := ev.Source != RegionNone && e.l.named(ev.Country)
	if known && ev.Source == RegionHome {
		e.out.change(e.est, plus(ev.At, homeTrust), "REGION_EVIDENCE")
		known = e.est-ev.At < homeTrust
	}
	switch {
	case !known && r.denies(e.terms.live):
		e.out.refuse(Region, "UNKNOWN", "no signed assertion of the country", "one", Contact)
	case !known:
		e.out.Notes = append(e.out.Notes, "REGION_UNKNOWN")
	case e.l.permits(ev.Country):
		e.place.country = ev.Country
	case s == nil || s.Home == "":
		e.out.refuse(Region, "REGION", ev.Country, "a country of the license", Contact)
	default:
		e.roam(r, s)
	}
}

// roam judges a use outside of the countries of the license, by a device whose
// home is in them.
func (e *evaluation) roam(r *RegionRule, s *RegionState) {
	limit := uint64(roamDays)
	if r.RoamDays != nil {
		limit = *r.RoamDays
	}
	today := day(e.est)
	days := recent(s.Away, today)
	if slices.Contains(days, today) || uint64(len(days)) < limit {
		e.place.away = true
		e.out.change(e.est, dayStart(today+1), "REGION")
		e.out.Notes = append(e.out.Notes, "ROAMING")
		return
	}
	reason := Reason{Code: Region, Constraint: "ROAM_DAYS", Have: e.in.Env.Region.Country, Need: s.Home, Closed: true, Remedy: Contact}
	if limit > 0 {
		reason.Remedy, reason.Earliest = WaitUntil, dayStart(days[uint64(len(days))-limit]+roamWindow)
		e.out.change(e.est, reason.Earliest, "REGION")
	}
	e.out.add(reason)
}

// day is the number of days since 1970, UTC.
func day(ms int64) uint64 { return uint64(max(ms, 0) / dayMS) }

func dayStart(day uint64) int64 { return int64(min(day, maxTime/dayMS)) * dayMS }

// recent are the days, ascending, that lie within roamWindow of today.
func recent(days []uint64, today uint64) []uint64 {
	for i, d := range days {
		if d+roamWindow > today {
			return days[i:]
		}
	}
	return nil
}

// denies reports whether a missing assertion refuses.
func (r *RegionRule) denies(live bool) bool {
	if r.Unknown == 0 {
		return live
	}
	return r.Unknown == UnknownDeny
}

// permits reports whether the region rules of the license permit a country:
// TERRITORY and areas, without what is denied.
func (l *License) permits(country string) bool {
	var list []string
	if c := l.units.Classification; c != nil {
		list = c.Territory
	}
	r := l.info.Policy.Region
	if r == nil {
		return len(list) == 0 || slices.Contains(list, country)
	}
	in := func(code string) bool { return inRegion(country, code) }
	if slices.ContainsFunc(r.Deny, in) {
		return false
	}
	return len(list) == 0 && len(r.Areas) == 0 || slices.ContainsFunc(list, in) || slices.ContainsFunc(r.Areas, in)
}

// named reports whether a country is one that rules can be judged for: of the
// table, or by TERRITORY. Others are as good as no assertion, so that a rule
// that only denies does not let them pass.
func (l *License) named(country string) bool {
	c := l.units.Classification
	return len(country) == 2 && knownRegion(country) || c != nil && slices.Contains(c.Territory, country)
}

// PermitsRegion reports whether the license may be issued to somebody in the
// country (phase ISSUE): for the issuer, which knows where it sells.
func (l *License) PermitsRegion(country string) bool { return l.named(country) && l.permits(country) }

// remember writes the region of a new session into the state and reports
// whether it changed.
func (s *State) remember(p place, r *RegionRule, now int64) bool {
	if p.country == "" && !p.away {
		return false
	}
	was := s.Region
	next := RegionState{}
	if was != nil {
		next = *was
	}
	if p.away {
		today := day(now)
		next.Away = slices.Clone(recent(next.Away, today))
		// A day may lie ahead of today: the estimate of the time can go back.
		if at, there := slices.BinarySearch(next.Away, today); !there {
			next.Away = slices.Insert(next.Away, at, today)
		}
	} else {
		next.Home = p.country
	}
	next.Sealed = r.Phase == RegionFirstUse
	if was != nil && was.Home == next.Home && was.Sealed == next.Sealed && slices.Equal(was.Away, next.Away) {
		return false
	}
	s.Region = &next
	return true
}

// concurrency judges how many sessions there may be at a time (evaluator E5).
func (e *evaluation) concurrency() {
	r, env := e.l.info.Policy.Concurrency, &e.in.Env
	if r == nil {
		return
	}
	if env.Offline {
		if r.Offline && e.ses == nil {
			e.out.refuse(SlotFull, "CONCURRENCY", "no keeper of the slots in reach", "one", Contact)
		}
		return
	}
	if e.ses != nil {
		for i := range env.Slots {
			if s := &env.Slots[i]; s.Device == env.Device && s.Taken {
				e.out.refuse(SlotFull, "CONCURRENCY", "taken over by another device", "a slot", Takeover)
			}
		}
		return
	}
	busy, oldest := 0, never
	for i := range env.Slots {
		if e.busy(&env.Slots[i]) {
			busy++
			oldest = min(oldest, env.Slots[i].Since)
		}
	}
	if uint64(busy) < r.Max {
		return
	}
	free := e.frees(busy - int(r.Max) + 1) //nolint:gosec // at most 65,536
	e.out.change(e.est, free, "SLOT_FREE")
	if free >= maxTime { // sessions of the keeper itself: they do not lapse
		free = 0
	}
	if r.OnFull == TakeoverOldest || r.OnFull != BlockNew && e.in.Request.Takeover {
		e.out.Notes = append(e.out.Notes, "TAKES_OVER_OLDEST")
		return
	}
	remedy := Takeover
	if r.OnFull == BlockNew {
		remedy = WaitUntil
	}
	e.out.add(Reason{Code: SlotFull, Constraint: "CONCURRENCY", Have: "another device since " + when(oldest), Need: "a free slot", Closed: true, Earliest: free, Remedy: remedy})
}

// busy reports whether a slot is another device's and held.
func (e *evaluation) busy(s *Slot) bool {
	return s.Device != e.in.Env.Device && !s.Taken && e.est-s.Seen < SlotLife
}

// frees is when the n-th of the busy slots, by their last heartbeats, lapses.
func (e *evaluation) frees(n int) int64 {
	last := int64(math.MinInt64)
	for n > 0 { // n is small: the lapse after the one before
		next, same := never, 0
		for i := range e.in.Env.Slots {
			s := &e.in.Env.Slots[i]
			if !e.busy(s) || s.Seen <= last {
				continue
			}
			switch {
			case s.Seen < next:
				next, same = s.Seen, 1
			case s.Seen == next:
				same++
			}
		}
		last, n = next, n-same
	}
	return plus(last, SlotLife)
}

// moveInstead is the remedy of a copy that is not possible: MOVE where it is
// granted.
func (e *evaluation) moveInstead(other Remedy) Remedy {
	if e.l.units.Grants(permission.Move) {
		return MoveInstead
	}
	return other
}
