package core

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// objectPrepared is the seal's associated data of an answer that waits at the issuer's host.
const objectPrepared = "lares/1/prepared"

// prepared is what an issuer's host keeps, sealed, between Prepare and the
// transfer's end. Source: local, docs/spec/trem.md.
type prepared struct {
	_    struct{} `cbor:",toarray"`
	Body []byte   // the reply's body: LICENSE or XFER
}

// prepare builds an issuer's answer. Nothing leaves and nothing is stored here:
// the host's transaction is this transfer's PREPARE.
func (c *Core) prepare(in trem.Terms, r Reading) (trem.Prepared, error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return trem.Prepared{}, err
	}
	a, ok := c.asked[sltp.Handle(in.Handle)]
	if !ok {
		return trem.Prepared{}, &trem.Error{Code: trem.CodeUnknown, Text: "no such exchange"}
	}
	k, ok := c.contents[in.Info.Content]
	if !ok {
		return trem.Prepared{}, &trem.Error{Code: trem.CodeUnknown, Text: "no keys are registered for this content"}
	}
	inst, err := c.write1(in, k)
	if err != nil {
		return trem.Prepared{}, rejected(err)
	}
	bundle, err := inst.bundle(inst.leaf())
	if err != nil {
		return trem.Prepared{}, err
	}
	out := trem.Prepared{Hash: inst.leaf().Hash()}
	var body []byte
	if in.Seq == 0 {
		if !inst.leaf().Info().Stateless() {
			return trem.Prepared{}, rejected(fmt.Errorf("terms: a license with counts or times from first use needs a transfer"))
		}
		body, err = sltp.License{Chain: inst.links, Bundle: bundle}.Encode()
	} else {
		out.Transfer = ident.Transfer{Src: c.self, Dst: a.peer.ID(), Incarnation: c.vault.Incarnation(), Seq: in.Seq}
		body, out.XferHash, err = xfer(out.Transfer, 0, transfer.OpIssue, inst, bundle, in.Plays)
	}
	if err != nil {
		return trem.Prepared{}, err
	}
	plain, err := wire.Marshal(prepared{Body: body})
	if err != nil {
		return trem.Prepared{}, err
	}
	out.Sealed, err = c.cfg.Keystore.Seal(plain, []byte(objectPrepared))
	return out, err
}

// write1 completes the terms and signs them: the license and its keys.
func (c *Core) write1(in trem.Terms, k *content) (*instance, error) {
	info := in.Info
	if info.Issuer != c.peer.Issuer() {
		return nil, fmt.Errorf("terms: this module does not sign for issuer %v", info.Issuer)
	}
	if info.RevMinEpoch == 0 {
		info.RevMinEpoch = c.epoch()
	}
	refs, keys, err := k.grant(info.Content, in.Tiers)
	if err != nil {
		return nil, err
	}
	info.Keys = refs
	if info.Policy.Duration == 0 {
		info.Policy.Duration = int64(min(k.durationMS, 1<<52)) //nolint:gosec // bounded
	}
	link, lic, err := c.sign(&info)
	if err != nil {
		return nil, err
	}
	inst := &instance{links: [][]byte{link}, chain: []*license.License{lic}, state: license.State{}, keys: keys}
	return inst, nil
}

// sign signs a license with this module's identity and wraps it into a link.
func (c *Core) sign(info *license.Info) ([]byte, *license.License, error) {
	data, err := license.Sign(c.signer, c.identity.Chain[0], info)
	if err != nil {
		return nil, nil, err
	}
	lic, err := license.Parse(data)
	if err != nil {
		return nil, nil, err
	}
	link, err := wire.Marshal(Link{License: data, Signer: c.identity.Chain})
	return link, lic, err
}

func xfer(tid ident.Transfer, low uint64, op transfer.Op, inst *instance, bundle []byte, plays uint64) (data []byte, hash [32]byte, err error) {
	body, err := transferBody(op, inst, bundle, plays)
	if err != nil {
		return nil, hash, err
	}
	x := transfer.NewXFER(tid, low, body, nil)
	data, err = x.Encode()
	return data, x.Hash(), err
}

func transferBody(op transfer.Op, inst *instance, bundle []byte, plays uint64) ([]byte, error) {
	state, err := inst.state.Encode()
	if err != nil {
		return nil, err
	}
	b := transfer.Body{Op: op, Chain: inst.links, State: state, Bundle: bundle}
	if plays > 0 {
		b.Amounts = map[uint64]uint64{uint64(permission.Play): plays}
	}
	return b.Encode()
}

// release sends a prepared answer, after the host's commit.
func (c *Core) release(in trem.Release, r Reading) ([]trem.SLTPMessage, error) {
	plain, err := c.cfg.Keystore.Unseal(in.Sealed, []byte(objectPrepared))
	if err != nil {
		return nil, rejected(fmt.Errorf("prepared answer: %w", err))
	}
	var p prepared
	if err := wire.Unmarshal(plain, &p, recordLimit); err != nil {
		return nil, rejected(err)
	}
	if x, err := transfer.ParseXFER(p.Body); err == nil {
		if a, ok := c.asked[sltp.Handle(in.Handle)]; !ok || x.TID.Dst != a.peer.ID() {
			return nil, rejected(fmt.Errorf("prepared answer: it is for another module"))
		}
	}
	msgs, err := c.reply(sltp.Handle(in.Handle), sltp.StatusDone, p.Body, r)
	return couriered(msgs), err
}

// serve answers a device as the home server of its domain: a stateless license
// as it is, a counted one as plays set aside.
func (c *Core) serve(ev sltp.EventRequest, r Reading) ([]sltp.Message, *trem.Event, error) {
	body, code, err := c.answer(ev, r)
	if err != nil {
		return nil, nil, err
	}
	if code != 0 {
		msgs, err := c.refuseWith(ev.Handle, code, 0, r)
		return msgs, &trem.Event{Kind: trem.EventRefused, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Request: ev.Request.ReqID, Code: code.String()}, err
	}
	msgs, err := c.reply(ev.Handle, sltp.StatusDone, body, r)
	return msgs, nil, err
}

// answer finds what a member asks for. A code is a refusal.
func (c *Core) answer(ev sltp.EventRequest, r Reading) (body sltp.Body, code sltp.ErrorCode, err error) {
	m, ok := c.members[ev.Peer.ID()]
	if c.domain == nil || ev.Peer.Role() != pki.Device || !ok || m.Removed {
		return nil, sltp.ErrorNotMember, nil
	}
	if old, err := c.repeat(ev.Peer.ID(), ev.Request.ReqID); old != nil || err != nil {
		return old, 0, err
	}
	if open, err := sltp.ParseMoveOpen(ev.Request.Body); err == nil {
		return c.setAside(ev, open.What, open.Amounts[uint8(permission.Play)], r)
	}
	req, err := sltp.ParseLicenseRequest(ev.Request.Body)
	if err != nil {
		return nil, sltp.ErrorBadRequest, nil //nolint:nilerr // a refusal is the answer to a malformed request
	}
	if c.currentMember(req.Membership, ev.Peer.ID()) != nil {
		return nil, sltp.ErrorNotMember, nil
	}
	best := c.find(req.What, r)
	if best == nil {
		return nil, sltp.ErrorUnknown, nil
	}
	if !best.leaf().Info().Stateless() {
		return c.setAside(ev, req.What, 1, r)
	}
	bundle, err := best.bundle(best.leaf())
	if err != nil {
		return nil, 0, err
	}
	links, err := c.address(best.links, m, r)
	if err != nil {
		return nil, 0, err
	}
	body, err = sltp.License{Chain: links, Bundle: bundle}.Encode()
	return body, 0, err
}

// address puts the member's renewed membership beside the license.
func (c *Core) address(links [][]byte, m memberRecord, r Reading) ([][]byte, error) {
	l, _, err := parseLink(links[0])
	if err != nil {
		return nil, err
	}
	if l.Membership, err = c.membershipOf(m, r); err != nil {
		return nil, err
	}
	first, err := wire.Marshal(l)
	return append([][]byte{first}, links[1:]...), err
}

// find picks the license that a member's request is about: of those for a
// content the one that burns least.
func (c *Core) find(what sltp.Reference, r Reading) *instance {
	if what.Content != "" {
		inst, _ := c.choose(trem.Ask{Content: what.Content, Action: permission.Play, Output: trem.OutputInternal, Confirm: true}, r)
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
	m, err := parseMembership(data, c.signer.Public())
	if err != nil {
		return err
	}
	if m.Device != device || m.Domain != c.domain.ID {
		return errors.New("membership: not of this house")
	}
	return nil
}

// setAside gives plays of a counted license to a member: a derived license of
// kind 3, in a transfer whose PREPARE takes the plays from the parent.
func (c *Core) setAside(ev sltp.EventRequest, what sltp.Reference, n uint64, r Reading) (sltp.Body, sltp.ErrorCode, error) {
	parent := c.find(what, r)
	if parent == nil || parent.leaf().Info().Stateless() {
		return nil, sltp.ErrorUnknown, nil
	}
	info, err := license.Derive(parent.leaf(), license.Derivation{
		Device: ev.Peer.ID(), Plays: n, Index: parent.state.NextIndex, Now: c.clock.judge(r).Est, State: parent.state,
	})
	if err != nil {
		return nil, refusalCode(err), nil
	}
	next, err := parent.leaf().Give(parent.state, n)
	if err != nil {
		return nil, refusalCode(err), nil
	}
	link, lic, err := c.sign(info)
	if err != nil {
		return nil, 0, err
	}
	links, err := c.address(append([][]byte{link}, parent.links...), c.members[ev.Peer.ID()], r)
	if err != nil {
		return nil, 0, err
	}
	child := &instance{links: links, chain: append([]*license.License{lic}, parent.chain...), keys: parent.keys}
	bundle, err := child.bundle(lic)
	if err != nil {
		return nil, 0, err
	}
	body, err := transferBody(transfer.OpAllowance, child, bundle, n)
	if err != nil {
		return nil, 0, err
	}
	x, recs, err := c.source.Prepare(transfer.Order{Dst: ev.Peer.ID(), Leaf: ev.Peer.Leaf(), Request: ev.Request.ReqID, Body: body})
	if err != nil {
		return nil, 0, rejected(err)
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
	data, err := x.Encode()
	return data, 0, err
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
	x := c.source.ByRequest(peer, req)
	if x == nil {
		return nil, nil
	}
	return x.Encode()
}

// resend opens an exchange that closes what a crash or a lost message left open
// with peer: it asks the source for what it last said. Without messages there
// is nothing to close.
func (c *Core) resend(peer ident.Device, r Reading) (trem.Opened, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return trem.Opened{}, err
	}
	tid, ok := c.unconfirmed(peer)
	if !ok {
		return trem.Opened{}, nil
	}
	body, err := transfer.Query{TID: tid}.Encode()
	if err != nil {
		return trem.Opened{}, err
	}
	now := c.clock.judge(r)
	h, msgs, err := c.sltp.Open(peer, sltp.Request{
		Purpose: sltp.PurposeClosing, ReqID: ident.NewRequest(), ClockMS: now.Est, Quality: uint8(now.Q), Body: body,
	}, c.certTime(r))
	return trem.Opened{Handle: uint64(h), Messages: couriered(msgs)}, rejected(err)
}

// unconfirmed finds a transfer from peer that is installed here and not yet
// closed there.
func (c *Core) unconfirmed(peer ident.Device) (ident.Transfer, bool) {
	for tid := range c.came {
		if tid.Src == peer && c.dest.Unconfirmed(tid) {
			return tid, true
		}
	}
	return ident.Transfer{}, false
}

// query answers a QUERY of a transfer that this module is the source of: an
// issuer's host knows, a home server's vault knows.
func (c *Core) query(ev sltp.EventRequest, r Reading) ([]sltp.Message, *trem.Event, error) {
	q, err := transfer.ParseQuery(ev.Request.Body)
	if err != nil || q.TID.Src != c.self || q.TID.Dst != ev.Peer.ID() {
		msgs, err := c.refuseWith(ev.Handle, sltp.ErrorBadRequest, 0, r)
		return msgs, nil, err
	}
	if c.peer.Role() == pki.LicenseIssuer {
		return nil, &trem.Event{Kind: trem.EventQuery, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Request: ev.Request.ReqID, Transfer: q.TID}, nil
	}
	m, err := c.source.Answer(q.TID)
	if err != nil {
		msgs, err := c.refuseWith(ev.Handle, sltp.ErrorUnknown, 0, r)
		return msgs, nil, err
	}
	body, err := m.Encode()
	if err != nil {
		return nil, nil, err
	}
	msgs, err := c.reply(ev.Handle, sltp.StatusDone, body, r)
	return msgs, nil, err
}

// closing handles what comes in an established session: RECEIPT at a source,
// DONE at a destination.
func (c *Core) closing(ev sltp.EventApp, r Reading) ([]sltp.Message, *trem.Event, error) {
	if rec, err := transfer.ParseReceipt(ev.Body, ev.Peer); err == nil {
		return c.receipt(ev, rec, r)
	}
	out, err := c.closed(ev.Handle, ev.Peer, ev.Body)
	return nil, out, err
}

// closed takes a DONE. What does not fit is dropped silently.
func (c *Core) closed(h sltp.Handle, from *pki.Peer, body []byte) (*trem.Event, error) {
	done, err := transfer.ParseDone(body)
	if err != nil || done.TID.Src != from.ID() || done.TID.Dst != c.self {
		return nil, nil //nolint:nilerr // see above
	}
	if err := c.write(true, records(c.dest.Done(done))...); err != nil {
		return nil, err
	}
	return &trem.Event{Kind: trem.EventClosed, Handle: uint64(h), Peer: from.ID(), Transfer: done.TID}, nil
}

// receipt closes a transfer at the source. An issuer's transfers are its
// host's; it answers with Done when that is committed.
func (c *Core) receipt(ev sltp.EventApp, rec *transfer.Receipt, r Reading) ([]sltp.Message, *trem.Event, error) {
	out := &trem.Event{Kind: trem.EventReceipt, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Transfer: rec.TID, XferHash: rec.XferHash, Installed: rec.Installed()}
	if rec.TID.Src != c.self || rec.TID.Dst != ev.Peer.ID() {
		return nil, nil, nil
	}
	if c.peer.Role() == pki.LicenseIssuer {
		return nil, out, nil
	}
	res, err := c.source.Receipt(rec)
	if err != nil {
		return nil, &trem.Event{Kind: trem.EventFailed, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Text: err.Error()}, nil //nolint:nilerr // the event carries it
	}
	recs, err := c.restoreAborted(res)
	if err != nil {
		return nil, nil, err
	}
	if err := c.write(true, append(records(res.Records), recs...)...); err != nil {
		return nil, nil, err
	}
	if res.Quarantined {
		return nil, out, nil
	}
	body, err := res.Done.Encode()
	if err != nil {
		return nil, nil, err
	}
	msgs, err := c.sltp.Answer(ev.Handle, ev.Seq, body, c.certTime(r))
	return msgs, out, err
}

// restoreAborted gives the plays of a refused transfer back to their parent.
func (c *Core) restoreAborted(res transfer.Outcome) ([]vault.Record, error) {
	if !res.Aborted {
		return nil, nil
	}
	b, err := transfer.ParseBody(res.Body)
	if err != nil || len(b.Chain) < 2 {
		return nil, err
	}
	_, parent, err := parseLink(b.Chain[1])
	if err != nil {
		return nil, err
	}
	inst, ok := c.held[parent.Hash()]
	if !ok {
		return nil, nil
	}
	next, err := inst.state.TakeBack(b.Amounts[uint64(permission.Play)])
	if err != nil {
		return nil, err
	}
	state, err := next.Encode()
	if err != nil {
		return nil, err
	}
	rec, err := newRecord(kindState, stateRecord{Hash: parent.Hash(), State: state, Epoch: inst.epoch})
	inst.state = next
	return []vault.Record{rec}, err
}

// done sends DONE for an issuer's transfer whose end its host has committed.
func (c *Core) done(in trem.Done, r Reading) ([]trem.SLTPMessage, error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return nil, err
	}
	body, err := transfer.Done{TID: in.Transfer, Low: in.Low}.Encode()
	if err != nil {
		return nil, err
	}
	if _, waits := c.asked[sltp.Handle(in.Handle)]; waits { // it answers a QUERY
		msgs, err := c.reply(sltp.Handle(in.Handle), sltp.StatusDone, body, r)
		return couriered(msgs), err
	}
	_, msgs, err := c.sltp.Send(sltp.Handle(in.Handle), body, c.certTime(r))
	return couriered(msgs), rejected(err)
}
