package core

import (
	"errors"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// Limits of re-binding: how many devices have a license of their own at a time,
// and how many new ones there are in a year. Source: local, docs/spec/sunset.md.
const (
	maxBound   = maxMembers
	newBound   = 4
	boundYear  = 365 * 86_400_000 // ms
	boundLimit = 4 * maxBound     // records of one license that are kept
)

// boundRecord is the manager's log of a license that it bound to a device.
type boundRecord struct {
	_       struct{}      `cbor:",toarray"`
	License ident.License // the root license
	Device  ident.Device
	At      int64 // signed time, Unix ms
}

type boundName struct {
	license ident.License
	device  ident.Device
}

func (s *sunsets) keepBound(rec boundRecord) {
	if s.bound == nil {
		s.bound = map[boundName]boundRecord{}
	}
	s.bound[boundName{rec.License, rec.Device}] = rec
}

// bind signs a license of its own for a device of the house, of one whose sunset
// has come: a derived license of kind 5, in a transfer like what is set aside. A
// device that asks again gets the same license.
func (c *Core) bind(ev sltp.EventRequest, what sltp.Reference, r Reading) (sltp.Body, sltp.ErrorCode, error) {
	parent := c.bindable(what)
	if parent == nil {
		return nil, sltp.ErrorUnknown, nil
	}
	if c.noTransfer(ev.Peer.ID()) != nil || c.unclosed(parent) {
		return nil, sltp.ErrorTryLater, nil //nolint:nilerr // who asks comes again
	}
	if old, err := c.unfinished(ev.Peer.ID(), parent); old != nil || err != nil {
		return old, 0, err
	}
	if code := c.unfit(parent, ev, r); code != 0 {
		return nil, code, nil
	}
	rec, ok := c.mayBind(parent.root(), ev.Peer.ID())
	if !ok {
		return nil, sltp.ErrorExhausted, nil
	}
	info, err := license.Derive(parent.leaf(), license.Derivation{
		Kind: license.KindRebind, Device: ev.Peer.ID(), Index: c.members[ev.Peer.ID()].Index, Now: c.clock.judge(r).Est, State: parent.state,
	})
	if err != nil {
		return nil, refusalCode(err), nil
	}
	return c.bindTo(ev, parent, info, rec, r)
}

// bindTo makes the re-binding durable, in the log and as a transfer, before it leaves.
func (c *Core) bindTo(ev sltp.EventRequest, parent *instance, info *license.Info, rec boundRecord, r Reading) (sltp.Body, sltp.ErrorCode, error) {
	body, err := c.allotment(ev.Peer, parent, info, license.Share{}, r)
	if err != nil {
		return nil, 0, err
	}
	x, recs, err := c.source.Prepare(transfer.Order{Dst: ev.Peer.ID(), Leaf: ev.Peer.Leaf(), Request: ev.Request.ReqID, Body: body})
	if errors.Is(err, transfer.ErrFull) {
		return nil, sltp.ErrorTryLater, nil
	}
	if err != nil {
		return nil, 0, rejected(err)
	}
	note, err := newRecord(kindBound, rec)
	if err != nil {
		return nil, 0, err
	}
	if err := c.write(true, append(records(recs), note)...); err != nil {
		return nil, 0, err
	}
	c.sunsets.keepBound(rec)
	if x.Head, err = c.headFor(ev.Peer); err != nil {
		return nil, 0, err
	}
	data, err := x.Encode()
	return data, 0, err
}

// bindable is the license that a request to bind is about: a root license whose
// sunset has come and which the house may bind to its devices.
func (c *Core) bindable(what sltp.Reference) *instance {
	for _, inst := range c.sorted() {
		info := inst.leaf().Info()
		named := what.Content != "" && info.Content == what.Content || what.Content == "" && info.ID == what.License
		if !named || len(inst.chain) != 1 || info.Sunset == nil || info.Sunset.Mode != license.SunsetRebind {
			continue
		}
		if _, ok := c.sunsetOf(inst.root()); ok {
			return inst
		}
	}
	return nil
}

// mayBind says whether a license may be bound to one more device: only so many
// have it, and only so many are new in a year of signed time. A device that has
// it, or had it, is not new. Records of removed devices count for their year.
func (c *Core) mayBind(root *license.License, device ident.Device) (boundRecord, bool) {
	id, now := root.Info().ID, c.signedTime()
	if rec, ok := c.sunsets.bound[boundName{id, device}]; ok {
		return rec, true
	}
	live, recent, all := 0, 0, 0
	for name, rec := range c.sunsets.bound {
		if name.license != id {
			continue
		}
		all++
		if m, ok := c.members[name.device]; ok && !m.Removed {
			live++
		}
		if now-rec.At < boundYear {
			recent++
		}
	}
	return boundRecord{License: id, Device: device, At: now}, live < maxBound && recent < newBound && all < boundLimit
}

// provenRebind checks what a re-binding needs beside its chain: that the sunset
// of the license it is of has come by what this module itself knows.
func (c *Core) provenRebind(inst *instance) error {
	p := inst.leaf().Info().Parent
	if p == nil || p.Kind != license.KindRebind {
		return nil
	}
	if _, ok := c.sunsetOf(inst.root()); !ok {
		return &trem.Error{Code: trem.CodeRejected, Text: "license: it is bound to this device by the house, and nothing here proves that the shop has ended: learn the newest revocation state"}
	}
	return nil
}
