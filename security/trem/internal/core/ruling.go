package core

import (
	"bytes"
	"errors"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// fromManager acts on what only the house's server may say. ok is false for
// anything else.
func (c *Core) fromManager(s sheet, peer *pki.Peer, r Reading) (out trem.Handed, ok bool, err error) {
	x := peer.X5T()
	mine := c.domain != nil && peer.ID() == c.self // a member passes on what this arbiter itself has said
	if !mine && (c.membership == nil || !bytes.Equal(x[:], c.membership.Manager) || c.isManager(peer, c.membership.Generation) != nil) {
		return out, false, nil //nolint:nilerr // it is another letter
	}
	if sig, err := wire.ParseSign1(s.Object, objectTakenBack, giveBackLimit); err == nil {
		return out, true, c.took(sig, peer)
	}
	if sig, err := wire.ParseSign1(s.Object, objectWanted, giveBackLimit); err == nil {
		out, err = c.offer(sig, peer, r)
		return out, true, err
	}
	if sig, err := wire.ParseSign1(s.Object, objectNotice, lostLimit); err == nil {
		out, err = c.noticed(sig, peer)
		return out, true, err
	}
	if _, err := transfer.ParseDecision(s.Object, peer); err == nil {
		out, err = c.decided(s, peer, r)
		return out, true, err
	}
	return out, false, nil
}

// noticed answers the arbiter with a receipt, where there is one to show.
func (c *Core) noticed(sig *wire.Sign1, peer *pki.Peer) (trem.Handed, error) {
	q, err := transfer.ParseQuery(sig.Payload)
	if err == nil {
		err = sig.Verify(peer.Public())
	}
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	out := trem.Handed{Transfer: q.TID}
	res := transfer.Result{}
	if res.Receipt, err = c.dest.Query(q.TID); err != nil {
		return out, nil //nolint:nilerr // nothing came: there is nothing to show
	}
	object, err := c.said(res)
	if err != nil {
		return out, err
	}
	l, err := c.letter(peer.ID(), topic(q.TID, "shown"), object)
	out.Letters = append(out.Letters, l)
	return out, err
}

// decided acts on the arbiter's word, at either side.
func (c *Core) decided(s sheet, from *pki.Peer, r Reading) (trem.Handed, error) {
	d, err := transfer.ParseDecision(s.Object, from)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	out := trem.Handed{Transfer: d.TID}
	switch {
	case d.TID.Src == c.self && !d.Confirm:
		return c.releasedTo(out, s, d, from, r)
	case d.TID.Dst == c.self && d.Confirm:
		return out, c.confirmedBy(d)
	case d.TID.Dst == c.self:
		return c.releasedBy(out, d)
	}
	return out, rejected(transfer.ErrForeign)
}

// releasedTo takes a right back that the arbiter has released, and passes its
// word on. Of a transfer that is closed by now it says so to the arbiter.
func (c *Core) releasedTo(out trem.Handed, s sheet, d *transfer.Decided, from *pki.Peer, r Reading) (trem.Handed, error) {
	res, err := c.source.Release(d)
	if errors.Is(err, transfer.ErrUnknown) {
		m, err := c.source.Answer(d.TID)
		if err != nil {
			return out, rejected(err)
		}
		return c.tell(out, from.ID(), m)
	}
	if err != nil {
		return out, rejected(err)
	}
	word, err := wire.Marshal(s)
	if err != nil {
		return out, err
	}
	if res.Aborted {
		recs, err := c.effect(res, r)
		if err != nil {
			return out, err
		}
		ruling, err := newRecord(kindRuling, rulingRecord{TID: d.TID, Letter: word})
		if err != nil {
			return out, err
		}
		if err := c.write(true, append(append(records(res.Records), recs...), ruling)...); err != nil {
			return out, err
		}
		c.rulings[d.TID] = word
		out.Events = append(out.Events, trem.Event{Kind: trem.EventReleased, Peer: d.TID.Dst, Transfer: d.TID})
	}
	out.Letters = append(out.Letters, trem.Letter{To: d.TID.Dst, Topic: topic(d.TID, "source"), Bytes: word})
	return out, nil
}

// rulingRecord is a RELEASE that a source passes on, as the letter that it came in.
type rulingRecord struct {
	_      struct{} `cbor:",toarray"`
	TID    ident.Transfer
	Letter []byte
}

// tell says DONE of a transfer to the arbiter: there is nothing to decide.
func (c *Core) tell(out trem.Handed, to ident.Device, m transfer.Message) (trem.Handed, error) {
	done, ok := m.(transfer.Done)
	if !ok || to == c.self {
		return out, nil
	}
	l, err := c.markLetter(to, topic(done.TID, "lost"), done)
	out.Letters = append(out.Letters, l)
	return out, err
}

// confirmedBy ends the hold of what is here, for ever.
func (c *Core) confirmedBy(d *transfer.Decided) error {
	recs, err := c.dest.Confirm(d)
	if err != nil {
		return rejected(err)
	}
	more, err := c.confirmed()
	if err != nil {
		return err
	}
	return c.write(true, append(records(recs), more...)...)
}

// releasedBy destroys what is here and was given back to its source.
func (c *Core) releasedBy(out trem.Handed, d *transfer.Decided) (trem.Handed, error) {
	res, err := c.dest.Released(d)
	if err != nil {
		return out, rejected(err)
	}
	recs := records(res.Records)
	if inst, ok := c.held[c.came[d.TID]]; ok && res.Destroyed {
		rec, err := newRecord(kindGone, goneRecord{Hash: inst.leaf().Hash()})
		if err != nil {
			return out, err
		}
		recs = append(recs, rec)
		delete(c.held, inst.leaf().Hash())
		for handle, s := range c.sessions {
			if s.inst == inst {
				c.drop(handle, s)
			}
		}
	}
	if err := c.write(true, recs...); err != nil {
		return out, err
	}
	l, err := c.statement(d.TID, res)
	out.Letters = append(out.Letters, l)
	return out, err
}
