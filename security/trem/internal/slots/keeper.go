package slots

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// maxPlaces bounds the licenses of which one device has slots at a time: as many as
// a module has sessions. Source: local, docs/spec/places.md.
const maxPlaces = 64

// Keeper knows which devices of a house have slots of which licenses. The sessions of
// its own module it is told with each call: slots whose heartbeat is license.Open. All
// times are ms since boot. A keeper is as volatile as the sessions are.
type Keeper struct {
	self       ident.Device
	born       int64 // when it started
	slots      map[ident.License]license.Slots
	challenges map[ident.Device]Nonce // what each device's next ask has to repeat
}

// NewKeeper begins with no slot in use at all.
func NewKeeper(self ident.Device, now int64) *Keeper {
	return &Keeper{self: self, born: now, slots: map[ident.License]license.Slots{}, challenges: map[ident.Device]Nonce{}}
}

// Answer does what a device asks. What it returns besides are sessions of the keeper's
// own that gave way: their slots, of those in own. With ErrRoom nothing was done.
func (k *Keeper) Answer(from ident.Device, a *Ask, own license.Slots, now int64) (*Answer, license.Slots, error) {
	k.lapse(now)
	out := &Answer{Nonce: a.Nonce, Device: from, License: a.License, Outcome: Again}
	want, known := k.challenges[from]
	if !known {
		want = newNonce()
		k.challenges[from] = want
	}
	if out.Challenge = want; !known || a.Challenge != want {
		return out, nil, nil
	}
	if a.Op != End && !k.room(from, a.License) {
		return nil, nil, ErrRoom
	}
	k.challenges[from] = newNonce()
	out.Challenge = k.challenges[from]
	next := k.do(from, a, k.all(a.License, own), now, out)
	ended := k.keep(a.License, next)
	if out.Outcome == Full || out.Outcome == Lost {
		out.Holders = k.holders(next, from, now)
	}
	return out, ended, nil
}

// do is one operation on the slots of a license.
func (k *Keeper) do(from ident.Device, a *Ask, all license.Slots, now int64, out *Answer) license.Slots {
	next, ok := all, false
	switch a.Op {
	case End:
		out.Outcome = Ended
		return all.End(from)
	case Begin:
		next, ok = all.Begin(from, a.rule(), a.Takeover, now)
		out.Outcome = Full
	case Beat:
		if i := slices.IndexFunc(all, func(s license.Slot) bool { return s.Device == from }); i >= 0 {
			by := all[i].By
			if next, ok = all.Beat(from, now); !ok {
				out.Outcome, out.By = Lost, k.name(by)
				return next
			}
			break
		}
		if out.Outcome = Full; a.Age > 0 {
			out.Outcome = Lost
		}
		next, ok = k.again(from, a, all, now)
	}
	if ok {
		out.Outcome = Granted
	}
	return next
}

// again is a heartbeat of a device that has no slot here. One whose place is older than
// this keeper had it from the keeper before a restart, and has it again: who began last
// in between gives way, unless the rule says the oldest. Any other begins anew, where
// there is room.
func (k *Keeper) again(from ident.Device, a *Ask, all license.Slots, now int64) (license.Slots, bool) {
	age := int64(a.Age) //nolint:gosec // at most 2^53
	if now-k.born >= license.SlotLife || age <= now-k.born {
		return all.Begin(from, license.ConcurrencyRule{Max: a.Max, OnFull: license.BlockNew}, false, now)
	}
	next := append(slices.Clone(all), license.Slot{Device: from, Since: now - age, Seen: now})
	for used(next) > a.Max {
		out := -1
		for i := range next {
			s := &next[i]
			if s.Taken {
				continue
			}
			if out < 0 || s.Since < next[out].Since == (a.OnFull == license.TakeoverOldest) {
				out = i
			}
		}
		if next[out].Device == from {
			return all, false // nobody has given way for it
		}
		next[out].Taken, next[out].By = true, from
	}
	return next, true
}

// Take gives one more session of the keeper's own module a slot of a license: of the
// oldest ones that give way for it, those in own are returned. Whether any may give way
// was asked before.
func (k *Keeper) Take(id ident.License, rule license.ConcurrencyRule, own license.Slots, now int64) license.Slots {
	return k.keep(id, k.more(id, rule, own, now))
}

// Yield says which of the keeper's own sessions Take would end, and changes nothing.
func (k *Keeper) Yield(id ident.License, rule license.ConcurrencyRule, own license.Slots, now int64) license.Slots {
	return slices.DeleteFunc(k.more(id, rule, own, now), func(s license.Slot) bool { return !s.Taken || !isOwn(s.Device) })
}

// more are the slots of a license with one more session of the keeper's own.
func (k *Keeper) more(id ident.License, rule license.ConcurrencyRule, own license.Slots, now int64) license.Slots {
	rule.OnFull = license.TakeoverOldest
	next, _ := k.all(id, own).Begin(Own(0), rule, true, now) // no session has this handle
	return next
}

// Slots are all slots of a license: those of devices, and own. The times are at by the
// caller's clock where it is now by the boot clock.
func (k *Keeper) Slots(id ident.License, own license.Slots, now, at int64) license.Slots {
	k.lapse(now)
	all := k.all(id, own)
	for i := range all {
		all[i].Since += at - now
		if all[i].Seen != license.Open {
			all[i].Seen += at - now
		}
	}
	return all
}

// Licenses lists the licenses of which devices have slots, in order.
func (k *Keeper) Licenses(now int64) []ident.License {
	k.lapse(now)
	return slices.SortedFunc(maps.Keys(k.slots), func(a, b ident.License) int { return slices.Compare(a[:], b[:]) })
}

// Forget frees all slots of a device that is not of the house any more.
func (k *Keeper) Forget(d ident.Device) {
	delete(k.challenges, d)
	for id, s := range k.slots {
		k.keep(id, s.End(d))
	}
}

// lapse frees the slots whose devices were not heard for too long.
func (k *Keeper) lapse(now int64) {
	for id, s := range k.slots {
		k.keep(id, slices.DeleteFunc(s, func(x license.Slot) bool { return now-x.Seen >= license.SlotLife }))
	}
}

// all are the slots of a license with the keeper's own.
func (k *Keeper) all(id ident.License, own license.Slots) license.Slots {
	return append(slices.Clone(k.slots[id]), own...)
}

// keep puts the devices' part of slots down, and returns the keeper's own that gave way.
func (k *Keeper) keep(id ident.License, all license.Slots) (ended license.Slots) {
	var devices license.Slots
	for _, s := range all {
		switch {
		case !isOwn(s.Device):
			devices = append(devices, s)
		case s.Taken:
			ended = append(ended, s)
		}
	}
	if delete(k.slots, id); len(devices) > 0 {
		k.slots[id] = devices
	}
	return ended
}

// room reports whether a device may have a slot of one more license.
func (k *Keeper) room(d ident.Device, id ident.License) bool {
	n := 0
	for other, s := range k.slots {
		if other != id && slices.ContainsFunc(s, func(x license.Slot) bool { return x.Device == d }) {
			n++
		}
	}
	return n < maxPlaces
}

// holders says who has the slots, to somebody else.
func (k *Keeper) holders(all license.Slots, to ident.Device, now int64) []Holding {
	var out []Holding
	for _, s := range all {
		if s.Taken || s.Device == to {
			continue
		}
		h := Holding{Device: k.name(s.Device), Since: ms(now - s.Since), Own: isOwn(s.Device)}
		if !h.Own {
			h.Seen = ms(now - s.Seen)
		}
		out = append(out, h)
	}
	slices.SortStableFunc(out, func(a, b Holding) int { return cmp.Compare(b.Since, a.Since) })
	return out[:min(len(out), maxHoldings)]
}

// name is whose a slot is: a session of the keeper's own is the keeper's.
func (k *Keeper) name(d ident.Device) ident.Device {
	if isOwn(d) {
		return k.self
	}
	return d
}

// Own names a session of the keeper's own module by its handle, which is no device's ID.
func Own(handle uint64) (d ident.Device) {
	binary.BigEndian.PutUint64(d[8:], handle)
	return d
}

// Handle is the session that Own names.
func Handle(d ident.Device) uint64 { return binary.BigEndian.Uint64(d[8:]) }

// isOwn reports whether Own made a name. A device's ID is a hash: that it begins with
// eight zero bytes nobody can bring about.
func isOwn(d ident.Device) bool { return [8]byte(d[:8]) == [8]byte{} }

func used(s license.Slots) (n uint64) {
	for i := range s {
		if !s[i].Taken {
			n++
		}
	}
	return n
}

func ms(d int64) uint64 { return uint64(max(d, 0)) }
