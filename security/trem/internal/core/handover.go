package core

import (
	"fmt"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// handover is a license that is about to leave: what, how, and to whom.
type handover struct {
	order   trem.HandOver
	peer    *pki.Peer
	fellow  bool // peer belongs to this module's house
	request ident.Request
	inst    *instance
	r       Reading
}

// actions are the permissions that operations need.
func action(op trem.Op) (permission.Permission, bool) {
	switch op {
	case trem.OpMove:
		return permission.Move, true
	case trem.OpCopy:
		return permission.Copy, true
	case trem.OpLend:
		return permission.Lend, true
	case trem.OpTransfer:
		return permission.Transfer, true
	case trem.OpBind: // needs none: the sunset gives it
	}
	return 0, false
}

// handOver takes a license out of use for a module that may be away, and
// returns the letter that carries it. The letter leaves what is durable.
func (c *Core) handOver(in trem.HandOver, r Reading) (trem.Handed, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return trem.Handed{}, err
	}
	peer, err := c.verifier.Verify(in.To.Chain, c.certTime(r), pki.HomeServer, pki.Device)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	if _, err := c.verifier.VerifyDelivery(peer, in.To.Delivery, c.certTime(r)); err != nil {
		return trem.Handed{}, rejected(err)
	}
	if peer.ID() == c.self {
		return trem.Handed{}, rejected(fmt.Errorf("hand-over: it is here already"))
	}
	if m, ok := c.members[peer.ID()]; ok && !m.Removed && c.lapsed(m.Device, r) {
		return trem.Handed{}, stateError("that device was not seen since " + dayOf(c.until[m.Device]-membershipLife) + ": it has to meet the house first")
	}
	h := &handover{order: in, peer: peer, fellow: c.fellow(peer, in.To.Membership, r), r: r}
	m, tid, err := c.give(h)
	if err != nil {
		return trem.Handed{}, err
	}
	letter, err := c.push(tid, m, r)
	return trem.Handed{Transfer: tid, Letters: []trem.Letter{letter}}, err
}

// give takes the license out of use: what it returns may be sent.
func (c *Core) give(h *handover) (transfer.Message, ident.Transfer, error) {
	act, ok := action(h.order.Op)
	if !ok {
		return nil, ident.Transfer{}, malformed(fmt.Errorf("unknown operation %d", h.order.Op))
	}
	if err := c.noTransfer(h.peer.ID()); err != nil {
		return nil, ident.Transfer{}, stateError(err.Error())
	}
	inst, d := c.pick(h, act)
	if !d.Allow {
		return nil, ident.Transfer{}, &trem.RefusalError{Decision: d}
	}
	h.inst = inst
	if err := c.unseen(h.r); err != nil && inst.root().Info().Subject.Kind == license.SubjectDomain {
		return nil, ident.Transfer{}, err
	}
	if c.unclosed(inst) {
		return nil, ident.Transfer{}, stateError("this license has not been confirmed by where it came from")
	}
	whole := h.order.Op == trem.OpMove || h.order.Op == trem.OpTransfer
	if n := inst.withheld(h.peer); n > 0 && whole {
		return nil, ident.Transfer{}, rejected(fmt.Errorf("hand-over: %d keys are above the level of that device, and would be lost", n))
	}
	if whole && c.parting(inst) {
		return nil, ident.Transfer{}, stateError("a part of this license is on its way, and may come back; it can go when that is done")
	}
	if err := c.mayLeave(h, inst, act); err != nil {
		return nil, ident.Transfer{}, err
	}
	if err := c.withinLimits(h, inst, act); err != nil {
		return nil, ident.Transfer{}, err
	}
	if err := c.quiet(inst, h.r); err != nil {
		return nil, ident.Transfer{}, err
	}
	switch h.order.Op {
	case trem.OpMove:
		return c.move(h)
	case trem.OpCopy:
		return c.copy(h)
	case trem.OpTransfer:
		return c.giveAway(h)
	default:
		return c.lend(h)
	}
}

// pick chooses the license for a hand-over: of those that may, the one that was
// named, or the first.
func (c *Core) pick(h *handover, act permission.Permission) (*instance, license.Decision) {
	var last *license.Decision
	for _, inst := range c.sorted() {
		info := inst.leaf().Info()
		if h.order.License != (ident.License{}) && info.ID != h.order.License || h.order.Content != "" && info.Content != h.order.Content {
			continue
		}
		in := c.input(inst, trem.Ask{Action: act, Confirm: true}, h.r)
		in.Request.Dest, in.Request.For = c.destOf(h, inst), h.order.ForMS
		if c.domain != nil {
			in.Request.Countersigned = license.CountersignDomain
		}
		d := inst.leaf().Evaluate(in)
		if d.Allow {
			return inst, d
		}
		for i := range d.Reasons {
			if x := &d.Reasons[i]; x.Code == license.NoGrant && (x.Constraint == "" || x.Constraint == act.String()) { // it is here, and does not go
				x.Constraint, x.Remedy = act.String(), ""
			}
		}
		if last == nil || len(d.Reasons) < len(last.Reasons) {
			last = &d
		}
	}
	if last == nil {
		d := c.nothing(h.order.Content, act)
		last = &d
	}
	return nil, *last
}

// destOf is the destination as the license's issuer would know it.
func (c *Core) destOf(h *handover, inst *instance) *license.Dest {
	d := &license.Dest{Device: h.peer.ID(), Level: uint8(h.peer.Level()), Anchor: uint8(h.peer.Anchor())}
	if h.fellow {
		d.Domain, _, _ = c.pairwise(inst.leaf().Info().Issuer)
		if m, ok := c.stands(inst); ok {
			d.Domain = m.Domain
		}
	}
	return d
}

// quiet ends the sessions of a license that is about to leave.
func (c *Core) quiet(inst *instance, r Reading) error {
	for handle, s := range c.sessions {
		if s.inst == inst {
			if err := c.end(handle, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// withheld is how many keys of the instance another module may not have.
func (i *instance) withheld(peer *pki.Peer) (n int) {
	for _, ref := range i.leaf().Info().Keys {
		rules, err := ref.Rules()
		if _, have := i.keys[ref.KID]; have && (err != nil || uint64(peer.Level()) < rules.MinLevel) {
			n++
		}
	}
	return n
}

// move is MOVE: the license itself goes, with its state.
func (c *Core) move(h *handover) (transfer.Message, ident.Transfer, error) {
	links, err := c.addressed(h, h.inst.links)
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	return c.leave(h, transfer.OpMove, links, h.inst.state, h.inst.state)
}

// leave sends the license itself: with the state goes, and next with it in
// escrow here.
func (c *Core) leave(h *handover, op transfer.Op, links [][]byte, goes, next license.State) (transfer.Message, ident.Transfer, error) {
	bundle, err := h.inst.bundle(h.inst.leaf())
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	goes.Phase, goes.Tx, goes.Slice = license.Held, nil, nil
	state, err := goes.Encode()
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	b := transfer.Body{Op: op, Chain: links, State: state, Bundle: bundle, HoldUntil: c.holdUntil(h), Amounts: map[uint64]uint64{uint64(permission.Play): transfer.All}}
	next.Phase, next.Slice = license.Escrow, nil
	return c.dispatch(h, b, func(tid ident.Transfer) license.State {
		next.Tx = &license.Tx{ID: tid, HoldUntil: holdOf(b.HoldUntil)}
		return next
	})
}

// holdUntil is hold_until, where the order asks for one.
func (c *Core) holdUntil(h *handover) *int64 {
	if h.order.HoldMS <= 0 {
		return nil
	}
	until := c.clock.judge(h.r).Est + h.order.HoldMS
	return &until
}

func holdOf(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// copy is COPY: a child goes, one generation on. One of a license is open at a
// time, so the index of one that was refused is free again.
func (c *Core) copy(h *handover) (transfer.Message, ident.Transfer, error) {
	inst := h.inst
	if c.copying(inst.leaf()) {
		return nil, ident.Transfer{}, stateError("a copy of this license is on its way; the next one can go when that is done")
	}
	in := c.input(inst, trem.Ask{Action: permission.Copy, Confirm: true}, h.r)
	in.Request.Dest = c.destOf(h, inst)
	step := inst.leaf().Reserve(in)
	if !step.Decision.Allow {
		return nil, ident.Transfer{}, &trem.RefusalError{Decision: step.Decision}
	}
	d := license.Derivation{
		Kind: license.KindCopy, Device: h.peer.ID(), Index: inst.leaf().CopyIndex(inst.state), Now: c.clock.judge(h.r).Est, State: inst.state,
	}
	if share := inst.leaf().DefaultShare(inst.state, h.order.Plays); inst.leaf().CopySplits() {
		d.Plays, d.MS = share.Plays, share.MS
	}
	child, bundle, err := c.derive(h, d)
	if err != nil {
		return nil, ident.Transfer{}, err
	}
	next, err := inst.leaf().Give(step.State, d.Share())
	if err != nil {
		return nil, ident.Transfer{}, exhausted(err)
	}
	b := transfer.Body{Op: transfer.OpCopy, Chain: child, Bundle: bundle, HoldUntil: c.holdUntil(h), Amounts: map[uint64]uint64{uint64(permission.Copy): 1}}
	return c.dispatch(h, b, func(ident.Transfer) license.State { return next })
}

// copying reports whether a COPY of the license is open.
func (c *Core) copying(lic *license.License) bool {
	for _, b := range c.bodies() {
		if b.Op == transfer.OpCopy && parentOf(b.Chain) == lic.Hash() {
			return true
		}
	}
	return false
}

// parting reports whether a copy of the license or a share of its plays is on its
// way: what of it is refused comes back to the license, which must be here then.
func (c *Core) parting(inst *instance) bool {
	for _, b := range c.bodies() {
		if len(b.Chain) < 2 {
			continue
		}
		if _, parent, err := parseLink(b.Chain[1]); err == nil && parentOf(b.Chain) == parent.Hash() && c.successor(parent) == inst {
			return true
		}
	}
	return false
}

// bodies are the open transfers; loans, which have none, apart.
func (c *Core) bodies() (out []*transfer.Body) {
	for _, tid := range c.source.Open() {
		o, err := c.source.Opened(tid)
		if err != nil || o.Body == nil {
			continue
		}
		if b, err := transfer.ParseBody(o.Body); err == nil {
			out = append(out, b)
		}
	}
	return out
}

// parentOf is the hash of the license that a chain's first link derives from;
// zero for a root license.
func parentOf(chain [][]byte) [32]byte {
	if _, lic, err := parseLink(chain[0]); err == nil && lic.Info().Parent != nil {
		return lic.Info().Parent.Hash
	}
	return [32]byte{}
}

// derive signs a child of the instance, and makes its chain and its keys.
func (c *Core) derive(h *handover, d license.Derivation) (chain [][]byte, bundle []byte, err error) {
	info, err := license.Derive(h.inst.leaf(), d)
	if err != nil {
		return nil, nil, exhausted(err)
	}
	link, lic, err := c.sign(info)
	if err != nil {
		return nil, nil, rejected(err)
	}
	chain, err = c.addressed(h, append([][]byte{link}, h.inst.links...))
	if err != nil {
		return nil, nil, err
	}
	child := &instance{chain: append([]*license.License{lic}, h.inst.chain...), keys: h.inst.keys}
	bundle, err = child.bundleFor(lic, h.peer)
	return chain, bundle, err
}

// exhausted tells a derivation that is not possible from a fault.
func exhausted(err error) error {
	return &trem.Error{Code: trem.CodeRejected, Text: err.Error()}
}

// addressed puts a membership beside a chain's first license: the recipient's,
// where this module manages the house, else its own, so that the recipient sees
// who gives.
func (c *Core) addressed(h *handover, links [][]byte) ([][]byte, error) {
	if !h.fellow {
		return h.inst.vouched(links)
	}
	if c.domain != nil {
		return c.address(h.inst, links, c.members[h.peer.ID()], h.r)
	}
	l, _, err := parseLink(links[0])
	if err != nil {
		return nil, err
	}
	l.Membership = c.membershipBytes
	return h.inst.behind(l, links[1:])
}

// dispatch makes PREPARE durable in one batch with the state that the license
// has from then on.
func (c *Core) dispatch(h *handover, b transfer.Body, next func(ident.Transfer) license.State) (transfer.Message, ident.Transfer, error) {
	body, err := b.Encode()
	if err != nil {
		return nil, ident.Transfer{}, rejected(err)
	}
	x, recs, err := c.source.Prepare(transfer.Order{Dst: h.peer.ID(), Leaf: h.peer.Leaf(), Request: h.request, Body: body})
	if err != nil {
		return nil, ident.Transfer{}, rejected(err)
	}
	if err := c.gone(h, next(x.TID), records(recs)); err != nil {
		return nil, ident.Transfer{}, err
	}
	x.Head, err = c.headFor(h.peer)
	return x, x.TID, err
}

// gone commits a hand-over: the machine's records, the state, and whom it is for.
func (c *Core) gone(h *handover, next license.State, recs []vault.Record) error {
	paid := *h.inst
	next.Ver++
	paid.state = next
	mark, err := paid.record()
	if err != nil {
		return err
	}
	recs = append(recs, mark)
	if h.order.To.Delivery != nil {
		rec := peerRecord{Device: h.peer.ID(), Chain: h.order.To.Chain, Delivery: h.order.To.Delivery}
		peer, err := newRecord(kindPeer, rec)
		if err != nil {
			return err
		}
		recs = append(recs, peer)
		c.peers[rec.Device] = rec
	}
	if err := c.write(true, recs...); err != nil {
		return err
	}
	h.inst.state = next
	return nil
}
