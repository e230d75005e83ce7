package core

import (
	"cmp"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// asideRecord is what was set aside for a device of the house and is not back: a
// child of what the house holds, and how much of it has come back. Of a license
// that counts nothing the share is zero: such a license does not leave the house
// before each of its children is given back. Source: local, docs/spec/trem.md.
type asideRecord struct {
	_      struct{}       `cbor:",toarray"`
	TID    ident.Transfer // the ALLOWANCE that it went by, the newest
	Child  ident.License
	Parent ident.License
	Plays  uint64 // that went
	MS     int64  // of ACCUMULATED that went
	Back   uint64 // of these plays, or else ms, that are back
}

// dwellRecord is an asideRecord of an earlier build, of a child that counts nothing.
type dwellRecord struct {
	_      struct{} `cbor:",toarray"`
	TID    ident.Transfer
	Child  ident.License
	Parent ident.License
}

func (d dwellRecord) aside() asideRecord {
	return asideRecord{TID: d.TID, Child: d.Child, Parent: d.Parent}
}

// whole is what went.
func (a *asideRecord) whole() license.Share { return license.Share{Plays: a.Plays, MS: a.MS} }

// out is what of it the device may still have.
func (a *asideRecord) out() license.Share {
	s := a.whole()
	if s.Plays > 0 {
		s.Plays -= min(a.Back, s.Plays)
	} else {
		s.MS -= min(int64(a.Back), s.MS) //nolint:gosec // below 2^53
	}
	return s
}

// amount is a share as one number: plays where these are counted, else ms.
func amount(s license.Share) uint64 {
	if s.Plays > 0 {
		return s.Plays
	}
	return uint64(max(s.MS, 0))
}

// portion is n of a share as one number.
func portion(of license.Share, n uint64) license.Share {
	if of.Plays > 0 {
		return license.Share{Plays: n}
	}
	return license.Share{MS: int64(n)} //nolint:gosec // below 2^53
}

// divides reports whether a part of a share can go back by itself: not of what
// counts plays and time, where nobody can say how much time belongs to a play.
func divides(s license.Share) bool { return (s.Plays > 0) != (s.MS > 0) }

// setAsideHere notes what a device of the house has from now on.
func (c *Core) setAsideHere(tid ident.Transfer, child, parent *license.License) ([]vault.Record, error) {
	share := child.Whole()
	rec := asideRecord{TID: tid, Child: child.Info().ID, Parent: parent.Info().ID, Plays: share.Plays, MS: share.MS}
	out, err := newRecord(kindAside, rec)
	if err != nil {
		return nil, err
	}
	c.aside[rec.Child] = rec
	return []vault.Record{out}, nil
}

// taken notes at a home server that a child is back: the one of this transfer,
// not one that went since.
func (c *Core) taken(rec backRecord) {
	c.backs[rec.TID] = rec
	for id, a := range c.aside {
		if a.TID == rec.TID {
			delete(c.aside, id)
		}
	}
}

// dwelling is how many devices of the house have a child of a license that counts nothing.
// Of an own film those do not count that were put out: nobody gives it back for them.
func (c *Core) dwelling(inst *instance) (n int) {
	for _, rec := range c.aside {
		if m, known := c.members[rec.TID.Dst]; (!known || m.Removed) && c.isOwnFilm(inst) {
			continue
		}
		if rec.Parent == inst.leaf().Info().ID && rec.whole() == (license.Share{}) {
			n++
		}
	}
	return n
}

// asides are the parts of a license that devices have, in the order of their transfers.
func (c *Core) asides(of func(asideRecord) bool) []asideRecord {
	return slices.SortedFunc(func(yield func(asideRecord) bool) {
		for rec := range maps.Values(c.aside) {
			if of(rec) && !yield(rec) {
				return
			}
		}
	}, func(a, b asideRecord) int { return compareTransfers(a.TID, b.TID) })
}

// mostOut is the license of a title of which members may have most; nil if none.
func (c *Core) mostOut(id ident.Content) (best *instance) {
	sums, most := map[ident.License]uint64{}, uint64(0)
	for _, rec := range c.asides(func(a asideRecord) bool { return divides(a.whole()) }) {
		inst := c.byID(rec.Parent)
		if inst == nil || inst.leaf().Info().Content != id {
			continue
		}
		if sums[rec.Parent] += amount(rec.out()); sums[rec.Parent] > most {
			best, most = inst, sums[rec.Parent]
		}
	}
	return best
}

// asideAt says, title by title, what a member may have that is counted.
func (c *Core) asideAt(id ident.Device) (out []trem.Aside) {
	sums := map[ident.License]trem.Aside{}
	for _, rec := range c.asides(func(a asideRecord) bool { return a.TID.Dst == id && a.whole() != (license.Share{}) }) {
		sum := sums[rec.Parent]
		sum.License = rec.Parent
		if inst := c.byID(rec.Parent); inst != nil {
			sum.Content = inst.leaf().Info().Content
		}
		share := rec.out()
		sum.Plays, sum.MS = sum.Plays+share.Plays, sum.MS+share.MS
		sums[rec.Parent] = sum
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b trem.Aside) int {
		return cmp.Or(cmp.Compare(a.Content, b.Content), slices.Compare(a.License[:], b.License[:]))
	})
}
