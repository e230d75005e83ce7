package core

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/slots"
)

// askPlace signs what this device asks its keeper; nothing where nobody has to be asked.
func (c *Core) askPlace(in trem.PlaceOrder, r Reading) (trem.PlaceAsk, error) {
	if err := c.need(pki.Device, pki.HomeServer); err != nil {
		return trem.PlaceAsk{}, err
	}
	switch in.Op {
	case trem.PlaceBegin:
		if in.Ask != nil && in.Session == 0 && in.License == (ident.License{}) {
			return c.askBegin(*in.Ask, in.Next, r)
		}
	case trem.PlaceBeat:
		if in.Ask == nil && in.License == (ident.License{}) && !in.Next {
			return c.askBeat(in.Session, r)
		}
	case trem.PlaceEnd:
		if in.Ask == nil && in.Session == 0 && !in.Next {
			return c.askEnd(in.License, r)
		}
	}
	return trem.PlaceAsk{}, malformed(errors.New("place: BEGIN with an ask, BEAT with a session, or END with a license"))
}

// askBegin asks for a place of the license on which a session would begin, if it got one:
// any of the title, or next of those of which the keeper does not say that they are full.
func (c *Core) askBegin(in trem.Ask, next bool, r Reading) (trem.PlaceAsk, error) {
	if in.Release {
		return trem.PlaceAsk{}, nil
	}
	inst, d := c.choose(in, r, func(_ *instance, with *license.Input) bool {
		if with.Env.Offline || !next {
			with.Env.Slots, with.Env.Offline = nil, false
		}
		return true
	})
	if !d.Allow {
		return trem.PlaceAsk{}, nil // BEGIN says why
	}
	id, rule, ok := inst.placed()
	if !ok || !c.hasKeeper(inst) {
		return trem.PlaceAsk{}, nil
	}
	return c.signAsk(slots.Ask{Op: slots.Begin, License: id, Max: rule.Max, OnFull: rule.OnFull, Takeover: in.Takeover}, r)
}

func (c *Core) askBeat(handle uint64, r Reading) (trem.PlaceAsk, error) {
	s, err := c.session(handle)
	if err != nil {
		return trem.PlaceAsk{}, err
	}
	id, rule, ok := s.inst.placed()
	switch {
	case !ok || s.release || !c.hasKeeper(s.inst):
		return trem.PlaceAsk{}, nil
	case s.lost:
		return trem.PlaceAsk{}, stateError("this session has lost its place; it ends")
	}
	return c.signAsk(slots.Ask{Op: slots.Beat, License: id, Max: rule.Max, OnFull: rule.OnFull}, r)
}

func (c *Core) askEnd(id ident.License, r Reading) (trem.PlaceAsk, error) {
	if c.membership == nil || c.membership.remote() {
		return trem.PlaceAsk{}, nil
	}
	if len(c.own(id)) > 0 {
		return trem.PlaceAsk{}, stateError("a session of this license still runs here")
	}
	return c.signAsk(slots.Ask{Op: slots.End, License: id}, r)
}

func (c *Core) signAsk(a slots.Ask, r Reading) (out trem.PlaceAsk, err error) {
	if a.Keeper, err = idOf(c.manager); err != nil {
		return out, rejected(err)
	}
	asked, err := c.holder.Ask(a, r.Boot)
	if err != nil {
		return out, placeError(err)
	}
	return c.sealAsk(asked)
}

func (c *Core) sealAsk(a *slots.Ask) (trem.PlaceAsk, error) {
	object, err := a.Sign(c.signer, c.identity.Chain[0])
	return trem.PlaceAsk{Object: object, Chain: c.identity.Chain, License: a.License}, err
}

// keepPlace answers a device of the house, as the keeper of its slots.
func (c *Core) keepPlace(in trem.PlaceAsk, r Reading) (trem.PlaceKept, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return trem.PlaceKept{}, err
	}
	if c.domain == nil || c.isSuperseded() {
		return trem.PlaceKept{}, stateError("this module manages no house")
	}
	peer, err := c.verifier.Verify(in.Chain, c.certTime(r), pki.Device)
	if err != nil {
		return trem.PlaceKept{}, rejected(err)
	}
	if m, ok := c.members[peer.ID()]; !ok || m.Removed || c.lapsed(peer.ID(), r) {
		return trem.PlaceKept{}, rejected(fmt.Errorf("place: %v is not of this house", peer.ID()))
	}
	ask, err := slots.ParseAsk(in.Object, peer.Public(), c.self)
	if err != nil {
		return trem.PlaceKept{}, rejected(err)
	}
	answer, ended, err := c.keeper.Answer(peer.ID(), ask, c.own(ask.License), r.Boot)
	if err != nil {
		return trem.PlaceKept{}, placeError(err)
	}
	if err := c.endAll(ended, r); err != nil {
		return trem.PlaceKept{}, err
	}
	object, err := answer.Sign(c.signer, c.identity.Chain[0])
	return trem.PlaceKept{
		Object: object, Device: peer.ID(), License: ask.License, Outcome: trem.PlaceOutcome(answer.Outcome), Ended: handles(ended),
	}, err
}

// takePlace takes the keeper's answer. Sessions that lost their place get nothing more.
func (c *Core) takePlace(object []byte, r Reading) (out trem.PlaceTaken, err error) {
	if err := c.need(pki.Device); err != nil {
		return out, err
	}
	if c.membership == nil || c.membership.remote() {
		return out, stateError("this device has no house whose server keeps places")
	}
	pub, err := c.managerKey()
	if err != nil {
		return out, err
	}
	a, err := slots.ParseAnswer(object, pub)
	if err != nil {
		return out, rejected(err)
	}
	again, err := c.holder.Take(a, c.self, r.Boot)
	if err != nil {
		return out, placeError(err)
	}
	out = trem.PlaceTaken{Outcome: trem.PlaceOutcome(a.Outcome), License: a.License, By: a.By}
	for _, h := range a.Holders {
		out.Holders = append(out.Holders, trem.Slot{License: a.License, Device: h.Device, Since: c.clock.judge(r).Est - int64(h.Since)}) //nolint:gosec // below 2^53
	}
	if a.Outcome == slots.Lost {
		for _, s := range c.sessions {
			if id, _, ok := s.inst.placed(); ok && id == a.License && c.hasKeeper(s.inst) {
				s.lost = true
			}
		}
	}
	if again != nil {
		next, err := c.sealAsk(again)
		out.Again = &next
		return out, err
	}
	return out, nil
}

// places lists what this module keeps, license by license.
func (c *Core) places(r Reading) ([]trem.Slot, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return nil, err
	}
	ids := map[ident.License]bool{}
	for _, id := range c.keeper.Licenses(r.Boot) {
		ids[id] = true
	}
	for _, s := range c.sessions {
		if id, _, ok := s.inst.placed(); ok && !s.release && !c.hasKeeper(s.inst) {
			ids[id] = true
		}
	}
	out := []trem.Slot{}
	for _, id := range slices.SortedFunc(maps.Keys(ids), func(a, b ident.License) int { return slices.Compare(a[:], b[:]) }) {
		for _, s := range c.keeper.Slots(id, c.own(id), r.Boot, c.clock.judge(r).Est) {
			if s.Taken {
				continue
			}
			p := trem.Slot{License: id, Device: s.Device, Since: s.Since}
			if s.Seen == license.Open {
				p.Device, p.Session = c.self, slots.Handle(s.Device)
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// placeError is an answer that does not hold, or that there is no room for one more.
func placeError(err error) error {
	if errors.Is(err, slots.ErrRoom) {
		return stateError(err.Error())
	}
	return rejected(err)
}
