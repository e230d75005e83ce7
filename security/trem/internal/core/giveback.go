package core

import (
	"cmp"
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

// givenBack is a device's word of how much of what was set aside for it was and may
// yet be used there: all the rest, since it came, is the house's again.
// Source: local layout, docs/spec/transfer.md.
type givenBack struct {
	License []byte         `cbor:"1,keyasint"` // that the house's server had signed
	Spent   uint64         `cbor:"2,keyasint"` // as license.Spent says it
	TID     ident.Transfer `cbor:"3,keyasint"` // the ALLOWANCE that it came by: the same child may come again

	// Kept is what the device keeps of it, counted as Spent is. 0: it is destroyed there.
	Kept uint64 `cbor:"4,keyasint,omitempty"`
}

// takenBack answers it.
type takenBack struct {
	TID  ident.Transfer `cbor:"1,keyasint"`
	Kept uint64         `cbor:"2,keyasint,omitempty"` // which of its words is answered
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
	object, err := c.signGivenBack(inst, givenBack{TID: tid})
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

// signGivenBack signs what of an allowance was used here, and g.
func (c *Core) signGivenBack(inst *instance, g givenBack) ([]byte, error) {
	g.License, g.Spent = inst.leaf().Bytes(), inst.leaf().Spent(inst.state)
	payload, err := wire.Marshal(g)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(c.signer, c.identity.Chain[0], objectGivenBack, payload)
}

// keptBy is what a device's own given-back says that it keeps.
func keptBy(object []byte) (uint64, error) {
	sig, err := wire.ParseSign1(object, objectGivenBack, giveBackLimit)
	if err != nil {
		return 0, err
	}
	var g givenBack
	err = wire.Unmarshal(sig.Payload, &g, giveBackLimit)
	return g.Kept, err
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
		if l.Says, err = keptBy(c.backs[tid].Object); err != nil {
			return out, err
		}
		out.Letters = append(out.Letters, l)
	}
	return out, nil
}

// takeBack credits what a device has given back: of each ALLOWANCE what is back in
// all, less what was credited before. So a word that comes twice, or after a later
// one, credits nothing.
func (c *Core) takeBack(sig *wire.Sign1, from *pki.Peer) (trem.Handed, error) {
	child, g, err := c.allowanceOf(sig, from)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	id := child.Info().ID
	if _, done := c.backs[g.TID]; !done && !c.bygone(child, g) {
		if err := c.credit(child, g); err != nil {
			return trem.Handed{}, err
		}
	}
	payload, err := wire.Marshal(takenBack{TID: g.TID, Kept: g.Kept})
	if err != nil {
		return trem.Handed{}, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectTakenBack, payload)
	if err != nil {
		return trem.Handed{}, err
	}
	l, err := c.letter(from.ID(), topic(g.TID, "taken"), object)
	l.Says = g.Kept
	return trem.Handed{Letters: []trem.Letter{l}, Events: []trem.Event{{Kind: trem.EventLoanOver, Peer: from.ID(), License: id}}}, err
}

// credit makes what is back the license's again, durably.
func (c *Core) credit(child *license.License, g givenBack) error {
	out, known := c.aside[child.Info().ID]
	if share := child.Whole(); !known || out.TID != g.TID {
		out = asideRecord{TID: g.TID, Child: child.Info().ID, Plays: share.Plays, MS: share.MS}
	}
	inst := c.held[child.Info().Parent.Hash]
	if inst == nil && out.Parent != (ident.License{}) {
		inst = c.byID(out.Parent) // it was renewed since
	}
	if inst == nil {
		return rejected(fmt.Errorf("given back: what it is a part of is not here any more"))
	}
	out.Parent = inst.leaf().Info().ID
	paid, recs := *inst, log{}
	var err error
	if g.Kept == 0 {
		paid.state, err = inst.state.Settle(out.out(), g.Spent)
		recs.add(kindBack, backRecord{TID: g.TID, Over: true})
	} else {
		whole := amount(child.Whole())
		if g.Kept > whole || g.Spent > whole-g.Kept || !divides(child.Whole()) {
			return rejected(fmt.Errorf("given back: more than was set aside"))
		}
		back := max(whole-g.Kept-g.Spent, out.Back)
		paid.state, err = inst.state.TakeBack(portion(child.Whole(), back-out.Back))
		out.Back = back
		recs.add(kindAside, out)
	}
	if err != nil {
		return rejected(err)
	}
	state, err := paid.record()
	if err = cmp.Or(err, recs.err); err != nil {
		return err
	}
	if err := c.write(true, append([]vault.Record{state}, recs.recs...)...); err != nil {
		return err
	}
	if inst.state = paid.state; g.Kept == 0 {
		c.taken(backRecord{TID: g.TID, Over: true})
	} else {
		c.aside[out.Child] = out
	}
	return nil
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
		g.TID.Src != c.self && !c.bygone(child, g) || g.TID.Dst != from.ID() {
		return nil, g, fmt.Errorf("given back: nothing that was set aside for %v", from.ID())
	}
	if c.bygone(child, g) {
		return child, g, nil
	}
	return child, g, child.Verify(c.peer)
}

// bygone reports whether a device of a restored house gives back what counts nothing
// and was set aside by a home server before this one. Nothing is credited or written
// for it, so the signature on it, by a key that no backup holds, does not matter; it
// is answered, because the device would say it for ever. Source: local,
// docs/spec/backup.md section 4.
func (c *Core) bygone(child *license.License, g givenBack) bool {
	return c.backups.restored != nil && g.TID.Src != c.self && g.Kept == 0 && child.Whole() == (license.Share{})
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
	if kept, err := keptBy(rec.Object); err != nil || kept != t.Kept {
		return err // it has said another thing since
	}
	rec.Object, rec.Over = nil, true
	if err := c.commit(kindBack, rec); err != nil {
		return err
	}
	c.backs[t.TID] = rec
	return nil
}

// returnFirst refuses to let a license leave the house that its devices have.
func (c *Core) returnFirst(inst *instance, act permission.Permission) license.Decision {
	return license.Decision{Action: act, License: inst.leaf().Info().ID, Reasons: []license.Reason{{
		Code: license.DestNotAllowed, Constraint: "ALLOWANCE", Have: fmt.Sprintf("on %d devices of the house", c.dwelling(inst)), Need: "on none", Closed: true,
		Remedy: license.ReturnFirst,
	}}}
}
