package core

import (
	"errors"
	"fmt"
	"maps"
	"slices"

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

// The signed objects of arbitration inside a house, beside RELEASE and CONFIRM.
// Source: local, docs/spec/objects.md.
const (
	objectLost   = wire.Object("lost")   // a source: the destination of this transfer is lost
	objectNotice = wire.Object("notice") // the arbiter: say what you know of this transfer
)

// lost is a source's report. Source: local layout, docs/spec/transfer.md.
type lost struct {
	TID       ident.Transfer    `cbor:"1,keyasint"`
	XferHash  [32]byte          `cbor:"2,keyasint"`
	HoldUntil int64             `cbor:"3,keyasint"`
	Regrant   map[uint64]uint64 `cbor:"4,keyasint"` // what comes back where that is not all: permission to units
}

// lostRecord is a report that the arbiter has not seen the end of.
type lostRecord struct {
	_      struct{} `cbor:",toarray"`
	Object []byte
	Over   bool // both sides have heard the decision
}

var lostLimit = wire.Limit{Bytes: 1024, Items: 16, Depth: 4}

// lostTo reports that the other side of a transfer is lost, to the house's
// server: of one that has left, so that it can be given back after its hold; of
// one that is here, with the receipt that shows it.
func (c *Core) lostTo(tid ident.Transfer, r Reading) (trem.Handed, error) {
	if err := c.need(pki.HomeServer, pki.Device); err != nil {
		return trem.Handed{}, err
	}
	object, err := c.lostObject(tid)
	if err != nil {
		return trem.Handed{}, err
	}
	if c.domain != nil {
		return c.arbitrate(object, c.peer, r)
	}
	if c.membership == nil {
		return trem.Handed{}, stateError("this module is in no house: nobody can decide it")
	}
	server, err := c.writer(c.manager, r)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	l, err := c.letter(server.ID(), topic(tid, "lost"), object)
	return trem.Handed{Transfer: tid, Letters: []trem.Letter{l}}, err
}

func (c *Core) lostObject(tid ident.Transfer) ([]byte, error) {
	if c.dest.Unconfirmed(tid) {
		res := transfer.Result{}
		var err error
		if res.Receipt, err = c.dest.Query(tid); err != nil {
			return nil, rejected(err)
		}
		return c.said(res)
	}
	o, err := c.source.Opened(tid)
	if err != nil || o.Loan != nil {
		return nil, &trem.Error{Code: trem.CodeUnknown, Text: "no such transfer is open here; a loan comes back by itself"}
	}
	b, err := transfer.ParseBody(o.Body)
	if err != nil {
		return nil, err
	}
	if b.HoldUntil == nil {
		return nil, rejected(fmt.Errorf("this transfer began without a time limit: only the other side can end it"))
	}
	payload, err := wire.Marshal(lost{TID: tid, XferHash: o.Hash, HoldUntil: *b.HoldUntil, Regrant: regrant(b)})
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(c.signer, c.identity.Chain[0], objectLost, payload)
}

// regrant is what an arbiter may give back, where that is not all: of what
// counts nothing, since it could all have been watched before the hold was over.
func regrant(b *transfer.Body) map[uint64]uint64 {
	out := map[uint64]uint64{}
	if _, lic, err := parseLink(b.Chain[0]); err == nil && lic.Whole() != (license.Share{}) {
		out[uint64(permission.Play)] = 0
	}
	return out
}

// arbitrate takes a report, or a receipt that shows what became of a transfer,
// as the manager of the house.
func (c *Core) arbitrate(object []byte, from *pki.Peer, r Reading) (trem.Handed, error) {
	if rec, err := transfer.ParseReceipt(object, from); err == nil {
		return c.shown(rec, object, from, r)
	}
	rep, sig, err := parseLost(object)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	if err := sig.Verify(from.Public()); err != nil || rep.TID.Src != from.ID() {
		return trem.Handed{}, rejected(fmt.Errorf("report: it is not by the source of the transfer"))
	}
	if err := c.arbitrates(rep.TID); err != nil {
		return trem.Handed{}, rejected(err)
	}
	out := trem.Handed{Transfer: rep.TID}
	if _, known := c.reports[rep.TID]; !known {
		if err := c.commit(kindLost, lostRecord{Object: object}); err != nil {
			return out, err
		}
		c.reports[rep.TID] = lostRecord{Object: object}
	}
	return c.decide(out, rep, r)
}

func parseLost(object []byte) (rep lost, sig *wire.Sign1, err error) {
	if sig, err = wire.ParseSign1(object, objectLost, lostLimit); err != nil {
		return rep, nil, fmt.Errorf("report: %w", err)
	}
	if err = wire.Unmarshal(sig.Payload, &rep, lostLimit); err != nil || rep.HoldUntil <= 0 || rep.Regrant == nil {
		return rep, nil, errors.Join(errLetter, err)
	}
	return rep, sig, nil
}

// arbitrates checks that both sides are of this house.
func (c *Core) arbitrates(tid ident.Transfer) error {
	for _, id := range []ident.Device{tid.Src, tid.Dst} {
		if _, ok := c.members[id]; !ok && id != c.self || c.domain == nil {
			return fmt.Errorf("arbitration: %v is not of this house", id)
		}
	}
	return nil
}

// shown acts on a receipt that somebody shows: what is installed is confirmed,
// and the source hears what the receipt says.
func (c *Core) shown(rec *transfer.Receipt, object []byte, from *pki.Peer, r Reading) (trem.Handed, error) {
	if err := c.arbitrates(rec.TID); err != nil {
		return trem.Handed{}, rejected(err)
	}
	out := trem.Handed{Transfer: rec.TID}
	recs, err := c.reportOver(rec.TID)
	if err != nil {
		return out, err
	}
	if err := c.write(true, recs...); err != nil {
		return out, err
	}
	if rec.Installed() {
		d, err := c.verdict(transfer.Decision{TID: rec.TID, XferHash: rec.XferHash, Confirm: true}, 0)
		if err != nil {
			return out, err
		}
		if out, err = c.announce(out, d, rec.TID.Dst, r); err != nil || !d.Confirm {
			return out, err
		}
	}
	if rec.TID.Src == c.self {
		return c.receiptByLetter(rec, from.ID(), r)
	}
	data, err := wire.Marshal(sheet{Number: sltp.NumberLetter, Object: object, Chain: from.Chain()})
	out.Letters = append(out.Letters, trem.Letter{To: rec.TID.Src, Topic: topic(rec.TID, "destination"), Bytes: data})
	return out, err
}

// verdict makes a decision durable before anything says it.
func (c *Core) verdict(d transfer.Decision, holdUntil int64) (transfer.Decision, error) {
	d, recs, err := c.arbiter.Decide(d, holdUntil, c.heard)
	if err != nil {
		return d, err
	}
	return d, c.write(true, records(recs)...)
}

// decide releases a transfer whose hold is over by signed time, and asks its
// destination before.
func (c *Core) decide(out trem.Handed, rep lost, r Reading) (trem.Handed, error) {
	if rep.TID.Dst == c.self { // the arbiter itself is the destination: it knows
		if res, err := c.dest.Query(rep.TID); err == nil {
			return c.showSelf(out, transfer.Result{Receipt: res}, r)
		}
	}
	d, err := c.verdict(transfer.Decision{TID: rep.TID, XferHash: rep.XferHash, Regrant: rep.Regrant}, rep.HoldUntil)
	if errors.Is(err, transfer.ErrLater) { // the destination is asked once more
		if rep.TID.Dst == c.self {
			return out, nil
		}
		return c.notice(out, rep.TID)
	}
	if err != nil {
		return out, err
	}
	if d.Confirm {
		return c.announce(out, d, rep.TID.Dst, r)
	}
	return c.announce(out, d, rep.TID.Src, r) // who passes it on when it is durable there
}

// showSelf acts on this arbiter's own receipt as on one that is shown to it.
func (c *Core) showSelf(out trem.Handed, res transfer.Result, r Reading) (trem.Handed, error) {
	object, err := c.said(res)
	if err != nil {
		return out, err
	}
	rec, err := transfer.ParseReceipt(object, c.peer)
	if err != nil {
		return out, err
	}
	got, err := c.shown(rec, object, c.peer, r)
	out.Letters, out.Events = append(out.Letters, got.Letters...), append(out.Events, got.Events...)
	return out, err
}

// notice asks a destination what it knows.
func (c *Core) notice(out trem.Handed, tid ident.Transfer) (trem.Handed, error) {
	payload, err := transfer.Query{TID: tid}.Encode()
	if err != nil {
		return out, err
	}
	object, err := wire.NewSign1(c.signer, c.identity.Chain[0], objectNotice, payload)
	if err != nil {
		return out, err
	}
	l, err := c.letter(tid.Dst, topic(tid, "notice"), object)
	out.Letters = append(out.Letters, l)
	return out, err
}

// announce says a decision to one side: to this module itself at once. RELEASE
// goes to the source alone. Told directly, a destination could destroy what the
// source has committed to it meanwhile, or refuse as released what the source
// then takes back whole.
func (c *Core) announce(out trem.Handed, d transfer.Decision, to ident.Device, r Reading) (trem.Handed, error) {
	object, err := transfer.SignDecision(c.signer, c.identity.Chain[0], d)
	if err != nil {
		return out, err
	}
	if to == c.self {
		got, err := c.decided(sheet{Number: sltp.NumberLetter, Object: object, Chain: c.identity.Chain}, c.peer, r)
		out.Letters, out.Events = append(out.Letters, got.Letters...), append(out.Events, got.Events...)
		return out, err
	}
	l, err := c.letter(to, topic(d.TID, "decision"), object)
	out.Letters = append(out.Letters, l)
	return out, err
}

// reportsLetters are what the arbiter has to say of what was reported to it: a
// question before the hold is over, the decision after that, until the source
// says that it is over.
func (c *Core) reportsLetters(out trem.Handed, r Reading) (trem.Handed, error) {
	for _, tid := range slices.SortedFunc(maps.Keys(c.reports), compareTransfers) {
		if c.reports[tid].Over {
			continue
		}
		rep, _, err := parseLost(c.reports[tid].Object)
		if err != nil {
			return out, err
		}
		n := len(out.Letters)
		if out, err = c.decide(out, rep, r); err != nil {
			return out, err
		}
		for i := range out.Letters[n:] {
			out.Letters[n+i].Again = true
		}
	}
	return out, nil
}

// reportOver forgets a report when the destination has heard of the end.
func (c *Core) reportOver(tid ident.Transfer) ([]vault.Record, error) {
	rep, ok := c.reports[tid]
	if !ok || rep.Over {
		return nil, nil
	}
	rep.Over = true
	c.reports[tid] = rep
	rec, err := newRecord(kindLost, rep)
	return []vault.Record{rec}, err
}

func (c *Core) replayLost(body []byte) error {
	var rec lostRecord
	if err := wire.Unmarshal(body, &rec, recordLimit); err != nil {
		return err
	}
	rep, _, err := parseLost(rec.Object)
	c.reports[rep.TID] = rec
	return err
}
