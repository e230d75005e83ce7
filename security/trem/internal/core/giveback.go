package core

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// The signed objects by which plays that were set aside for a device go back to
// its house. Source: local, docs/spec/objects.md.
const (
	objectGivenBack = wire.Object("given-back")
	objectTakenBack = wire.Object("taken-back")
)

// givenBack is a device's word that what was set aside for it is destroyed.
// Source: local layout, docs/spec/transfer.md.
type givenBack struct {
	License []byte `cbor:"1,keyasint"` // that the house's server had signed
	Spent   uint64 `cbor:"2,keyasint"` // as license.Spent says it
}

// takenBack answers it.
type takenBack struct {
	License ident.License `cbor:"1,keyasint"`
}

var giveBackLimit = wire.Limit{Bytes: 16 << 10, Items: 8, Depth: 4}

// backRecord is, at a device, what it has given back and nobody has taken yet;
// at a home server what it has taken back.
type backRecord struct {
	_       struct{} `cbor:",toarray"`
	License ident.License
	Object  []byte // given-back, at a device; null at a home server
	Over    bool   // the house has said that it has it
}

// yield gives plays, or time, that were set aside for this device back to its
// house: what was not used there is the house's again.
func (c *Core) yield(id ident.License, r Reading) (trem.Handed, error) {
	if err := c.need(pki.Device); err != nil {
		return trem.Handed{}, err
	}
	inst := c.byID(id)
	if inst == nil || inst.leaf().Info().Parent == nil || inst.leaf().Info().Parent.Kind != license.KindAllowance {
		return trem.Handed{}, &trem.Error{Code: trem.CodeUnknown, Text: "nothing like it was set aside here"}
	}
	if c.unclosed(inst) {
		return trem.Handed{}, stateError("the house has not heard yet that it is here")
	}
	if err := c.quiet(inst, r); err != nil {
		return trem.Handed{}, err
	}
	payload, err := wire.Marshal(givenBack{License: inst.leaf().Bytes(), Spent: inst.leaf().Spent(inst.state)})
	if err != nil {
		return trem.Handed{}, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectGivenBack, payload)
	if err != nil {
		return trem.Handed{}, err
	}
	back, err := newRecord(kindBack, backRecord{License: id, Object: object})
	if err != nil {
		return trem.Handed{}, err
	}
	gone, err := newRecord(kindGone, goneRecord{Hash: inst.leaf().Hash()})
	if err != nil {
		return trem.Handed{}, err
	}
	if err := c.write(true, gone, back); err != nil {
		return trem.Handed{}, err
	}
	delete(c.held, inst.leaf().Hash())
	c.backs[id] = backRecord{License: id, Object: object}
	return c.yielded(trem.Handed{}, r)
}

func (c *Core) byID(id ident.License) *instance {
	for _, inst := range c.held {
		if inst.leaf().Info().ID == id {
			return inst
		}
	}
	return nil
}

// yielded are the letters about what was given back and not taken yet.
func (c *Core) yielded(out trem.Handed, r Reading) (trem.Handed, error) {
	if c.membership == nil {
		return out, nil
	}
	server, err := c.writer(c.manager, r)
	if err != nil {
		return out, nil //nolint:nilerr // its certificate is renewed with the next thing that it gives
	}
	for _, id := range slices.SortedFunc(maps.Keys(c.backs), func(a, b ident.License) int { return slices.Compare(a[:], b[:]) }) {
		if c.backs[id].Over {
			continue
		}
		l, err := c.letter(server.ID(), topic(ident.Transfer{Src: c.self}, "back "+id.String()), c.backs[id].Object)
		if err != nil {
			return out, err
		}
		out.Letters = append(out.Letters, l)
	}
	return out, nil
}

// takeBack credits what a device has given back, once.
func (c *Core) takeBack(sig *wire.Sign1, from *pki.Peer) (trem.Handed, error) {
	child, spent, err := c.allowanceOf(sig, from)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	id := child.Info().ID
	if _, done := c.backs[id]; !done {
		inst := c.held[child.Info().Parent.Hash]
		if inst == nil {
			return trem.Handed{}, rejected(fmt.Errorf("given back: what it is a part of is not here any more"))
		}
		next, err := inst.state.Settle(child.Whole(), spent)
		if err != nil {
			return trem.Handed{}, rejected(err)
		}
		paid := *inst
		paid.state = next
		state, err := paid.record()
		if err != nil {
			return trem.Handed{}, err
		}
		back, err := newRecord(kindBack, backRecord{License: id, Over: true})
		if err != nil {
			return trem.Handed{}, err
		}
		if err := c.write(true, state, back); err != nil {
			return trem.Handed{}, err
		}
		inst.state, c.backs[id] = next, backRecord{License: id, Over: true}
		delete(c.dwell, id)
	}
	payload, err := wire.Marshal(takenBack{License: id})
	if err != nil {
		return trem.Handed{}, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectTakenBack, payload)
	if err != nil {
		return trem.Handed{}, err
	}
	l, err := c.letter(from.ID(), topic(ident.Transfer{Dst: from.ID()}, "back "+id.String()), object)
	return trem.Handed{Letters: []trem.Letter{l}, Events: []trem.Event{{Kind: trem.EventLoanOver, Peer: from.ID(), License: id}}}, err
}

// allowanceOf reads what a device gives back: a license that this module had
// signed for it.
func (c *Core) allowanceOf(sig *wire.Sign1, from *pki.Peer) (*license.License, uint64, error) {
	if err := sig.Verify(from.Public()); err != nil {
		return nil, 0, fmt.Errorf("given back: %w", err)
	}
	var g givenBack
	if err := wire.Unmarshal(sig.Payload, &g, giveBackLimit); err != nil {
		return nil, 0, fmt.Errorf("given back: %w", err)
	}
	child, err := license.Parse(g.License)
	if err != nil {
		return nil, 0, err
	}
	info := child.Info()
	if c.domain == nil || info.Parent == nil || info.Parent.Kind != license.KindAllowance || info.Subject != license.DeviceSubject(from.ID()) {
		return nil, 0, fmt.Errorf("given back: nothing that was set aside for %v", from.ID())
	}
	return child, g.Spent, child.Verify(c.peer)
}

// took is the house's word that it has what was given back.
func (c *Core) took(sig *wire.Sign1, from *pki.Peer) error {
	if err := sig.Verify(from.Public()); err != nil {
		return rejected(err)
	}
	var t takenBack
	if err := wire.Unmarshal(sig.Payload, &t, giveBackLimit); err != nil {
		return rejected(err)
	}
	rec, ok := c.backs[t.License]
	if !ok || rec.Over {
		return nil
	}
	rec.Object, rec.Over = nil, true
	if err := c.commit(kindBack, rec); err != nil {
		return err
	}
	c.backs[t.License] = rec
	return nil
}

// dwellRecord is a child without a count that a device of the house has: the
// license it is of does not leave the house before it is given back.
type dwellRecord struct {
	_      struct{} `cbor:",toarray"`
	Child  ident.License
	Parent ident.License
}

// dwells notes a child that counts nothing. One that counts is accounted for in
// its parent's state; with this one a device plays on whatever becomes of that.
func (c *Core) dwells(child, parent *license.License) ([]vault.Record, error) {
	id := child.Info().ID
	if _, known := c.dwell[id]; known || child.Whole() != (license.Share{}) {
		return nil, nil
	}
	rec := dwellRecord{Child: id, Parent: parent.Info().ID}
	c.dwell[id] = rec
	delete(c.backs, id) // it was given back, and is there again
	out, err := newRecord(kindDwell, rec)
	return []vault.Record{out}, err
}

// dwelling is how many devices of the house have a child of a license that counts nothing.
func (c *Core) dwelling(inst *instance) (n int) {
	for _, rec := range c.dwell {
		if rec.Parent == inst.leaf().Info().ID {
			n++
		}
	}
	return n
}

// returnFirst refuses to let a license leave the house that its devices have.
func (c *Core) returnFirst(inst *instance, act permission.Permission) license.Decision {
	return license.Decision{Action: act, License: inst.leaf().Info().ID, Reasons: []license.Reason{{
		Code: license.DestNotAllowed, Constraint: "ALLOWANCE", Have: fmt.Sprintf("on %d devices of the house", c.dwelling(inst)), Need: "on none", Closed: true,
		Remedy: license.ReturnFirst,
	}}}
}
