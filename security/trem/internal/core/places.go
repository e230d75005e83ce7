package core

import (
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/slots"
)

// placed is how many sessions of an instance there may be in the house, and of which
// license they are the places: what is set aside for devices, or bound to them by a
// sunset, takes those of the license that it comes from. Without such a rule ok is false.
func (i *instance) placed() (id ident.License, rule license.ConcurrencyRule, ok bool) {
	if i.leaf().Info().Policy.Concurrency == nil {
		return ident.License{}, license.ConcurrencyRule{}, false
	}
	n := 0
	for n+1 < len(i.chain) {
		p := i.chain[n].Info().Parent
		if p == nil || p.Kind != license.KindAllowance && p.Kind != license.KindRebind {
			break
		}
		n++
	}
	return i.chain[n].Info().ID, *i.leaf().Info().Policy.Concurrency, true
}

// hasKeeper reports whether the house's server keeps an instance's slots, and this
// module has to ask it: of a license of the house, at a device whose house has a server.
func (c *Core) hasKeeper(inst *instance) bool {
	return c.peer.Role() == pki.Device && c.membership != nil && !c.membership.remote() && inst.root().Info().Subject.Kind == license.SubjectDomain
}

// slots is what the evaluator is told of an instance's slots. Where no keeper is in
// reach it is offline. A device without one keeps those of its own sessions of a license
// that may not be used without, so that what was bought is not lost.
func (c *Core) slots(inst *instance, now license.Clock, r Reading) (out []license.Slot, offline bool) {
	id, rule, ok := inst.placed()
	if !ok {
		return nil, false
	}
	at := max(now.Est, now.Lo, now.LoIss, inst.state.LoLic) // the evaluator's time
	switch {
	case c.hasKeeper(inst):
		out, online := c.holder.Slots(id, r.Boot, at)
		return out, !online
	case c.peer.Role() != pki.HomeServer && !rule.Offline:
		return nil, true
	}
	return c.keeper.Slots(id, c.own(id), r.Boot, at), false
}

// pinned bends the choice of BEGIN to the licenses whose places were asked for: where one
// of a title was, another one that was not is not offline, and has no place. Where none
// was all are offline alike, and nil is returned.
func (c *Core) pinned(in trem.Ask, r Reading) func(*instance, *license.Input) bool {
	unasked := func(inst *instance) bool {
		id, _, ok := inst.placed()
		return ok && c.hasKeeper(inst) && !c.holder.Asked(id, r.Boot)
	}
	for _, inst := range c.held {
		if _, _, ok := inst.placed(); ok && inst.meant(in) && c.hasKeeper(inst) && !unasked(inst) {
			return func(inst *instance, _ *license.Input) bool { return !unasked(inst) }
		}
	}
	return nil
}

// own are the sessions of this module that take places of a license: they do not lapse
// before they end. A release by a sunset is no use, and takes none.
func (c *Core) own(id ident.License) license.Slots {
	var out license.Slots
	for handle, s := range c.sessions {
		if of, _, ok := s.inst.placed(); ok && of == id && !s.release {
			out = append(out, license.Slot{Device: slots.Own(handle), Since: s.boot, Seen: license.Open})
		}
	}
	slices.SortFunc(out, func(a, b license.Slot) int { return slices.Compare(a.Device[:], b.Device[:]) })
	return out
}

func handles(list license.Slots) (out []uint64) {
	for _, s := range list {
		out = append(out, slots.Handle(s.Device))
	}
	return out
}

// surplus are the sessions of this module that end for one more of an instance: a device
// that has a keeper has one slot of a license, what counts has one session, and where
// there may be only so many it is the oldest ones. Where a license wants to be asked for
// that, it was evaluated.
func (c *Core) surplus(inst *instance, r Reading) []uint64 {
	id, rule, ok := inst.placed()
	switch {
	case ok && c.hasKeeper(inst):
		return handles(c.own(id))
	case !inst.leaf().Info().Stateless():
		return c.openOf(inst)
	case !ok:
		return nil
	}
	return handles(c.keeper.Yield(id, rule, c.own(id), r.Boot))
}

// takePlaceHere gives a session that begins in the keeper itself its place. Devices that
// give way for it learn that by their next heartbeats.
func (c *Core) takePlaceHere(inst *instance, r Reading) error {
	id, rule, ok := inst.placed()
	if !ok || c.hasKeeper(inst) {
		return nil
	}
	return c.endAll(c.keeper.Take(id, rule, c.own(id), r.Boot), r)
}

func (c *Core) endAll(list license.Slots, r Reading) error {
	for _, handle := range handles(list) {
		if err := c.end(handle, r); err != nil {
			return err
		}
	}
	return nil
}
