package core

import (
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
)

// kindWiped is the record after which a module does nothing but destroy what it has.
// Source: local, docs/spec/trem.md.
const kindWiped = 0x36

// wipedRecord says when that was, by the module's estimate, Unix ms.
type wipedRecord struct {
	_  struct{} `cbor:",toarray"`
	At int64
}

// Wiped reports whether the keys of this module are to be destroyed, or are.
func (c *Core) Wiped() bool { return c.wiped != nil }

// wipe leaves the house, for good, or ends this module: what it says is durable, and
// its process destroys the keys before it answers. What somebody else waits for, and
// what is nowhere else, is lost only where the owner says so.
func (c *Core) wipe(in trem.WipeOrder, r Reading) (trem.Wiped, error) {
	if c.identity != nil {
		if err := c.need(pki.Device); err != nil {
			return trem.Wiped{}, err
		}
	}
	if owed := c.owes(); owed != nil && !in.GiveUp {
		return trem.Wiped{}, owed
	}
	lost := c.onlyHere(r)
	if len(lost) > 0 && !in.GiveUp {
		return trem.Wiped{Lost: lost}, nil
	}
	if c.membership != nil && (!in.GiveUp || in.House != ident.Device{}) {
		h, err := c.leaveHouse(in.House, true, r)
		return trem.Wiped{Letters: h.Letters, Lost: lost}, err
	}
	for _, inst := range c.held {
		if err := c.quiet(inst, r); err != nil {
			return trem.Wiped{}, err
		}
	}
	rec := wipedRecord{At: c.clock.judge(r).Est}
	if err := c.commit(kindWiped, rec); err != nil {
		return trem.Wiped{}, err
	}
	c.wiped = &rec
	return trem.Wiped{Done: true, Lost: lost}, nil
}

// onlyHere lists what is lost with this module: what is its own, and what of the house
// counts or may move, so that the house may not have it.
func (c *Core) onlyHere(r Reading) (lost []trem.Held) {
	held := c.licenses(r)
	for n, inst := range c.sorted() {
		if inst.root().Info().Subject.Kind == license.SubjectDevice || !inst.leaf().Steady() {
			lost = append(lost, held[n])
		}
	}
	return lost
}
