package license

import (
	"slices"

	"github.com/lares-drm/lares/license/ident"
)

// Slots are the sessions of one license that a keeper knows: the module of a home
// server (evaluator E5). The methods return new values, and take times of one clock,
// whichever that is.
type Slots []Slot

// Source: evaluator E5.
const (
	Heartbeat = 60_000  // ms: how often a device that uses a slot tells the keeper so
	SlotLife  = 180_000 // ms: how long a slot is held without one
)

// Places is how many sessions of one instance of the license its keeper lets run
// at a time: as many as its rule says, and one where state is kept, because the
// state is of one play. Without a limit it is 0.
func (i *Info) Places() uint64 {
	if !i.Stateless() {
		return 1
	}
	if r := i.Policy.Concurrency; r != nil {
		return r.Max
	}
	return 0
}

// live are the slots that have not lapsed.
func (s Slots) live(now int64) Slots {
	return slices.DeleteFunc(slices.Clone(s), func(x Slot) bool { return now-x.Seen >= SlotLife })
}

// Begin gives a device a slot. When as many as the rule has are in use it fails,
// or takes over the oldest one: where the rule says so, or where takeover does
// and the rule asks. A device has one slot of a license, however often it
// begins.
func (s Slots) Begin(d ident.Device, r ConcurrencyRule, takeover bool, now int64) (Slots, bool) {
	out := s.live(now)
	out = slices.DeleteFunc(out, func(x Slot) bool { return x.Device == d })
	for out.used() >= r.Max {
		if r.OnFull != TakeoverOldest && (r.OnFull == BlockNew || !takeover) {
			return s, false
		}
		oldest := -1
		for i := range out {
			if !out[i].Taken && (oldest < 0 || out[i].Since < out[oldest].Since) {
				oldest = i
			}
		}
		out[oldest].Taken, out[oldest].By = true, d
	}
	return append(out, Slot{Device: d, Since: now, Seen: now}), true
}

// used counts the slots that are not taken over.
func (s Slots) used() uint64 {
	n := uint64(0)
	for i := range s {
		if !s[i].Taken {
			n++
		}
	}
	return n
}

// Beat is a device's heartbeat. It fails when the device has no slot any more:
// another one took it over, or it lapsed. The device then stops.
func (s Slots) Beat(d ident.Device, now int64) (Slots, bool) {
	out := s.live(now)
	i := slices.IndexFunc(out, func(x Slot) bool { return x.Device == d })
	if i < 0 {
		return out, false
	}
	if out[i].Taken {
		return slices.Delete(out, i, i+1), false // told once
	}
	out[i].Seen = now
	return out, true
}

// End frees a device's slot at once.
func (s Slots) End(d ident.Device) Slots {
	return slices.DeleteFunc(slices.Clone(s), func(x Slot) bool { return x.Device == d })
}
