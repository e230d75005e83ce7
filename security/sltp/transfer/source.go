package transfer

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/lares-drm/lares/license/ident"
)

// Source is the giving side of a module's transfers. It is a pure state
// machine: commit the records that a call returns, then send; a module that
// cannot commit stops and replays.
type Source struct {
	self  ident.Device
	inc   ident.Incarnation
	pairs map[pairKey]*sending

	proofs []Evidence
}

// pairKey is one ordered pair and incarnation, seen from one side: peer is the other.
type pairKey struct {
	peer ident.Device
	inc  ident.Incarnation
}

type sending struct {
	last     uint64 // highest sequence number used
	open     map[uint64]*escrow
	requests []closedRequest // of the last closed, at most Window
}

// escrow is the phase ESCROW of one transfer.
type escrow struct {
	hash      [sha256.Size]byte
	leaf      []byte
	request   ident.Request
	body      []byte // nil for a loan
	loan      *loan  // nil for a transfer
	cancelled bool
	suspect   bool // the destination contradicted the record
	released  bool // the arbiter gave the right back; the destination has not heard it
}

// NewSource makes the source of a module whose vault is of this incarnation.
func NewSource(self ident.Device, inc ident.Incarnation) *Source {
	return &Source{self: self, inc: inc, pairs: map[pairKey]*sending{}}
}

// Order is a hand-over to prepare.
type Order struct {
	Dst     ident.Device
	Leaf    []byte        // the destination's certificate, DER; nil when not known
	Request ident.Request // what asked for it; zero for none
	Body    []byte        // encoded Body
}

// Prepare takes rights out of use: PREPARE. The caller commits the records in
// one batch with its own that debit the rights, and then sends the XFER. With
// MaxOpen transfers open, or one of them Window numbers back, the error is ErrFull.
func (s *Source) Prepare(o Order) (*XFER, []Record, error) {
	if _, err := ParseBody(o.Body); err != nil {
		return nil, nil, err
	}
	tid, err := s.next(o.Dst)
	if err != nil {
		return nil, nil, err
	}
	rec := prepareRecord{TID: tid, Hash: hashOf(tid, o.Body), Request: o.Request, Body: o.Body}
	if len(o.Leaf) > 0 {
		leaf := sha256.Sum256(o.Leaf)
		rec.Leaf = leaf[:]
	}
	r, err := newRecord(KindPrepare, rec)
	if err != nil {
		return nil, nil, err
	}
	p := s.sending(pairKey{o.Dst, s.inc})
	p.prepare(rec)
	return NewXFER(tid, p.low(), o.Body, nil), []Record{r}, nil
}

// next is the ID of the next transfer to dst. It stays that until a Prepare or
// Lend takes it: what must name it before, a TRANSFER record, can.
func (s *Source) next(dst ident.Device) (ident.Transfer, error) {
	tid := ident.Transfer{Src: s.self, Dst: dst, Incarnation: s.inc, Seq: 1}
	p := s.pairs[pairKey{dst, s.inc}]
	if p != nil {
		tid.Seq = p.last + 1
	}
	if err := checkID(tid, 0); err != nil {
		return tid, err
	}
	if p != nil && (len(p.open) >= MaxOpen || tid.Seq > p.low()+Window) {
		return tid, ErrFull
	}
	return tid, nil
}

// Next is the ID that the next transfer to dst will have.
func (s *Source) Next(dst ident.Device) (ident.Transfer, error) { return s.next(dst) }

func (s *Source) sending(key pairKey) *sending {
	p := s.pairs[key]
	if p == nil {
		p = &sending{open: map[uint64]*escrow{}}
		s.pairs[key] = p
	}
	return p
}

func (p *sending) prepare(rec prepareRecord) {
	p.last = max(p.last, rec.TID.Seq)
	p.open[rec.TID.Seq] = &escrow{hash: rec.Hash, leaf: rec.Leaf, request: rec.Request, body: rec.Body}
}

// low is the watermark: every number up to it is closed.
func (p *sending) low() uint64 {
	low := p.last
	for seq := range p.open {
		low = min(low, seq-1)
	}
	return low
}

// Outcome is what a receipt led to. The caller commits Records, together with
// its own that put the rights back when Aborted, and then sends Done, except
// where Quarantined: then Done is zero and nothing may be sent.
type Outcome struct {
	TID         ident.Transfer
	Committed   bool // the rights are the destination's
	Aborted     bool // the rights come back
	Quarantined bool // the destination contradicts the record: for the arbiter
	Body        []byte

	Loan     ident.License     // the child of a loan that is over; zero for a transfer
	Spent    uint64            // plays of the loan that the borrower used
	Expired  bool              // the loan's end is proven, its borrower said nothing: all it was lent is spent
	Regrant  map[uint64]uint64 // what an arbiter's RELEASE gives back, where that is not all
	Released bool              // by the arbiter
	Records  []Record
	Done     Done
}

// Receipt acts on a verified RECEIPT or CLOSED: COMMIT, ABORT, or evidence. A
// receipt for a closed transfer gives its DONE again, and no records.
func (s *Source) Receipt(r *Receipt) (Outcome, error) {
	if r == nil || r.raw == nil {
		return Outcome{}, ErrReceipt
	}
	out := Outcome{TID: r.TID}
	p, err := s.pair(r.TID)
	if err != nil {
		return out, err
	}
	e := p.open[r.TID.Seq]
	if e == nil {
		out.Done = Done{TID: r.TID, Low: p.low()}
		return out, nil
	}
	if e.loan != nil {
		return s.receiptOfLoan(out, p, e, r)
	}
	if e.released {
		return s.receiptOfReleased(out, p, r)
	}
	v, err := r.Closes(r.TID, e.hash)
	if err != nil {
		return out, err
	}
	if v == Unknown {
		return s.doubt(out, e, r)
	}
	if v == Refused && (e.suspect || r.Reason == ReasonReleased) { // how much comes back, only the RELEASE itself says
		return out, ErrNeedsRelease
	}
	kind := uint8(KindCommit)
	if v == Refused {
		kind = KindAbort
	}
	rec, err := newRecord(kind, endRecord{TID: r.TID})
	if err != nil {
		return out, err
	}
	p.close(r.TID.Seq)
	out.Committed, out.Aborted, out.Body, out.Records = v == Installed, v == Refused, e.body, []Record{rec}
	out.Done = Done{TID: r.TID, Low: p.low()}
	return out, nil
}

// doubt keeps the first contradiction; further ones add nothing.
func (s *Source) doubt(out Outcome, e *escrow, r *Receipt) (Outcome, error) {
	out.Quarantined = true
	if e.suspect {
		return out, nil
	}
	rec, err := keepEvidence(&s.proofs, KindSourceEvidence, Evidence{TID: r.TID, Hash: r.XferHash, Proof: r.raw})
	if err != nil {
		return out, err
	}
	e.suspect = true
	out.Records = []Record{rec}
	return out, nil
}

func (p *sending) close(seq uint64) {
	if e := p.open[seq]; e.request != (ident.Request{}) {
		p.requests = append(p.requests, closedRequest{Seq: seq, Request: e.request})
		p.requests = p.requests[max(0, len(p.requests)-Window):]
	}
	delete(p.open, seq)
}

func (s *Source) pair(tid ident.Transfer) (*sending, error) {
	if tid.Src != s.self {
		return nil, ErrForeign
	}
	p := s.pairs[pairKey{tid.Dst, tid.Incarnation}]
	if p == nil || tid.Seq == 0 || tid.Seq > p.last {
		return nil, ErrUnknown
	}
	return p, nil
}

// Cancel asks for an open transfer or loan back; whether it still can be is the
// destination's to say. From the commit of the records on, CANCEL goes out in
// the place of what was sent before.
func (s *Source) Cancel(tid ident.Transfer) (Cancel, []Record, error) {
	p, err := s.pair(tid)
	if err != nil {
		return Cancel{}, nil, err
	}
	e := p.open[tid.Seq]
	if e == nil {
		return Cancel{}, nil, ErrUnknown
	}
	c := Cancel{TID: tid, Low: p.low()}
	if e.cancelled {
		return c, nil, nil
	}
	rec, err := newRecord(KindCancel, endRecord{TID: tid})
	if err != nil {
		return Cancel{}, nil, err
	}
	e.cancelled = true
	return c, []Record{rec}, nil
}

// Opened describes a transfer or loan that is open.
type Opened struct {
	TID       ident.Transfer
	Body      []byte // encoded Body; nil for a loan
	Hash      [sha256.Size]byte
	Loan      *Lent // nil for a transfer
	Cancelled bool
	InDoubt   bool // the destination contradicted the record
	Released  bool // the right is here again; the destination has not heard it
}

// Opened is what the source knows of an open transfer or loan.
func (s *Source) Opened(tid ident.Transfer) (Opened, error) {
	p, err := s.pair(tid)
	if err != nil {
		return Opened{}, err
	}
	e := p.open[tid.Seq]
	if e == nil {
		return Opened{}, ErrUnknown
	}
	o := Opened{TID: tid, Body: e.body, Hash: e.hash, Cancelled: e.cancelled, InDoubt: e.suspect, Released: e.released}
	if l := e.loan; l != nil {
		o.Loan = &Lent{TID: tid, Child: l.child, Number: l.number, Until: l.until, Seen: l.seen, Chain: l.chain}
	}
	return o, nil
}

// Answer is what the source now says of a transfer: XFER, LEND or CANCEL while
// it is open, DONE after. It answers QUERY.
func (s *Source) Answer(tid ident.Transfer) (Message, error) {
	p, err := s.pair(tid)
	if err != nil {
		return nil, err
	}
	return p.message(tid), nil
}

func (p *sending) message(tid ident.Transfer) Message {
	e := p.open[tid.Seq]
	switch {
	case e == nil:
		return Done{TID: tid, Low: p.low()}
	case e.cancelled, e.released: // what has not come shall not come
		return Cancel{TID: tid, Low: p.low()}
	case e.loan != nil:
		return e.lend(tid, p.low())
	}
	return NewXFER(tid, p.low(), e.body, nil)
}

// Resend is what goes to dst on every contact: XFER or CANCEL for all that is
// open, lowest numbers first, of all incarnations.
func (s *Source) Resend(dst ident.Device) []Message {
	var out []Message
	for _, tid := range s.Open() {
		if tid.Dst == dst {
			out = append(out, s.pairs[pairKey{dst, tid.Incarnation}].message(tid))
		}
	}
	return out
}

// Open lists the open transfers.
func (s *Source) Open() []ident.Transfer {
	var out []ident.Transfer
	for key, p := range s.pairs {
		for seq := range p.open {
			out = append(out, ident.Transfer{Src: s.self, Dst: key.peer, Incarnation: key.inc, Seq: seq})
		}
	}
	sortBy(out, func(t ident.Transfer) ident.Transfer { return t })
	return out
}

func sortBy[T any](list []T, id func(T) ident.Transfer) {
	slices.SortFunc(list, func(a, b T) int { return compare(id(a), id(b)) })
}

func compare(a, b ident.Transfer) int {
	if c := bytes.Compare(a.Dst[:], b.Dst[:]); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Src[:], b.Src[:]); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Incarnation[:], b.Incarnation[:]); c != 0 {
		return c
	}
	if a.Seq < b.Seq {
		return -1
	}
	return 1
}

// ByRequest is the XFER or LEND of the open transfer that this request led to,
// nil when there is none: a request that is repeated gets the same answer.
func (s *Source) ByRequest(dst ident.Device, req ident.Request) Message {
	p := s.pairs[pairKey{dst, s.inc}]
	if p == nil || req == (ident.Request{}) {
		return nil
	}
	for seq, e := range p.open {
		if e.request == req {
			return p.message(ident.Transfer{Src: s.self, Dst: dst, Incarnation: s.inc, Seq: seq})
		}
	}
	return nil
}

// ClosedRequest reports whether this request led to one of the last Window
// closed transfers to dst, and to which: it must not lead to another.
func (s *Source) ClosedRequest(dst ident.Device, req ident.Request) (ident.Transfer, bool) {
	tid := ident.Transfer{Src: s.self, Dst: dst, Incarnation: s.inc}
	if p := s.pairs[pairKey{dst, s.inc}]; p != nil && req != (ident.Request{}) {
		for _, c := range p.requests {
			if c.Request == req {
				tid.Seq = c.Seq
				return tid, true
			}
		}
	}
	return ident.Transfer{}, false
}
