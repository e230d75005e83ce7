package slots

import (
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
)

// Holder is what a device's module knows of its places: what its keeper granted, or who
// has them instead. All times are ms since boot; the zero Holder knows nothing.
type Holder struct {
	challenge Nonce                     // of the keeper's newest answer
	asked     map[ident.License]pending // what is not answered yet, the newest of each license
	places    map[ident.License]place
}

// pending is an ask on its way.
type pending struct {
	ask Ask
	at  int64
}

// place is the keeper's newest word on a license.
type place struct {
	since int64 // when the slot was granted; 0: there is none
	until int64 // when a keeper that hears no more frees it, or when its word is too old
	full  []license.Slot
}

// Ask asks for what a says, which gets its nonce, its challenge and its age here.
func (h *Holder) Ask(a Ask, now int64) (*Ask, error) {
	if h.asked == nil {
		h.asked, h.places = map[ident.License]pending{}, map[ident.License]place{}
	}
	h.lapse(now)
	if _, known := h.asked[a.License]; !known && len(h.asked) >= maxPlaces {
		return nil, ErrRoom
	}
	a.Nonce, a.Challenge, a.Age = newNonce(), h.challenge, 0
	if p := h.places[a.License]; a.Op == Beat && p.since != 0 {
		a.Age = ms(max(now-p.since, 1))
	}
	if a.Op == End {
		delete(h.places, a.License)
	}
	h.asked[a.License] = pending{ask: a, at: now}
	return &a, nil
}

// Take takes the keeper's answer to the newest ask of its license. It fails with
// ErrFresh, and nothing changes, when it is another's, or was taken before. With Again
// the ask to send instead is returned.
func (h *Holder) Take(a *Answer, self ident.Device, now int64) (*Ask, error) {
	p, ok := h.asked[a.License]
	if !ok || a.Nonce != p.ask.Nonce || a.Device != self || now-p.at >= license.SlotLife {
		return nil, ErrFresh
	}
	delete(h.asked, a.License)
	h.challenge = a.Challenge
	switch a.Outcome {
	case Again:
		return h.Ask(p.ask, now)
	case Granted:
		if p.ask.Op == End {
			return nil, ErrFresh
		}
		was := h.places[a.License]
		if was.since == 0 || p.ask.Op == Begin || now >= was.until { // a slot that has lapsed is another one
			was.since = max(now, 1)
		}
		h.places[a.License] = place{since: was.since, until: p.at + license.SlotLife}
	case Full, Lost:
		h.places[a.License] = place{until: p.at + license.SlotLife, full: slotsOf(a.Holders, now)}
	case Ended:
		delete(h.places, a.License)
	}
	return nil, nil
}

// slotsOf are the holders of an answer by this module's boot clock.
func slotsOf(list []Holding, now int64) []license.Slot {
	out := make([]license.Slot, len(list))
	for i, x := range list {
		out[i] = license.Slot{Device: x.Device, Since: now - int64(x.Since), Seen: now - int64(x.Seen)} //nolint:gosec // below 2^53
		if x.Own {
			out[i].Seen = license.Open
		}
	}
	return out
}

// Slots is what the evaluator is told of a license's slots: online is whether the
// keeper was heard of it lately. The times are at by the caller's clock where it is now
// by the boot clock.
func (h *Holder) Slots(id ident.License, now, at int64) (out []license.Slot, online bool) {
	p, ok := h.places[id]
	if !ok || now >= p.until {
		return nil, false
	}
	for _, s := range p.full {
		s.Since += at - now
		if s.Seen != license.Open {
			s.Seen += at - now
		}
		out = append(out, s)
	}
	return out, true
}

// Asked reports whether the keeper was asked for a place of a license, and has answered
// or still may.
func (h *Holder) Asked(id ident.License, now int64) bool {
	if p, ok := h.asked[id]; ok && p.ask.Op != End && now-p.at < license.SlotLife {
		return true
	}
	p, ok := h.places[id]
	return ok && now < p.until
}

// Holds reports whether the keeper has granted a place of a license, which has not lapsed.
func (h *Holder) Holds(id ident.License, now int64) bool {
	p := h.places[id]
	return p.since != 0 && now < p.until
}

// lapse drops what is too old to say anything: an ask that no answer is taken for any
// more, and a word of the keeper that is not valid any more. A slot that the keeper
// may have lost in a restart is asked for again by its age for as long again.
func (h *Holder) lapse(now int64) {
	for id, p := range h.asked {
		if now-p.at >= license.SlotLife {
			delete(h.asked, id)
		}
	}
	for id, p := range h.places {
		if now >= p.until+license.SlotLife {
			delete(h.places, id)
		}
	}
}

// Leave forgets everything: this device has another keeper, or none, from now on.
func (h *Holder) Leave() { *h = Holder{} }
