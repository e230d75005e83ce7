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

// asked is an exchange that waits for this module's answer.
type asked struct{ peer *pki.Peer }

// open starts an exchange with a source: the destination's side of SLTP.
func (c *Core) open(in trem.LicenseRequest, r Reading) (trem.Opened, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return trem.Opened{}, err
	}
	body, err := c.wish(in)
	if err != nil {
		return trem.Opened{}, err
	}
	head, err := c.headsTo(in)
	if err != nil {
		return trem.Opened{}, err
	}
	now := c.clock.judge(r)
	h, msgs, err := c.sltp.Open(in.Peer, sltp.Request{
		Purpose: purpose(in), ReqID: in.Request, ClockMS: now.Est, Quality: uint8(now.Q), Head: head, Body: body,
	}, c.certTime(r))
	if err != nil {
		return trem.Opened{}, rejected(err)
	}
	return trem.Opened{Handle: uint64(h), Messages: couriered(msgs)}, nil
}

func purpose(in trem.LicenseRequest) sltp.Purpose {
	if in.Plays > 0 || in.Op != 0 {
		return sltp.PurposeTransfer
	}
	return sltp.PurposeLicense
}

// wish is the request's body: plays to be set aside, or a license for a content.
func (c *Core) wish(in trem.LicenseRequest) (sltp.Body, error) {
	what := sltp.Reference{Content: in.Content, License: in.License}
	if c.witness.setBack != nil && (in.Op != 0 || in.Plays > 0) {
		return nil, stateError("this module was set back to an older state; make it anew and pair it again")
	}
	if in.Op == trem.OpBind {
		return sltp.MoveOpen{What: what, Amounts: map[uint8]uint64{uint8(permission.Play): sltp.All}, Op: uint8(in.Op)}.Encode()
	}
	if in.Op != 0 {
		act, ok := action(in.Op)
		if !ok {
			return nil, malformed(fmt.Errorf("unknown operation %d", in.Op))
		}
		n := uint64(sltp.All)
		if in.Op == trem.OpLend {
			n = uint64(max(in.ForMS, 1))
		} else if in.Op == trem.OpCopy {
			n = max(in.Plays, 1)
		}
		return sltp.MoveOpen{What: what, Amounts: map[uint8]uint64{uint8(act): n}, Op: uint8(in.Op)}.Encode()
	}
	if in.Plays > 0 {
		return sltp.MoveOpen{What: what, Amounts: map[uint8]uint64{uint8(permission.Play): in.Plays}, Op: uint8(transfer.OpAllowance)}.Encode()
	}
	req := sltp.LicenseRequest{What: what, Permission: uint8(permission.Play), Level: c.level(), Membership: c.membershipBytes}
	switch {
	case c.domain != nil:
		req.Subject = sltp.Subject{Kind: sltp.SubjectDomain, ID: c.domain.pairwise(in.Issuer), Generation: c.domain.Generation}
	case c.membership != nil && c.membership.remote():
		req.Subject = sltp.Subject{Kind: sltp.SubjectDomain, ID: c.membership.Domain, Generation: c.membership.Generation}
	default:
		req.Subject = sltp.Subject{Kind: sltp.SubjectDevice, ID: c.self}
	}
	return req.Encode()
}

// receive gives a message to SLTP and acts on what it led to. What it sends is
// what is already durable.
func (c *Core) receive(in trem.SLTPMessage, r Reading) (trem.Received, error) {
	if c.sltp == nil {
		return trem.Received{}, stateError("this module is not enrolled yet")
	}
	late := c.sltp.Tick(c.certTime(r)) // what was never answered is forgotten
	msgs, events := c.sltp.Receive(sltp.Message{CID: in.CID, Bytes: in.Bytes}, c.certTime(r))
	events = append(late, events...)
	var out trem.Received
	for _, ev := range events {
		more, e, err := c.react(ev, r)
		if err != nil {
			return out, err
		}
		msgs = append(msgs, more...)
		if e != nil {
			out.Events = append(out.Events, *e)
		}
	}
	out.Messages = couriered(msgs)
	return out, nil
}

func (c *Core) react(ev sltp.Event, r Reading) ([]sltp.Message, *trem.Event, error) {
	switch ev := ev.(type) {
	case sltp.EventRequest:
		return c.requested(ev, r)
	case sltp.EventReply:
		return c.replied(ev, r)
	case sltp.EventApp:
		return c.closing(ev, r)
	case sltp.EventFailed:
		delete(c.asked, ev.Handle)
		return nil, &trem.Event{Kind: trem.EventFailed, Handle: uint64(ev.Handle), Peer: ev.Peer, Text: ev.Err.Error(), Code: ev.Alert.String()}, nil
	case sltp.EventDropped:
		return nil, &trem.Event{Kind: trem.EventDropped, Handle: uint64(ev.Handle), Text: ev.Err.Error()}, nil
	}
	return nil, nil, nil
}

// requested passes a request to an issuer's host, or answers it as a home server.
func (c *Core) requested(ev sltp.EventRequest, r Reading) ([]sltp.Message, *trem.Event, error) {
	c.asked[ev.Handle] = &asked{peer: ev.Peer}
	if err := c.seen(ev.Peer, ev.Request.Head, r); err != nil {
		return nil, nil, err
	}
	if ev.Request.Purpose == sltp.PurposeClosing {
		return c.query(ev, r)
	}
	if c.peer.Role() != pki.LicenseIssuer {
		return c.serve(ev, r)
	}
	req, err := sltp.ParseLicenseRequest(ev.Request.Body)
	member := ev.Peer.Role() == pki.Device
	if err != nil || !member && ev.Peer.Role() != pki.HomeServer || req.Subject.Kind != sltp.SubjectDomain || req.What.Content == "" {
		msgs, err := c.refuseWith(ev.Handle, sltp.ErrorBadRequest, 0, r)
		return msgs, nil, err
	}
	if member && c.isMember(req, ev.Peer.ID()) != nil {
		msgs, err := c.refuseWith(ev.Handle, sltp.ErrorNotMember, 0, r)
		return msgs, nil, err
	}
	return nil, &trem.Event{
		Member: member, Kind: trem.EventRequest, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Request: ev.Request.ReqID, Content: string(req.What.Content),
		Domain: ident.Domain(req.Subject.ID), Generation: req.Subject.Generation, Body: ev.Request.Body,
	}, nil
}

func (c *Core) refuse(in trem.Refusal, r Reading) ([]trem.SLTPMessage, error) {
	code, ok := sltp.ErrorCodeOf(in.Code)
	if !ok {
		return nil, malformed(fmt.Errorf("unknown refusal %q", in.Code))
	}
	msgs, err := c.refuseWith(sltp.Handle(in.Handle), code, in.RetryMS, r)
	return couriered(msgs), err
}

func (c *Core) refuseWith(h sltp.Handle, code sltp.ErrorCode, retryMS int64, r Reading) ([]sltp.Message, error) {
	body, err := sltp.ErrorBody{Code: code, RetryMS: uint64(max(retryMS, 0))}.Encode()
	if err != nil {
		return nil, err
	}
	return c.reply(h, sltp.StatusRefused, body, r)
}

func (c *Core) reply(h sltp.Handle, status int, body sltp.Body, r Reading) ([]sltp.Message, error) {
	a, ok := c.asked[h]
	if !ok {
		return nil, &trem.Error{Code: trem.CodeUnknown, Text: "no such exchange"}
	}
	delete(c.asked, h)
	head, err := c.headsFor(a.peer.ID())
	if err != nil {
		return nil, err
	}
	answer := sltp.Reply{Status: status, Body: body, Head: head, TimeMS: c.clock.judge(r).Est}
	msgs, err := c.sltp.Reply(h, answer, c.certTime(r))
	if errors.Is(err, sltp.ErrSuiteFloor) && ends(body) { // it is read only where it matters
		answer.Ends = true
		msgs, err = c.sltp.Reply(h, answer, c.certTime(r))
	}
	if errors.Is(err, sltp.ErrSuiteFloor) { // the asker is told, or it waits for nothing
		answer.Status = sltp.StatusRefused
		if answer.Body, err = (sltp.ErrorBody{Code: sltp.ErrorSuiteFloor}).Encode(); err == nil {
			msgs, err = c.sltp.Reply(h, answer, c.certTime(r))
		}
	}
	return msgs, rejected(err)
}

// ends reports whether the license in a reply's body has an end time. What
// carries none is not asked for it.
func ends(body sltp.Body) bool {
	var chain [][]byte
	if delivery, err := sltp.ParseLicense(body); err == nil {
		chain = delivery.Chain
	} else if x, err := transfer.ParseXFER(body); err == nil {
		if b, err := transfer.ParseBody(x.Body); err == nil {
			chain = b.Chain
		}
	} else if m, err := transfer.ParseLend(body); err == nil {
		chain = m.Chain
	}
	if len(chain) == 0 {
		return false
	}
	_, lic, err := parseLink(chain[0])
	return err == nil && lic.Ends()
}

// replied is the source's answer: at the destination.
func (c *Core) replied(ev sltp.EventReply, r Reading) ([]sltp.Message, *trem.Event, error) {
	if err := c.seen(ev.Peer, ev.Reply.Head, r); err != nil {
		return nil, nil, err
	}
	if ev.Peer.Role() == pki.LicenseIssuer {
		if err := c.hearIssuer(ev.Peer.Issuer(), ev.Status.TimeMS); err != nil {
			return nil, nil, err
		}
	}
	out := &trem.Event{Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Request: ev.Reply.ReqID}
	if ev.Reply.Status != sltp.StatusDone {
		out.Kind = trem.EventRefused
		if e, err := sltp.ParseError(ev.Reply.Body); err == nil {
			out.Code, out.RetryMS = e.Code.String(), int64(min(e.RetryMS, 1<<52))
		}
		return nil, out, nil
	}
	if delivery, err := sltp.ParseLicense(ev.Reply.Body); err == nil {
		defer clear(delivery.Bundle)
		defer clear(ev.Reply.Body)
		inst, err := c.holdStateless(delivery.Chain, delivery.Bundle, party{peer: ev.Peer}, r)
		return nil, c.installed(out, inst, err), broken(err)
	}
	if closed, err := c.closed(ev.Handle, ev.Peer, ev.Reply.Body); closed != nil || err != nil {
		return nil, closed, err
	}
	defer clear(ev.Reply.Body)
	return c.install(ev.Handle, ev.Peer, ev.Reply.Body, out, r)
}

// installed turns an acceptance into an event; a license that was not accepted
// is a failed exchange, and nothing was stored.
func (c *Core) installed(out *trem.Event, inst *instance, err error) *trem.Event {
	if err != nil {
		out.Kind, out.Text = trem.EventFailed, err.Error()
		return out
	}
	out.Kind, out.License, out.Hash, out.Content = trem.EventInstalled, inst.leaf().Info().ID, inst.leaf().Hash(), string(inst.leaf().Info().Content)
	return out
}

// broken keeps only the errors after which the module is of no use.
func broken(err error) error {
	var e *trem.Error
	if errors.As(err, &e) && e.Code == trem.CodeBroken {
		return err
	}
	return nil
}

// install takes an XFER that came in a session, and answers it there.
func (c *Core) install(h sltp.Handle, from *pki.Peer, data []byte, out *trem.Event, r Reading) ([]sltp.Message, *trem.Event, error) {
	a, err := c.carried(data, from, r)
	if err != nil {
		out.Kind, out.Text = trem.EventFailed, err.Error()
		return nil, out, broken(err)
	}
	out.Transfer, out.XferHash = a.tid, a.hash
	said, err := c.said(a.res)
	if err != nil {
		return nil, nil, err
	}
	_, msgs, err := c.sltp.Send(h, said, c.certTime(r))
	return msgs, c.installed(out, a.inst, a.why), err
}

// carried takes an XFER or a LEND.
func (c *Core) carried(data []byte, from *pki.Peer, r Reading) (arrival, error) {
	if m, err := transfer.ParseLend(data); err == nil {
		if m.TID.Src != from.ID() || m.TID.Dst != c.self {
			return arrival{}, fmt.Errorf("transfer: it is not between these two")
		}
		return c.borrow(m, party{peer: from, op: opLend}, r)
	}
	x, err := transfer.ParseXFER(data)
	if err != nil {
		return arrival{}, err
	}
	return c.take(x, from, r)
}

func (c *Core) replayTransfer(rec vault.Record) error {
	t := transfer.Record{Kind: rec.Kind, Body: rec.Body}
	if err := errors.Join(c.source.Replay(t), c.arbiter.Replay(t)); err != nil {
		return err
	}
	body, err := c.dest.Replay(t)
	if err != nil || body == nil {
		return err
	}
	var install installRecord
	if err := wire.Unmarshal(rec.Body, &install, recordLimit); err != nil {
		return err
	}
	defer clear(install.Body)
	defer clear(body.Bundle)
	if _, lic, err := parseLink(body.Chain[0]); err == nil {
		c.came[install.TID] = lic.Hash()
		delete(c.away, lic.Hash())
	}
	var state license.State
	if len(body.State) > 0 {
		if state, err = license.ParseState(body.State); err != nil {
			return err
		}
	}
	return c.restore(body.Chain, body.Bundle, 0, state) // its STATE record follows
}

// installRecord is transfer's INSTALL record, for its ID.
type installRecord struct {
	_    struct{} `cbor:",toarray"`
	TID  ident.Transfer
	Hash [32]byte
	Body []byte
}

func records(in []transfer.Record) []vault.Record {
	out := make([]vault.Record, len(in))
	for i, r := range in {
		out[i] = vault.Record{Kind: r.Kind, Body: r.Body}
	}
	return out
}

func couriered(in []sltp.Message) []trem.SLTPMessage {
	out := make([]trem.SLTPMessage, len(in))
	for i, m := range in {
		out[i] = trem.SLTPMessage{CID: m.CID, Bytes: m.Bytes}
	}
	return out
}
