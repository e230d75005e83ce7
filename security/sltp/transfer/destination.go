package transfer

import (
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/lares-drm/lares/license/ident"
)

// MaxIncarnations is how many incarnations of one source a destination
// remembers; a source that has more is refused. Source: local, docs/spec/transfer.md.
const MaxIncarnations = 256

// Destination is the receiving side of a module's transfers: a pure state
// machine like Source.
type Destination struct {
	self    ident.Device
	pairs   map[pairKey]*receiving
	sources map[ident.Device][]ident.Incarnation // oldest first
	proofs  []Evidence
}

type receiving struct {
	low      uint64 // every number up to it is closed at the source
	high     uint64 // highest number seen
	outcomes map[uint64]*keptOutcome
}

// NewDestination makes the destination of a module.
func NewDestination(self ident.Device) *Destination {
	return &Destination{self: self, pairs: map[pairKey]*receiving{}, sources: map[ident.Device][]ident.Incarnation{}}
}

// RefusedError is for judges: it refuses with a reason of their own, at most
// MaxReason bytes.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "refused: " + e.Reason }

// Result is what a message led to. The caller commits Records, with its own of
// the same event, and then signs and sends Receipt.
type Result struct {
	Receipt     Statement
	Installed   bool  // now or before: Receipt says INSTALLED
	New         bool  // decided by this message, not a repetition
	Quarantined bool  // the source sent two bodies under one ID: the peer is to be quarantined
	Body        *Body // of the XFER that Receipt speaks of; nil when it cannot be read
	Records     []Record

	Return   *Return // answers a LEND of a loan that was given back, in the place of Receipt
	Recalled bool    // the lender asks for a loan that is here

	Destroyed bool // the arbiter gave it back to its source: what was installed is to be destroyed
}

// Receive acts on an XFER that came from its source in an authenticated
// session: the caller has checked that the peer is x.TID.Src. Judge is asked
// for a new transfer only; its error becomes a durable refusal, except ErrLater,
// which decides nothing and is returned.
func (d *Destination) Receive(x *XFER, judge func(*Body) error) (Result, error) {
	key := pairKey{x.TID.Src, x.TID.Incarnation}
	if err := d.admit(x.TID, x.Low, x.Low < x.TID.Seq); err != nil {
		return Result{}, err
	}
	body, bodyErr := ParseBody(x.Body)
	if p := d.pairs[key]; p != nil {
		if k := p.outcomes[x.TID.Seq]; k != nil {
			return d.again(x, p, k, body)
		}
		if x.TID.Seq <= p.low {
			return Result{Receipt: p.statement(x.TID)}, nil
		}
	}
	k := keptOutcome{Seq: x.TID.Seq, Verdict: Installed, Hash: x.Hash()}
	if d.older(key) {
		k.Verdict, k.Reason = Refused, ReasonRolledBack
	} else if bodyErr != nil {
		k.Verdict, k.Reason = Refused, ReasonMalformed
	} else if err := judge(body); errors.Is(err, ErrLater) {
		return Result{}, err
	} else if err != nil {
		k.Verdict, k.Reason = Refused, reasonOf(err)
	}
	return d.decide(x.TID, x.Low, k, x.Body, body)
}

// decide makes INSTALL or REFUSE durable, with the watermark that came along.
func (d *Destination) decide(tid ident.Transfer, low uint64, k keptOutcome, raw []byte, body *Body) (Result, error) {
	p := d.pair(pairKey{tid.Src, tid.Incarnation})
	var rec Record
	var err error
	if k.Verdict == Installed {
		rec, err = newRecord(KindInstall, installRecord{TID: tid, Hash: k.Hash, Body: raw})
	} else {
		rec, err = newRecord(KindRefuse, refuseRecord{TID: tid, Hash: k.Hash, Reason: k.Reason})
	}
	if err != nil {
		return Result{}, err
	}
	p.keep(k)
	recs, err := d.raise(tid, low)
	if err != nil {
		return Result{}, err
	}
	return Result{Receipt: p.statement(tid), Installed: k.Verdict == Installed, New: true, Body: body, Records: append([]Record{rec}, recs...)}, nil
}

// again answers a repetition from the record, or keeps the evidence that it is none.
func (d *Destination) again(x *XFER, p *receiving, k *keptOutcome, body *Body) (Result, error) {
	recs, err := d.raise(x.TID, x.Low)
	if err != nil {
		return Result{}, err
	}
	out := Result{Receipt: p.statement(x.TID), Installed: k.Verdict == Installed, Body: body, Records: recs}
	if x.Hash() == k.Hash || k.Hash == [sha256.Size]byte{} {
		return out, nil
	}
	return d.contradicted(pairKey{x.TID.Src, x.TID.Incarnation}, x.TID, x.Hash(), x, k, out)
}

// contradicted keeps the evidence that a source sent two things under one ID.
func (d *Destination) contradicted(key pairKey, tid ident.Transfer, hash [sha256.Size]byte, m Message, k *keptOutcome, out Result) (Result, error) {
	out.Installed, out.Body = false, nil
	if d.older(key) { // a rolled back source does not know what it did
		if !out.Receipt.Closed && k.loan == nil { // a refusal would end a loan that is here
			out.Receipt = Statement{TID: tid, Verdict: Refused, Reason: ReasonRolledBack, XferHash: hash}
		}
		return out, nil
	}
	out.Quarantined = true
	if k.suspect {
		return out, nil
	}
	proof, err := m.Encode()
	if err != nil {
		return out, err
	}
	k.suspect = true
	rec, err := keepEvidence(&d.proofs, KindEvidence, Evidence{TID: tid, Hash: hash, Proof: proof})
	out.Records = append(out.Records, rec)
	return out, err
}

// Cancel acts on a CANCEL from the transfer's source: what is not installed
// never will be. Of a loan that is here it is the lender's recall.
func (d *Destination) Cancel(c Cancel) (Result, error) {
	if err := d.admit(c.TID, c.Low, c.Low < c.TID.Seq); err != nil {
		return Result{}, err
	}
	p := d.pairs[pairKey{c.TID.Src, c.TID.Incarnation}]
	if p == nil || p.outcomes[c.TID.Seq] == nil && c.TID.Seq > p.low {
		return d.decide(c.TID, c.Low, keptOutcome{Seq: c.TID.Seq, Verdict: Refused, Reason: ReasonCancelled}, nil, nil)
	}
	recs, err := d.raise(c.TID, c.Low)
	if err != nil {
		return Result{}, err
	}
	s := p.statement(c.TID)
	out := Result{Receipt: s, Installed: s.Verdict == Installed, Records: recs}
	if k := p.outcomes[c.TID.Seq]; k != nil && k.loan != nil && !s.Closed {
		if l := k.loan; l.Returned {
			out.Return = &Return{TID: c.TID, Child: l.Child, Number: l.Number, Spent: l.Spent}
		} else {
			out.Recalled = true
		}
	}
	return out, nil
}

// Done acts on a DONE from the transfer's source: all up to Low is closed, and
// neither that nor the transfer it names, which the source has committed, is
// UNCONFIRMED any more: a loan that is out for weeks keeps Low down, and would
// keep all that comes after it from being handed on. What is out of bounds or of an unknown pair gives no
// records and changes nothing.
func (d *Destination) Done(m Done) []Record {
	if d.admit(m.TID, m.Low, true) != nil || d.pairs[pairKey{m.TID.Src, m.TID.Incarnation}] == nil {
		return nil
	}
	recs, err := d.raise(m.TID, m.Low)
	if err != nil {
		return nil
	}
	p := d.pairs[pairKey{m.TID.Src, m.TID.Incarnation}]
	k := p.outcomes[m.TID.Seq]
	if m.TID.Seq <= p.low || k == nil || k.Verdict != Installed || k.loan != nil || k.confirmed {
		return recs
	}
	rec, err := newRecord(KindConfirm, endRecord{TID: m.TID})
	if err != nil {
		return nil
	}
	k.confirmed = true
	return append(recs, rec)
}

// Query is what the records say of a transfer: what to sign and send. Of one
// never seen there is nothing to say, and the error is ErrUnknown.
func (d *Destination) Query(tid ident.Transfer) (Statement, error) {
	if tid.Dst != d.self {
		return Statement{}, ErrForeign
	}
	p := d.pairs[pairKey{tid.Src, tid.Incarnation}]
	if p == nil || p.outcomes[tid.Seq] == nil && tid.Seq > p.low {
		return Statement{}, ErrUnknown
	}
	return p.statement(tid), nil
}

// Unconfirmed reports whether a right came by a transfer that its source has
// not yet closed: it may be played, and nothing else.
func (d *Destination) Unconfirmed(tid ident.Transfer) bool {
	p := d.pairs[pairKey{tid.Src, tid.Incarnation}]
	if p == nil || tid.Seq <= p.low {
		return false
	}
	k := p.outcomes[tid.Seq]
	return k != nil && k.Verdict == Installed && k.loan == nil && !k.confirmed
}

// admit drops what no correct source sends: the watermark below the lowest
// open number, at most MaxOpen above the highest seen, and numbers in the window.
func (d *Destination) admit(tid ident.Transfer, low uint64, below bool) error {
	if tid.Dst != d.self || checkID(tid, low) != nil {
		return ErrForeign
	}
	p := d.pairs[pairKey{tid.Src, tid.Incarnation}]
	if p == nil { // a first contact begins at the watermark it names
		if len(d.sources[tid.Src]) >= MaxIncarnations {
			return ErrFull
		}
		p = &receiving{low: low, high: low}
	}
	if !below || low > p.high+MaxOpen || tid.Seq > max(p.low, low)+Window {
		return ErrDropped
	}
	return nil
}

// older reports whether a newer incarnation of the source has been seen.
func (d *Destination) older(key pairKey) bool {
	i := slices.Index(d.sources[key.peer], key.inc)
	return i >= 0 && i < len(d.sources[key.peer])-1
}

func (d *Destination) pair(key pairKey) *receiving {
	p := d.pairs[key]
	if p == nil {
		p = &receiving{outcomes: map[uint64]*keptOutcome{}}
		d.pairs[key] = p
		d.sources[key.peer] = append(d.sources[key.peer], key.inc)
	}
	return p
}

func (p *receiving) keep(k keptOutcome) {
	p.high = max(p.high, k.Seq)
	p.outcomes[k.Seq] = &k
}

// raise moves the watermark up.
func (d *Destination) raise(tid ident.Transfer, low uint64) ([]Record, error) {
	p := d.pair(pairKey{tid.Src, tid.Incarnation})
	if low <= p.low {
		return nil, nil
	}
	rec, err := newRecord(KindLow, lowRecord{Src: tid.Src, Incarnation: tid.Incarnation, Low: low})
	if err != nil {
		return nil, err
	}
	p.close(low)
	return []Record{rec}, nil
}

// close sets the watermark and forgets outcomes that are Window below it.
func (p *receiving) close(low uint64) {
	p.low, p.high = max(p.low, low), max(p.high, low)
	for seq, k := range p.outcomes {
		if seq <= p.low {
			k.loan, k.confirmed = nil, false
		}
		if seq+Window <= p.low {
			delete(p.outcomes, seq)
		}
	}
}

// statement is the one thing the records let this side say.
func (p *receiving) statement(tid ident.Transfer) Statement {
	s := Statement{TID: tid, Verdict: Unknown}
	if k := p.outcomes[tid.Seq]; k != nil {
		s.Verdict, s.Reason, s.XferHash = k.Verdict, k.Reason, k.Hash
	}
	if tid.Seq <= p.low {
		s.Closed, s.Low, s.Reason = true, p.low, ""
	}
	return s
}

func reasonOf(err error) string {
	var r *RefusedError
	if errors.As(err, &r) && r.Reason != "" && len(r.Reason) <= MaxReason {
		return r.Reason
	}
	return ReasonUnacceptable
}
