package core

import (
	"crypto/sha256"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// objectLeft is the object by which a device leaves its house (IEC TS 62579).
// Source: local, docs/spec/membership.md.
const objectLeft = wire.Object("left")

// left is a device's word that it holds nothing of the house any more. The index
// says which membership it gives up: one that came later is not meant.
type left struct {
	Domain ident.Domain `cbor:"1,keyasint"`
	Device ident.Device `cbor:"2,keyasint"`
	Index  uint64       `cbor:"3,keyasint"`
	Wiped  bool         `cbor:"4,keyasint,omitempty"` // it does not come back: who shows its key has an old copy
}

var leftLimit = wire.Limit{Bytes: 512, Items: 16, Depth: 4}

// leaveHouse destroys what this device holds of its house and signs that it has left.
// What somebody else waits for goes back before: nothing is lost by leaving. Nothing
// is lost by a stray command either: it names the house's server.
func (c *Core) leaveHouse(house ident.Device, wiped bool, r Reading) (trem.Handed, error) {
	if err := c.need(pki.Device); err != nil {
		return trem.Handed{}, err
	}
	if c.left != nil && c.membership == nil {
		return c.leftLetters(trem.Handed{})
	}
	if c.membership == nil {
		return trem.Handed{}, stateError("this device belongs to no house")
	}
	if err := c.owes(); err != nil && !wiped { // wipe has asked, unless all of it is given up
		return trem.Handed{}, err
	}
	server, err := idOf(c.manager) // judged when this device joined; who was revoked since is left, too
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	if server != house {
		return trem.Handed{}, stateError("this device belongs to another house")
	}
	payload, err := wire.Marshal(left{Domain: c.membership.Domain, Device: c.self, Index: c.membership.Index, Wiped: wiped})
	if err != nil {
		return trem.Handed{}, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectLeft, payload)
	if err != nil {
		return trem.Handed{}, err
	}
	out, err := newRecord(kindMembership, leftRecord(object, server))
	if err != nil {
		return trem.Handed{}, err
	}
	recs := []vault.Record{out}
	var gone []*instance
	for hash, inst := range c.held {
		if inst.root().Info().Subject.Kind != license.SubjectDomain {
			continue // this device's own goes where it goes
		}
		if err := c.quiet(inst, r); err != nil {
			return trem.Handed{}, err
		}
		rec, err := newRecord(kindGone, goneRecord{Hash: hash})
		if err != nil {
			return trem.Handed{}, err
		}
		recs, gone = append(recs, rec), append(gone, inst)
	}
	if err := c.write(true, recs...); err != nil {
		return trem.Handed{}, err
	}
	for _, inst := range gone {
		delete(c.held, inst.leaf().Hash())
	}
	c.left, c.leftTo = object, server
	c.membership, c.membershipBytes, c.manager = nil, nil, nil
	c.holder.Leave()
	return c.leftLetters(trem.Handed{})
}

// owes names what has to be finished before this device can leave.
func (c *Core) owes() error {
	for _, inst := range c.held {
		if p := inst.leaf().Info().Parent; p != nil && p.Kind == license.KindAllowance || c.unclosed(inst) {
			return stateError("what was set aside for this device has to go back first")
		}
	}
	for _, b := range c.dest.Borrowed() {
		if !b.Returned {
			return stateError("what was lent to this device has to go back first")
		}
	}
	for _, b := range c.backs {
		if !b.Over {
			return stateError("the house has not heard yet what has gone back")
		}
	}
	if len(c.source.Open()) > 0 {
		return stateError("something is on its way from this device and has to arrive first")
	}
	return nil
}

// leftRecord is what stands in place of a membership after leaving.
func leftRecord(object []byte, server ident.Device) membershipRecord {
	return membershipRecord{Membership: object, Manager: [][]byte{server[:]}}
}

// isLeft reports whether a record is one of leftRecord: no chain has a certificate
// of an ID's length.
func (m membershipRecord) isLeft() bool {
	return len(m.Manager) == 1 && len(m.Manager[0]) == ident.Size
}

// leftLetters adds the letter that says that this device has left. It is said again
// until the device joins a house: the house that hears it twice does nothing.
func (c *Core) leftLetters(out trem.Handed) (trem.Handed, error) {
	if c.left == nil || c.membership != nil {
		return out, nil
	}
	sum := sha256.Sum256(c.left)
	l, err := c.letter(c.leftTo, [16]byte(sum[:16]), c.left)
	out.Letters = append(out.Letters, l)
	return out, err
}

// depart takes a member's word that it has left. Its place is free, and as with a
// removal the generation rises: what it may have kept of its membership is of an older one.
func (c *Core) depart(sig *wire.Sign1, from *pki.Peer) (trem.Handed, error) {
	l, err := readLeft(sig, from, c.managedHere())
	if err != nil {
		return trem.Handed{}, err
	}
	m, ok := c.members[l.Device]
	if !ok || m.Removed || m.Index != l.Index {
		return trem.Handed{}, nil // it was heard before
	}
	if m.Removed = true; !l.Wiped { // one that is wiped is as one that the owner has removed
		m.Index = 0
	}
	d := *c.domain
	d.Generation++
	if err := c.commitAll(map[uint8]any{kindDomain: d, kindMember: m}); err != nil {
		return trem.Handed{}, err
	}
	*c.domain, c.members[l.Device] = d, m
	c.keeper.Forget(l.Device)
	return trem.Handed{Events: []trem.Event{{Kind: trem.EventLeft, Peer: l.Device}}}, nil
}

// managedHere is the domain that this module manages; zeros without one.
func (c *Core) managedHere() ident.Domain {
	if c.domain == nil {
		return ident.Domain{}
	}
	return c.domain.ID
}

// readLeft reads a member's word that it has left a domain.
func readLeft(sig *wire.Sign1, from *pki.Peer, domain ident.Domain) (l left, err error) {
	if err := sig.Verify(from.Public()); err != nil {
		return l, rejected(fmt.Errorf("left: %w", err))
	}
	if err := wire.Unmarshal(sig.Payload, &l, leftLimit); err != nil {
		return l, rejected(fmt.Errorf("left: %w", err))
	}
	if domain == (ident.Domain{}) || l.Domain != domain || l.Device != from.ID() {
		return l, rejected(fmt.Errorf("left: it is of another house or device"))
	}
	return l, nil
}
