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
	License []byte         `cbor:"1,keyasint"` // that the house's server had signed
	Spent   uint64         `cbor:"2,keyasint"` // as license.Spent says it
	TID     ident.Transfer `cbor:"3,keyasint"` // the ALLOWANCE that it came by: the same child may come again
}

// takenBack answers it.
type takenBack struct {
	TID ident.Transfer `cbor:"1,keyasint"`
}

var giveBackLimit = wire.Limit{Bytes: 16 << 10, Items: 8, Depth: 4}

// backRecord is, at a device, what it has given back and nobody has taken yet;
// at a home server what it has taken back.
type backRecord struct {
	_      struct{} `cbor:",toarray"`
	TID    ident.Transfer
	Object []byte // given-back, at a device; null at a home server
	Over   bool   // the house has said that it has it
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
	tid, ok := c.cameBy(inst)
	if !ok {
		return trem.Handed{}, &trem.Error{Code: trem.CodeInternal, Text: "nobody knows by which transfer it came"}
	}
	if err := c.quiet(inst, r); err != nil {
		return trem.Handed{}, err
	}
	payload, err := wire.Marshal(givenBack{License: inst.leaf().Bytes(), Spent: inst.leaf().Spent(inst.state), TID: tid})
	if err != nil {
		return trem.Handed{}, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectGivenBack, payload)
	if err != nil {
		return trem.Handed{}, err
	}
	back, err := newRecord(kindBack, backRecord{TID: tid, Object: object})
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
	c.backs[tid] = backRecord{TID: tid, Object: object}
	return c.yielded(trem.Handed{}, r)
}

// cameBy is the transfer that an instance came by: the newest, where the same
// license was given back and came again.
func (c *Core) cameBy(inst *instance) (newest ident.Transfer, ok bool) {
	for tid, hash := range c.came {
		if hash == inst.leaf().Hash() && (!ok || tid.Seq > newest.Seq) {
			newest, ok = tid, true
		}
	}
	return newest, ok
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
	for _, tid := range slices.SortedFunc(maps.Keys(c.backs), compareTransfers) {
		if c.backs[tid].Over {
			continue
		}
		l, err := c.letter(server.ID(), topic(tid, "back"), c.backs[tid].Object)
		if err != nil {
			return out, err
		}
		out.Letters = append(out.Letters, l)
	}
	return out, nil
}

// takeBack credits what a device has given back, once.
func (c *Core) takeBack(sig *wire.Sign1, from *pki.Peer) (trem.Handed, error) {
	child, g, err := c.allowanceOf(sig, from)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	id := child.Info().ID
	if _, done := c.backs[g.TID]; !done {
		inst := c.held[child.Info().Parent.Hash]
		if inst == nil {
			return trem.Handed{}, rejected(fmt.Errorf("given back: what it is a part of is not here any more"))
		}
		next, err := inst.state.Settle(child.Whole(), g.Spent)
		if err != nil {
			return trem.Handed{}, rejected(err)
		}
		paid := *inst
		paid.state = next
		state, err := paid.record()
		if err != nil {
			return trem.Handed{}, err
		}
		back, err := newRecord(kindBack, backRecord{TID: g.TID, Over: true})
		if err != nil {
			return trem.Handed{}, err
		}
		if err := c.write(true, state, back); err != nil {
			return trem.Handed{}, err
		}
		inst.state = next
		c.taken(backRecord{TID: g.TID, Over: true})
	}
	payload, err := wire.Marshal(takenBack{TID: g.TID})
	if err != nil {
		return trem.Handed{}, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectTakenBack, payload)
	if err != nil {
		return trem.Handed{}, err
	}
	l, err := c.letter(from.ID(), topic(g.TID, "taken"), object)
	return trem.Handed{Letters: []trem.Letter{l}, Events: []trem.Event{{Kind: trem.EventLoanOver, Peer: from.ID(), License: id}}}, err
}

// allowanceOf reads what a device gives back: a license that this module had
// signed for it.
func (c *Core) allowanceOf(sig *wire.Sign1, from *pki.Peer) (child *license.License, g givenBack, err error) {
	if err := sig.Verify(from.Public()); err != nil {
		return nil, g, fmt.Errorf("given back: %w", err)
	}
	if err := wire.Unmarshal(sig.Payload, &g, giveBackLimit); err != nil {
		return nil, g, fmt.Errorf("given back: %w", err)
	}
	if child, err = license.Parse(g.License); err != nil {
		return nil, g, err
	}
	info := child.Info()
	if c.domain == nil || info.Parent == nil || info.Parent.Kind != license.KindAllowance || info.Subject != license.DeviceSubject(from.ID()) ||
		g.TID.Src != c.self || g.TID.Dst != from.ID() {
		return nil, g, fmt.Errorf("given back: nothing that was set aside for %v", from.ID())
	}
	return child, g, child.Verify(c.peer)
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
	rec, ok := c.backs[t.TID]
	if !ok || rec.Over {
		return nil
	}
	rec.Object, rec.Over = nil, true
	if err := c.commit(kindBack, rec); err != nil {
		return err
	}
	c.backs[t.TID] = rec
	return nil
}

// dwellRecord is a child without a count that a device of the house has: the
// license it is of does not leave the house before it is given back.
type dwellRecord struct {
	_      struct{}       `cbor:",toarray"`
	TID    ident.Transfer // the ALLOWANCE that it went by, the newest
	Child  ident.License
	Parent ident.License
}

// dwells notes a child that counts nothing. One that counts is accounted for in
// its parent's state; with this one a device plays on whatever becomes of that.
func (c *Core) dwells(tid ident.Transfer, child, parent *license.License) ([]vault.Record, error) {
	if child.Whole() != (license.Share{}) {
		return nil, nil
	}
	rec := dwellRecord{TID: tid, Child: child.Info().ID, Parent: parent.Info().ID}
	c.dwell[rec.Child] = rec
	out, err := newRecord(kindDwell, rec)
	return []vault.Record{out}, err
}

// taken notes at a home server that a child is back: the one of this transfer,
// not one that went since.
func (c *Core) taken(rec backRecord) {
	c.backs[rec.TID] = rec
	for id, d := range c.dwell {
		if d.TID == rec.TID {
			delete(c.dwell, id)
		}
	}
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
