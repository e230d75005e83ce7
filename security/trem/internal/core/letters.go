package core

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/sltp/transfer"
	"github.com/lares-drm/lares/security/trem"
)

// sheet is a letter that carries a signed object: RECEIPT, CLOSED, RETURNED,
// DONE, CANCEL or QUERY, beside its signer's certificates. XFER and LEND carry
// keys and come as pushes. Source: local, docs/spec/transfer.md.
type sheet struct {
	_      struct{} `cbor:",toarray"`
	Number int64
	Object []byte
	Chain  [][]byte
}

var errLetter = errors.New("letter: malformed")

func (c *Core) letter(to ident.Device, topic [16]byte, object []byte) (trem.Letter, error) {
	data, err := wire.Marshal(sheet{Number: sltp.NumberLetter, Object: object, Chain: c.identity.Chain})
	return trem.Letter{To: to, Topic: topic, Bytes: data}, err
}

// topic names what one side of a transfer has to say of it.
func topic(tid ident.Transfer, side string) (out [16]byte) {
	data, err := wire.Marshal([]any{"lares/1/topic", tid, side})
	if err != nil {
		panic(err) //nolint:forbidigo // numbers and byte strings always encode
	}
	sum := sha256.Sum256(data)
	return [16]byte(sum[:])
}

// says tells what letters of one topic say apart: by the message's type, and by
// the number of a loan's message. Source: local; types of docs/spec/transfer.md.
func says(m any) uint64 {
	switch m := m.(type) {
	case *transfer.XFER:
		return 1
	case transfer.Statement:
		return 2
	case transfer.Done:
		return 3
	case transfer.Cancel:
		return 4
	case transfer.Query:
		return 5
	case *transfer.Lend:
		return 9 | m.Number<<8
	case transfer.Return:
		return 10 | m.Number<<8
	}
	return 0
}

// party is who sent something, as far as its certificates allow to say.
type party struct {
	peer *pki.Peer
	op   transfer.Op // what it gives, 0 for a license outside of a transfer
	tid  ident.Transfer
}

// post acts on a letter. A letter that is damaged, for another module, or of
// nobody who may send it, is an error and changes nothing.
func (c *Core) post(letter []byte, r Reading) (trem.Handed, error) {
	if c.sltp == nil {
		return trem.Handed{}, stateError("this module is not enrolled yet")
	}
	if sltp.IsPush(letter) {
		return c.pushed(letter, r)
	}
	s, peer, err := c.openSheet(letter, r)
	if errors.Is(err, errLetter) {
		return trem.Handed{}, rejected(err)
	}
	if err != nil {
		return c.ofRevoked(s, err, r)
	}
	if out, ok, err := c.fromManager(s, peer, r); ok {
		return out, err
	}
	if rec, err := transfer.ParseReceipt(s.Object, peer); err == nil && rec.TID.Src == c.self {
		if err := c.seenOne(peer, rec.Head); err != nil {
			return trem.Handed{}, err
		}
		return c.receiptByLetter(rec, peer.ID(), r)
	} else if err == nil {
		return c.shown(rec, s.Object, peer, r)
	}
	if sig, err := wire.ParseSign1(s.Object, objectGivenBack, giveBackLimit); err == nil {
		return c.takeBack(sig, peer)
	}
	if sig, err := wire.ParseSign1(s.Object, objectLeft, leftLimit); err == nil {
		return c.depart(sig, peer)
	}
	if sig, err := wire.ParseSign1(s.Object, objectHere, hereLimit); err == nil {
		return c.isHere(sig, peer, r)
	}
	if _, err := wire.ParseSign1(s.Object, objectMembership, membershipLimit()); err == nil {
		return trem.Handed{}, c.renewedByLetter(s.Object, peer, r)
	}
	if _, _, err := parseLost(s.Object); err == nil {
		return c.arbitrate(s.Object, peer, r)
	}
	if ret, err := transfer.ParseReturned(s.Object, peer); err == nil {
		return c.returnedByLetter(ret, r)
	}
	m, err := transfer.ParseClosing(s.Object, peer)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	switch m := m.(type) {
	case transfer.Done:
		return c.doneByLetter(m)
	case transfer.Cancel:
		return c.cancelByLetter(m, r)
	case transfer.Query:
		return c.queryByLetter(m, peer.ID(), r)
	}
	return trem.Handed{}, rejected(transfer.ErrMalformed)
}

// openSheet reads a letter and verifies whose it is.
func (c *Core) openSheet(letter []byte, r Reading) (s sheet, peer *pki.Peer, err error) {
	if err := wire.Unmarshal(letter, &s, wire.Limit{Bytes: sltp.MaxMessage, Items: 8, Depth: 3}); err != nil || s.Number != sltp.NumberLetter {
		return s, nil, errors.Join(errLetter, err)
	}
	peer, err = c.writer(s.Chain, r)
	return s, peer, err
}

// writer verifies the signer of a closing letter. What is closed was opened when
// its certificate held, so one that has run out since is judged at its end.
func (c *Core) writer(chain [][]byte, r Reading) (*pki.Peer, error) {
	at := c.certTime(r)
	if len(chain) > 0 {
		if leaf, err := x509.ParseCertificate(chain[0]); err == nil && at.After(leaf.NotAfter) {
			at = leaf.NotAfter
		}
	}
	return c.verifier.Verify(chain, at)
}

// ofRevoked takes the one thing that counts of a revoked module: that it has
// what was sent to it.
func (c *Core) ofRevoked(s sheet, why error, r Reading) (trem.Handed, error) {
	var rule *pki.RuleError
	if !errors.As(why, &rule) || len(s.Chain) == 0 || !revokedBy(rule.Rule) {
		return trem.Handed{}, rejected(why)
	}
	leaf, err := x509.ParseCertificate(s.Chain[0])
	if err != nil {
		return trem.Handed{}, rejected(why)
	}
	pub, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return trem.Handed{}, rejected(why)
	}
	rec, err := transfer.ParseRevokedReceipt(s.Object, pub)
	if err != nil {
		return trem.Handed{}, rejected(why)
	}
	return c.receiptByLetter(rec, rec.TID.Dst, r)
}

func revokedBy(r pki.Rule) bool {
	return r == pki.RuleRevoked || r == pki.RuleClass || r == pki.RuleSuspended || r == pki.RuleRetired || r == pki.RuleSVN
}

// pushed opens a push and takes what is in it.
func (c *Core) pushed(letter []byte, r Reading) (trem.Handed, error) {
	ev, err := c.sltp.OpenPush(letter, uint8(c.clock.judge(r).Q), c.certTime(r))
	if err != nil {
		return trem.Handed{}, later(err)
	}
	a, err := c.carried(ev.Push.Body, ev.Peer, r)
	if err != nil {
		return trem.Handed{}, later(err)
	}
	out := trem.Handed{Transfer: a.tid}
	l, err := c.statement(a.tid, a.res)
	out.Letters = []trem.Letter{l}
	out.Events = []trem.Event{*c.installed(&trem.Event{Peer: ev.Peer.ID(), Transfer: a.tid, XferHash: a.hash}, a.inst, a.why)}
	return out, err
}

// opLend marks what comes by LEND, which is not an operation of an XFER.
const opLend = transfer.Op(trem.OpLend)

// later tells what may work when time or revocation state have come further
// from what never will.
func later(err error) error {
	var a *sltp.AlertError
	if errors.Is(err, transfer.ErrLater) || errors.As(err, &a) && (a.Code == sltp.AlertClock || a.Code == sltp.AlertStaleEpoch) {
		return &trem.Error{Code: trem.CodeState, Text: "not yet: " + err.Error()}
	}
	return rejected(err)
}

// receiptByLetter closes a transfer at its source.
func (c *Core) receiptByLetter(rec *transfer.Receipt, from ident.Device, r Reading) (trem.Handed, error) {
	if rec.TID.Src != c.self || rec.TID.Dst != from {
		return trem.Handed{}, rejected(transfer.ErrForeign)
	}
	res, err := c.settle(rec, r)
	if err != nil {
		return trem.Handed{}, err
	}
	if recs, err := c.reportOver(rec.TID); err != nil {
		return trem.Handed{}, err
	} else if err := c.write(true, recs...); err != nil {
		return trem.Handed{}, err
	}
	out := trem.Handed{Transfer: rec.TID, Events: []trem.Event{{
		Kind: trem.EventReceipt, Peer: from, Transfer: rec.TID, XferHash: rec.XferHash, Installed: rec.Installed(), Code: rec.Reason,
	}}}
	if _, ruled := c.rulings[rec.TID]; ruled && res.Done.TID.Seq != 0 && c.membership != nil {
		server, err := c.writer(c.manager, r)
		if err != nil {
			return c.withDone(out, res.Done) // it has run out: the arbiter hears nothing more
		}
		if out, err = c.tell(out, server.ID(), res.Done); err != nil {
			return out, err
		}
	}
	return c.withDone(out, res.Done)
}

// withDone adds DONE, where there is one.
func (c *Core) withDone(out trem.Handed, done transfer.Done) (trem.Handed, error) {
	if done.TID.Seq == 0 {
		return out, nil
	}
	l, err := c.markLetter(done.TID.Dst, topic(done.TID, "source"), done)
	out.Letters = append(out.Letters, l)
	return out, err
}

func (c *Core) markLetter(to ident.Device, topic [16]byte, m transfer.Message) (trem.Letter, error) {
	object, err := transfer.SignClosing(c.signer, c.identity.Chain[0], m)
	if err != nil {
		return trem.Letter{}, err
	}
	l, err := c.letter(to, topic, object)
	l.Says = says(m)
	return l, err
}

func (c *Core) returnedByLetter(ret *transfer.Returned, r Reading) (trem.Handed, error) {
	out := trem.Handed{Transfer: ret.TID}
	if _, err := c.source.Opened(ret.TID); err != nil { // closed: DONE again
		res, _, err := c.source.Returned(ret)
		if err != nil {
			return out, rejected(err)
		}
		return c.withDone(out, res.Done)
	}
	var again transfer.Message
	res, err := c.loanOver(ret.TID, func() (res transfer.Outcome, err error) {
		res, again, err = c.source.Returned(ret)
		return res, err
	})
	if err != nil {
		return out, rejected(err)
	}
	if !res.Aborted { // a renewal is on its way: it goes out again
		l, err := c.push(ret.TID, again, r)
		out.Letters = append(out.Letters, l)
		return out, err
	}
	out.Events = []trem.Event{{Kind: trem.EventLoanOver, Peer: ret.TID.Dst, Transfer: ret.TID, License: ret.Child}}
	return c.withDone(out, res.Done)
}

func (c *Core) doneByLetter(m transfer.Done) (trem.Handed, error) {
	if m.TID.Dst != c.self { // the source says to the arbiter that it is over
		recs, err := c.reportOver(m.TID)
		if err != nil {
			return trem.Handed{}, err
		}
		return trem.Handed{Transfer: m.TID}, c.write(true, recs...)
	}
	ev, err := c.closedBy(m)
	out := trem.Handed{Transfer: m.TID}
	if ev != nil {
		out.Events = []trem.Event{*ev}
	}
	return out, err
}

// cancelByLetter refuses what has not come, says what has, and gives a loan
// back that its lender recalls: at once, unless somebody watches it.
func (c *Core) cancelByLetter(m transfer.Cancel, r Reading) (trem.Handed, error) {
	res, err := c.dest.Cancel(m)
	if err != nil {
		return trem.Handed{}, rejected(err)
	}
	closed, err := c.confirmed()
	if err != nil {
		return trem.Handed{}, err
	}
	if err := c.write(true, append(records(res.Records), closed...)...); err != nil {
		return trem.Handed{}, err
	}
	out := trem.Handed{Transfer: m.TID}
	if res.Recalled {
		c.recalled[m.TID] = true
		if !c.watched(m.TID) {
			return c.giveBack(m.TID, r)
		}
	}
	l, err := c.statement(m.TID, res)
	out.Letters = append(out.Letters, l)
	return out, err
}

// watched reports whether a session uses what came by a transfer.
func (c *Core) watched(tid ident.Transfer) bool {
	for _, s := range c.sessions {
		if s.inst.leaf().Hash() == c.came[tid] {
			return true
		}
	}
	return false
}

// statement is the letter that says what this destination's records say.
func (c *Core) statement(tid ident.Transfer, res transfer.Result) (trem.Letter, error) {
	object, err := c.said(res)
	if err != nil {
		return trem.Letter{}, err
	}
	l, err := c.letter(tid.Src, topic(tid, "destination"), object)
	if l.Says = says(res.Receipt); res.Return != nil {
		l.Says = says(*res.Return)
	}
	return l, err
}

// said signs what a destination's result says.
func (c *Core) said(res transfer.Result) ([]byte, error) {
	if res.Return != nil {
		return transfer.SignReturn(c.signer, c.identity.Chain[0], *res.Return)
	}
	res.Receipt.Epoch = c.epoch()
	head, err := c.receiptHead(res.Receipt.TID.Src)
	if err != nil {
		return nil, err
	}
	res.Receipt.Head = head
	return transfer.SignReceipt(c.signer, c.identity.Chain[0], res.Receipt)
}

// queryByLetter says again what was said last.
func (c *Core) queryByLetter(m transfer.Query, from ident.Device, r Reading) (trem.Handed, error) {
	out := trem.Handed{Transfer: m.TID}
	if m.TID.Dst == c.self {
		res := transfer.Result{}
		var err error
		if res.Receipt, err = c.dest.Query(m.TID); err != nil {
			return out, rejected(err)
		}
		for _, b := range c.dest.Borrowed() {
			if b.TID == m.TID && b.Returned {
				res.Return = &b.Return
			}
		}
		l, err := c.statement(m.TID, res)
		out.Letters = append(out.Letters, l)
		return out, err
	}
	if m.TID.Src != c.self || m.TID.Dst != from {
		return out, rejected(transfer.ErrForeign)
	}
	l, err := c.sourceLetter(m.TID, r)
	out.Letters = append(out.Letters, l)
	return out, err
}

// sourceLetter is what the source says of a transfer now.
func (c *Core) sourceLetter(tid ident.Transfer, r Reading) (trem.Letter, error) {
	if word, ruled := c.rulings[tid]; ruled {
		if o, err := c.source.Opened(tid); err == nil && o.Released {
			return trem.Letter{To: tid.Dst, Topic: topic(tid, "source"), Bytes: word}, nil
		}
	}
	m, err := c.source.Answer(tid)
	if err != nil {
		return trem.Letter{}, rejected(err)
	}
	switch m.(type) {
	case transfer.Done, transfer.Cancel:
		return c.markLetter(tid.Dst, topic(tid, "source"), m)
	}
	return c.push(tid, m, r)
}
