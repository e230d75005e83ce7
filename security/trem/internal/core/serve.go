package core

import (
	"cmp"
	"errors"
	"slices"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// serve answers a device as the home server of its domain: a stateless license
// as it is, a counted one as plays set aside.
func (c *Core) serve(ev sltp.EventRequest, r Reading) ([]sltp.Message, *trem.Event, error) {
	bound := len(c.sunsets.bound)
	body, code, err := c.answer(ev, r)
	if err != nil {
		return nil, nil, err
	}
	if code != 0 {
		msgs, err := c.refuseWith(ev.Handle, code, 0, r)
		return msgs, &trem.Event{Kind: trem.EventRefused, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Request: ev.Request.ReqID, Code: code.String()}, err
	}
	msgs, err := c.reply(ev.Handle, sltp.StatusDone, body, r)
	if len(c.sunsets.bound) > bound {
		return msgs, &trem.Event{Kind: trem.EventBound, Peer: ev.Peer.ID(), Request: ev.Request.ReqID}, err
	}
	return msgs, nil, err
}

// answer finds what a member asks for. A code is a refusal.
func (c *Core) answer(ev sltp.EventRequest, r Reading) (body sltp.Body, code sltp.ErrorCode, err error) {
	m, ok := c.members[ev.Peer.ID()]
	if c.domain == nil || ev.Peer.Role() != pki.Device || !ok || m.Removed || c.isSuperseded() {
		return nil, sltp.ErrorNotMember, nil
	}
	if err := c.sees(m.Device, r); err != nil {
		return nil, 0, err
	}
	if old, err := c.repeat(ev.Peer.ID(), ev.Request.ReqID); old != nil || err != nil {
		return old, 0, err
	}
	if open, err := sltp.ParseMoveOpen(ev.Request.Body); err == nil {
		if trem.Op(open.Op) == trem.OpBind {
			return c.bind(ev, open.What, r)
		}
		if transfer.Op(open.Op) == transfer.OpAllowance {
			return c.setAside(ev, open.What, open.Amounts[uint8(permission.Play)], r)
		}
		return c.handed(ev, open, r)
	}
	req, err := sltp.ParseLicenseRequest(ev.Request.Body)
	if err != nil {
		return nil, sltp.ErrorBadRequest, nil //nolint:nilerr // a refusal is the answer to a malformed request
	}
	if c.currentMember(req.Membership, ev.Peer.ID()) != nil {
		return nil, sltp.ErrorNotMember, nil //nolint:nilerr // the same
	}
	best := c.find(req.What, r)
	if best == nil {
		return nil, sltp.ErrorUnknown, nil
	}
	if !best.leaf().Info().Stateless() || isLoan(best.leaf()) { // a loan goes back when nobody has it
		return c.setAside(ev, req.What, 1, r)
	}
	if code := cmp.Or(c.unfit(best, ev, r), c.limited(best, m.Device, r).code); code != 0 {
		return nil, code, nil
	}
	if err := c.reaches(best, m.Device, r); err != nil {
		return nil, 0, err
	}
	bundle, err := best.bundleFor(best.leaf(), ev.Peer)
	if err != nil {
		return nil, 0, err
	}
	links, err := c.address(best, best.links, m, r)
	if err != nil {
		return nil, 0, err
	}
	body, err = sltp.License{Chain: links, Bundle: bundle}.Encode()
	return body, 0, err
}

// address puts the member's renewed membership beside the license that inst is, or
// that derives from it.
func (c *Core) address(inst *instance, links [][]byte, m memberRecord, r Reading) ([][]byte, error) {
	l, _, err := parseLink(links[0])
	if err != nil {
		return nil, err
	}
	if l.Membership, err = c.membershipOf(m, r); err != nil {
		return nil, err
	}
	return inst.behind(l, links[1:])
}

// find picks the license that a member's request is about: of those for a
// content the one that burns least; where none has anything left, the one of which
// members have most, since they can give it back.
func (c *Core) find(what sltp.Reference, r Reading) *instance {
	if what.Content != "" {
		inst, no := c.choose(trem.Ask{Content: what.Content, Action: permission.Play, Output: trem.OutputInternal, Confirm: true}, r, nil)
		if slices.ContainsFunc(no.Reasons, func(r license.Reason) bool {
			return r.Code == license.CountExhausted || r.Code == license.TimeExhausted
		}) {
			return cmp.Or(c.mostOut(what.Content), inst)
		}
		return inst
	}
	for _, inst := range c.held {
		if inst.leaf().Info().ID == what.License {
			return inst
		}
	}
	return nil
}

// currentMember checks the membership that a member shows: ours, for it. Its
// generation may be an older one: the answer renews it.
func (c *Core) currentMember(data []byte, device ident.Device) error {
	m, err := c.parseOurs(data)
	if err != nil {
		return err
	}
	if m.Device != device || m.Domain != c.domain.ID {
		return errors.New("membership: not of this house")
	}
	return nil
}

// setAside gives a share of a license whose state counts to a member: a derived
// license of kind 3, in a transfer whose PREPARE takes the share from the parent.
func (c *Core) setAside(ev sltp.EventRequest, what sltp.Reference, n uint64, r Reading) (sltp.Body, sltp.ErrorCode, error) {
	parent := c.find(what, r)
	if parent == nil || parent.leaf().Info().Stateless() && !isLoan(parent.leaf()) {
		return nil, sltp.ErrorUnknown, nil
	}
	if c.noTransfer(ev.Peer.ID()) != nil {
		return nil, sltp.ErrorRefused, nil //nolint:nilerr // the reason is in this module's status
	}
	if c.borrowedOwn(parent) {
		return nil, sltp.ErrorRefused, nil
	}
	if c.unclosed(parent) {
		return nil, sltp.ErrorTryLater, nil
	}
	if old, err := c.unfinished(ev.Peer.ID(), parent); old != nil || err != nil {
		return old, 0, err
	}
	if code := cmp.Or(c.unfit(parent, ev, r), c.limited(parent, ev.Peer.ID(), r).code); code != 0 {
		return nil, code, nil
	}
	if !c.isKept(ev.Peer, ev.Request.Head) {
		return nil, sltp.ErrorTryLater, nil
	}
	share, err := c.share(parent, ev.Peer.ID(), n, r)
	if err != nil {
		return nil, 0, err
	}
	index := parent.state.NextIndex
	if share == (license.Share{}) { // not counted: each device has one child, always the same, so its interval begins once
		index = c.members[ev.Peer.ID()].Index
	}
	info, err := license.Derive(parent.leaf(), license.Derivation{
		Device: ev.Peer.ID(), Plays: share.Plays, MS: share.MS, Index: index, Now: c.clock.judge(r).Est, State: parent.state,
	})
	if err != nil {
		return nil, refusalCode(err), nil
	}
	next, err := parent.leaf().Give(parent.state, share)
	if err != nil {
		return nil, refusalCode(err), nil
	}
	body, err := c.allotment(ev.Peer, parent, info, share, r)
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
	if err := c.reaches(parent, ev.Peer.ID(), r); err != nil {
		return nil, 0, err
	}
	state, err := next.Encode()
	if err != nil {
		return nil, 0, err
	}
	mark, err := newRecord(kindState, stateRecord{Hash: parent.leaf().Hash(), State: state, Epoch: parent.epoch})
	if err != nil {
		return nil, 0, err
	}
	if err := c.write(true, append(records(recs), mark)...); err != nil {
		return nil, 0, err
	}
	parent.state = next
	if x.Head, err = c.headFor(ev.Peer); err != nil {
		return nil, 0, err
	}
	data, err := x.Encode()
	return data, 0, err
}

// allotment signs what is set aside for a member, and is the body of its ALLOWANCE.
func (c *Core) allotment(to *pki.Peer, parent *instance, info *license.Info, share license.Share, r Reading) ([]byte, error) {
	link, lic, err := c.sign(info)
	if err != nil {
		return nil, err
	}
	links, err := c.address(parent, append([][]byte{link}, parent.links...), c.members[to.ID()], r)
	if err != nil {
		return nil, err
	}
	child := &instance{links: links, chain: append([]*license.License{lic}, parent.chain...), keys: parent.keys}
	bundle, err := child.bundleFor(lic, to)
	if err != nil {
		return nil, err
	}
	return transferBody(transfer.OpAllowance, child, bundle, share.Plays)
}

// handed answers a member that asks for the license itself, a copy or a loan.
func (c *Core) handed(ev sltp.EventRequest, open sltp.MoveOpen, r Reading) (sltp.Body, sltp.ErrorCode, error) {
	act, ok := action(trem.Op(open.Op))
	if !ok {
		return nil, sltp.ErrorBadRequest, nil
	}
	h := &handover{
		order:  trem.HandOver{Op: trem.Op(open.Op), Content: open.What.Content, License: open.What.License},
		peer:   ev.Peer,
		fellow: true, request: ev.Request.ReqID, r: r,
	}
	if n := open.Amounts[uint8(act)]; h.order.Op == trem.OpLend {
		h.order.ForMS = int64(min(n, 1<<52))
	} else {
		h.order.Plays = n // of a COPY
	}
	m, err := c.onItsWay(h)
	if m == nil && err == nil {
		if !c.isKept(ev.Peer, ev.Request.Head) {
			return nil, sltp.ErrorTryLater, nil
		}
		m, _, err = c.give(h)
	}
	if code, known := refusalOf(err); known {
		return nil, code, nil
	}
	if err != nil {
		return nil, 0, err
	}
	body, err := m.Encode()
	return body, 0, err
}

// onItsWay is the open transfer that gives a member what it asks for, under
// another request: what was sent to it may be lost, and who asked too. A loan
// that the member has said to have is none.
func (c *Core) onItsWay(h *handover) (transfer.Message, error) {
	if h.order.License != (ident.License{}) {
		return nil, nil //nolint:nilnil // it is asked for by name: nothing else will do
	}
	for _, tid := range c.source.Open() {
		if tid.Dst != h.peer.ID() {
			continue
		}
		o, err := c.source.Opened(tid)
		if err != nil {
			return nil, err
		}
		t, err := c.outgoing(tid)
		if err != nil {
			return nil, err
		}
		if t.Op != h.order.Op.String() || t.Content != h.order.Content || t.Cancelled || o.Loan != nil && o.Loan.Seen {
			continue
		}
		return c.source.Answer(tid)
	}
	return nil, nil //nolint:nilnil // nothing is open
}

// refusalOf is what an asker is told of a hand-over that is not possible.
func refusalOf(err error) (sltp.ErrorCode, bool) {
	var no *trem.RefusalError
	var e *trem.Error
	switch {
	case errors.As(err, &no) && len(no.Decision.Reasons) > 0:
		code, named := map[license.Code]sltp.ErrorCode{
			license.NoGrant: sltp.ErrorNoGrant, license.CountExhausted: sltp.ErrorExhausted, license.TimeExhausted: sltp.ErrorExhausted,
			license.LockedInMove: sltp.ErrorTryLater, license.TREMLevel: sltp.ErrorLevel,
		}[no.Decision.Reasons[0].Code]
		switch {
		case no.Decision.Reasons[0].Constraint == "DOMAIN_DEVICES":
			code = sltp.ErrorDomainFull
		case no.Decision.Reasons[0].Constraint == "DOMAIN_NEW":
			code = sltp.ErrorDomainRate
		case !named:
			code = sltp.ErrorRefused
		}
		return code, true
	case errors.As(err, &e) && e.Code == trem.CodeState:
		return sltp.ErrorTryLater, true
	case errors.As(err, &e) && e.Code == trem.CodeRejected:
		return sltp.ErrorRefused, true
	}
	return 0, false
}

// unclosed reports whether a license came by a transfer that its source has not
// closed: it may be played, and nothing else.
func (c *Core) unclosed(inst *instance) bool {
	for tid, hash := range c.came {
		if hash == inst.leaf().Hash() && c.dest.Unconfirmed(tid) {
			return true
		}
	}
	return false
}

// unfinished is a transfer of plays of parent to the same member that is still
// open. What a member asks for meanwhile is answered with it: its plays would
// be lost with the request that opened it.
func (c *Core) unfinished(peer ident.Device, parent *instance) (sltp.Body, error) {
	for _, tid := range c.source.Open() {
		if tid.Dst != peer {
			continue
		}
		m, err := c.source.Answer(tid)
		if err != nil {
			return nil, err
		}
		x, ok := m.(*transfer.XFER)
		if !ok {
			continue
		}
		b, err := transfer.ParseBody(x.Body)
		if err != nil {
			return nil, err
		}
		if len(b.Chain) < 2 {
			continue
		}
		if _, lic, err := parseLink(b.Chain[1]); err == nil && lic.Hash() == parent.leaf().Hash() {
			return x.Encode()
		}
	}
	return nil, nil
}

// unfit refuses before anything is set aside what the asker could only refuse:
// its revocation state is too old, or its level too low for the keys. And it
// refuses who is behind while a newer state is due here: nobody knows then whether
// the asker still stands, and who is up to date was seen by others since.
func (c *Core) unfit(inst *instance, ev sltp.EventRequest, r Reading) sltp.ErrorCode {
	info := inst.leaf().Info()
	epoch, err := sltp.EpochToWire(ev.Request.Epoch)
	if err != nil || epoch < info.RevMinEpoch {
		return sltp.ErrorStaleEpoch
	}
	if c.revoked != nil && !c.tier(inst, r).MayRelay(revocation.Contact{Own: c.revoked.Epoch(), Peer: ev.Request.Epoch, SameDomain: true}) {
		return sltp.ErrorStaleEpoch
	}
	if uint64(ev.Peer.Level()) < info.Policy.MinLevel {
		return sltp.ErrorLevel
	}
	return 0
}

// refusalCode is what the asker is told of a derivation that is not possible.
func refusalCode(err error) sltp.ErrorCode {
	if errors.Is(err, license.ErrNoRight) {
		return sltp.ErrorExhausted
	}
	return sltp.ErrorRefused
}

// repeat finds the transfer that an earlier copy of this request opened.
func (c *Core) repeat(peer ident.Device, req ident.Request) ([]byte, error) {
	if tid, ok := c.source.ClosedRequest(peer, req); ok {
		m, err := c.source.Answer(tid)
		if err != nil {
			return nil, err
		}
		return m.Encode()
	}
	m := c.source.ByRequest(peer, req)
	if m == nil {
		return nil, nil
	}
	return m.Encode()
}
