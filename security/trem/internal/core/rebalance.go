package core

import (
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// objectWanted is the object by which the house asks a device for some of what was
// set aside for it. Source: local, docs/spec/objects.md.
const objectWanted = wire.Object("wanted")

const (
	// idleAfter is how long, in ms, a device leaves alone what was set aside for it
	// before all of it may go to others. Source: local, docs/spec/transfer.md.
	idleAfter = 7 * 86_400_000
	// wantLife is how long, in ms, the house remembers who could not be given enough.
	// Source: local.
	wantLife = 7 * 86_400_000
	// maxWants bounds those memories; a further one is not kept. Source: local.
	maxWants = 256
)

// wantRecord is what a device has asked for and the house did not have: it is with
// others.
type wantRecord struct {
	_      struct{} `cbor:",toarray"`
	Device ident.Device
	Parent ident.License
	Amount uint64 // plays, or else ms; 0: it wants no more
	At     int64  // Unix ms
}

type wantName struct {
	device ident.Device
	parent ident.License
}

// wanted asks a device for what others wait for. Total is what shall be back of this
// ALLOWANCE since it went, so the same words a second time ask for nothing more.
type wanted struct {
	TID   ident.Transfer `cbor:"1,keyasint"`
	Total uint64         `cbor:"2,keyasint"` // plays, or else ms
}

// wantedRecord is a device's note of the highest total that it has answered.
type wantedRecord struct {
	_     struct{} `cbor:",toarray"`
	TID   ident.Transfer
	Total uint64
}

// wants notes that a device has asked for more than it gets; with amount 0 that it
// wants no more. The note goes along with the next write.
func (c *Core) wants(id ident.Device, parent ident.License, amount uint64, r Reading) error {
	name := wantName{id, parent}
	old, known := c.want[name]
	if old.Amount == amount && (amount == 0 || c.clock.judge(r).Est-old.At < seenStep) || !known && (amount == 0 || len(c.want) >= maxWants) {
		return nil
	}
	rec := wantRecord{Device: id, Parent: parent, Amount: amount, At: c.clock.judge(r).Est}
	data, err := newRecord(kindWant, rec)
	if err != nil {
		return err
	}
	c.along(false, data)
	c.notes(rec)
	return nil
}

func (c *Core) notes(rec wantRecord) {
	name := wantName{rec.Device, rec.Parent}
	if c.want[name] = rec; rec.Amount == 0 {
		delete(c.want, name)
	}
}

// others is how many other members wait for a part of the same license, and for how
// much in all.
func (c *Core) others(parent ident.License, than ident.Device, r Reading) (n, amount uint64) {
	for _, w := range c.want {
		m, ok := c.members[w.Device]
		if w.Parent == parent && w.Device != than && ok && !m.Removed && !c.lapsed(w.Device, r) && c.clock.judge(r).Est-w.At < wantLife {
			n, amount = n+1, amount+w.Amount
		}
	}
	return n, amount
}

// share is what a member gets that asks for so many plays: what it asks for, as far
// as it is there; where others wait too, as much as there is for each.
func (c *Core) share(parent *instance, to ident.Device, plays uint64, r Reading) (license.Share, error) {
	whole, id := parent.leaf().Whole(), parent.leaf().Info().ID
	if !divides(whole) {
		return parent.leaf().DefaultShare(parent.state, plays), nil
	}
	ask := max(plays, 1)
	if whole.Plays == 0 {
		ask = uint64(max(whole.MS/10, 1))
	}
	n, _ := c.others(id, to, r)
	get := min(ask, (amount(parent.leaf().Left(parent.state))+n)/(n+1))
	return portion(whole, max(get, 1)), c.wants(to, id, ask-get, r)
}

// wantedLetters asks the members that have a part of what others wait for.
func (c *Core) wantedLetters(out trem.Handed, r Reading) (trem.Handed, error) {
	if c.domain == nil || len(c.want) == 0 {
		return out, nil
	}
	for _, rec := range c.asides(func(a asideRecord) bool { return divides(a.out()) }) {
		m, ok := c.members[rec.TID.Dst]
		if !ok || m.Removed || c.lapsed(rec.TID.Dst, r) {
			continue // what it has counts as used
		}
		_, more := c.others(rec.Parent, rec.TID.Dst, r)
		inst := c.byID(rec.Parent)
		if more == 0 || inst == nil {
			continue
		}
		here := amount(inst.leaf().Left(inst.state))
		if here >= more {
			continue // it is back from somebody else
		}
		total := min(rec.Back+more-here, amount(rec.whole()))
		payload, err := wire.Marshal(wanted{TID: rec.TID, Total: total})
		if err != nil {
			return out, err
		}
		object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectWanted, payload)
		if err != nil {
			return out, err
		}
		l, err := c.letter(rec.TID.Dst, topic(rec.TID, "wanted"), object)
		if err != nil {
			return out, err
		}
		l.Says = total
		out.Letters = append(out.Letters, l)
	}
	return out, nil
}

// offer answers the house with what this device can spare: half of what it has left,
// or all that is wanted of what it has not used for a week. What is being watched it
// keeps, and what it has answered it does not answer with more.
func (c *Core) offer(sig *wire.Sign1, from *pki.Peer, r Reading) (trem.Handed, error) {
	var w wanted
	if err := sig.Verify(from.Public()); err != nil {
		return trem.Handed{}, rejected(err)
	}
	if err := wire.Unmarshal(sig.Payload, &w, giveBackLimit); err != nil {
		return trem.Handed{}, rejected(err)
	}
	inst := c.held[c.came[w.TID]]
	if inst == nil || w.TID.Dst != c.self || w.TID.Src != from.ID() || c.watched(w.TID) || c.unclosed(inst) {
		return trem.Handed{}, nil
	}
	gave := amount(portionGiven(inst))
	if w.Total <= max(gave, c.answered[w.TID]) || !divides(inst.leaf().Whole()) {
		return trem.Handed{}, nil
	}
	left := amount(inst.leaf().Left(inst.state))
	spare := left / 2
	if now := c.clock.judge(r).Est; now-max(inst.state.LastUse, inst.leaf().Info().IssuedAt) >= idleAfter {
		spare = left
	}
	n := min(w.Total-gave, spare)
	if n == 0 {
		return trem.Handed{}, nil
	}
	if n == left && inst.state.OpenPlay == nil {
		return c.yield(inst.leaf().Info().ID, r)
	}
	return c.giveSome(inst, w, n, r)
}

// portionGiven is what of an allowance has gone back by itself.
func portionGiven(inst *instance) license.Share {
	return license.Share{Plays: inst.state.Given[1], MS: inst.state.GivenMS}
}

// giveSome gives a part of an allowance back: here it is used up, durably, before
// anybody hears of it.
func (c *Core) giveSome(inst *instance, w wanted, n uint64, r Reading) (trem.Handed, error) {
	whole := inst.leaf().Whole()
	next, err := inst.leaf().Give(inst.state, portion(whole, n))
	if err != nil {
		return trem.Handed{}, exhausted(err)
	}
	after := *inst
	after.state = next
	kept := amount(whole) - amount(portionGiven(&after)) - inst.leaf().Spent(next)
	object, err := c.signGivenBack(inst, givenBack{TID: w.TID, Kept: kept})
	if err != nil {
		return trem.Handed{}, err
	}
	state, err := after.record()
	if err != nil {
		return trem.Handed{}, err
	}
	rec := backRecord{TID: w.TID, Object: object}
	var s log
	s.add(kindBack, rec)
	s.add(kindWanted, wantedRecord{TID: w.TID, Total: w.Total})
	if s.err != nil {
		return trem.Handed{}, s.err
	}
	if err := c.write(true, append([]vault.Record{state}, s.recs...)...); err != nil {
		return trem.Handed{}, err
	}
	inst.state = next
	c.backs[w.TID], c.answered[w.TID] = rec, w.Total
	return c.yielded(trem.Handed{}, r)
}

// snapshotAside is what of this page a compaction keeps.
func (c *Core) snapshotAside(s *log) {
	for _, rec := range c.aside {
		s.add(kindAside, rec)
	}
	for _, rec := range c.want {
		s.add(kindWant, rec)
	}
	for _, tid := range slices.SortedFunc(maps.Keys(c.answered), compareTransfers) {
		if _, here := c.held[c.came[tid]]; here {
			s.add(kindWanted, wantedRecord{TID: tid, Total: c.answered[tid]})
		}
	}
}
