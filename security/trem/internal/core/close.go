package core

import (
	"bytes"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

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

// unconfirmed finds the first transfer from peer that is installed here and not
// yet closed there: a DONE of it speaks of all up to its low too.
func (c *Core) unconfirmed(peer ident.Device) (first ident.Transfer, found bool) {
	for tid := range c.came {
		if tid.Src != peer || !c.dest.Unconfirmed(tid) {
			continue
		}
		if by := bytes.Compare(tid.Incarnation[:], first.Incarnation[:]); !found || by < 0 || by == 0 && tid.Seq < first.Seq {
			first, found = tid, true
		}
	}
	return first, found
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
	out, err := c.closedBy(done)
	if out != nil {
		out.Handle = uint64(h)
	}
	return out, err
}

// closedBy closes all up to a DONE that its source has said.
func (c *Core) closedBy(done transfer.Done) (*trem.Event, error) {
	recs := records(c.dest.Done(done))
	out := &trem.Event{Kind: trem.EventClosed, Peer: done.TID.Src, Transfer: done.TID}
	if inst, ok := c.held[c.came[done.TID]]; ok { // it may be the first that the host hears of it
		out.License, out.Hash, out.Content = inst.leaf().Info().ID, inst.leaf().Hash(), string(inst.leaf().Info().Content)
	}
	more, err := c.confirmed()
	if err != nil {
		return nil, err
	}
	return out, c.write(true, append(recs, more...)...)
}

// receipt closes a transfer at the source. An issuer's transfers are its
// host's; it answers with Done when that is committed.
func (c *Core) receipt(ev sltp.EventApp, rec *transfer.Receipt, r Reading) ([]sltp.Message, *trem.Event, error) {
	out := &trem.Event{Kind: trem.EventReceipt, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Transfer: rec.TID, XferHash: rec.XferHash, Installed: rec.Installed()}
	if rec.TID.Src != c.self || rec.TID.Dst != ev.Peer.ID() {
		return nil, nil, nil
	}
	if err := c.seenOne(ev.Peer, rec.Head); err != nil {
		return nil, nil, err
	}
	if c.peer.Role() == pki.LicenseIssuer {
		return nil, out, nil
	}
	res, err := c.settle(rec, r)
	if err != nil {
		return nil, &trem.Event{Kind: trem.EventFailed, Handle: uint64(ev.Handle), Peer: ev.Peer.ID(), Text: err.Error()}, broken(err)
	}
	if res.Done.TID.Seq == 0 {
		return nil, out, nil
	}
	body, err := res.Done.Encode()
	if err != nil {
		return nil, nil, err
	}
	msgs, err := c.sltp.Answer(ev.Handle, ev.Seq, body, c.certTime(r))
	return msgs, out, err
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
