package transfer

import (
	"crypto/sha256"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
)

// loan is what a lender keeps of a loan that is out.
type loan struct {
	child  ident.License
	number uint64
	until  int64
	chain  [][]byte
	bundle []byte
	seen   bool // the borrower said that it has it; not durable
}

// Loan is a loan to begin, or its renewal.
type Loan struct {
	Dst     ident.Device
	Leaf    []byte        // the borrower's certificate, DER; nil when not known
	Request ident.Request // what asked for it; zero for none
	Child   ident.License
	Until   int64 // Unix ms
	Chain   [][]byte
	Bundle  []byte
}

type lendRecord struct {
	_       struct{} `cbor:",toarray"`
	TID     ident.Transfer
	Leaf    []byte // SHA-256 of the borrower's certificate; null when not known
	Request ident.Request
	Child   ident.License
	Number  uint64
	Until   int64
	Chain   [][]byte
	Bundle  []byte
}

func (r *lendRecord) message(low uint64) *Lend {
	return &Lend{TID: r.TID, Low: low, Child: r.Child, Number: r.Number, Until: r.Until, Chain: r.Chain, Bundle: r.Bundle}
}

// Lend takes a right out of use for a loan: LENT_OUT. The caller commits the
// records in one batch with its own that say so, and then sends the LEND.
func (s *Source) Lend(l Loan) (*Lend, []Record, error) {
	tid, err := s.next(l.Dst)
	if err != nil {
		return nil, nil, err
	}
	rec := lendRecord{TID: tid, Request: l.Request, Child: l.Child, Number: 1, Until: l.Until, Chain: l.Chain, Bundle: l.Bundle}
	if len(l.Leaf) > 0 {
		leaf := sha256.Sum256(l.Leaf)
		rec.Leaf = leaf[:]
	}
	return s.lend(rec)
}

// Renew gives a loan that is out a new end, not before the old one, and a new
// child license of the same ID. The caller commits the records, and then sends
// the LEND. A sooner end would be proven while the borrower still has the later one.
func (s *Source) Renew(tid ident.Transfer, until int64, chain [][]byte, bundle []byte) (*Lend, []Record, error) {
	e, err := s.out(tid)
	if err != nil {
		return nil, nil, err
	}
	if until < e.loan.until {
		return nil, nil, fmt.Errorf("%w: a renewal that ends sooner", ErrMalformed)
	}
	return s.lend(lendRecord{
		TID: tid, Leaf: e.leaf, Request: e.request, Child: e.loan.child, Number: e.loan.number + 1, Until: until, Chain: chain, Bundle: bundle,
	})
}

func (s *Source) lend(rec lendRecord) (*Lend, []Record, error) {
	m := rec.message(0)
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	r, err := newRecord(KindLend, rec)
	if err != nil {
		return nil, nil, err
	}
	p := s.sending(pairKey{rec.TID.Dst, rec.TID.Incarnation})
	p.lend(rec)
	m.Low = p.low()
	return m, []Record{r}, nil
}

func (p *sending) lend(rec lendRecord) {
	p.last = max(p.last, rec.TID.Seq)
	e := p.open[rec.TID.Seq]
	if e == nil {
		e = &escrow{leaf: rec.Leaf, request: rec.Request, loan: &loan{}}
		p.open[rec.TID.Seq] = e
	}
	e.hash = rec.message(0).Hash()
	e.loan.child, e.loan.number, e.loan.until, e.loan.chain, e.loan.bundle = rec.Child, rec.Number, rec.Until, rec.Chain, rec.Bundle
}

// lend is the newest LEND of a loan.
func (e *escrow) lend(tid ident.Transfer, low uint64) *Lend {
	l := e.loan
	return &Lend{TID: tid, Low: low, Child: l.child, Number: l.number, Until: l.until, Chain: l.chain, Bundle: l.bundle}
}

// out is the loan under a transfer ID, while it is out.
func (s *Source) out(tid ident.Transfer) (*escrow, error) {
	p, err := s.pair(tid)
	if err != nil {
		return nil, err
	}
	e := p.open[tid.Seq]
	if e == nil || e.loan == nil {
		return nil, ErrUnknown
	}
	return e, nil
}

// Returned acts on a verified RETURNED. With the number of the newest LEND the
// loan is over: the caller commits Records with its own that make the right its
// own again, and sends Done. With a lower one the newest LEND goes out again,
// even where a recall is on its way: only that number's RETURNED ends the loan,
// and a borrower that has given back answers it so. Of a loan that is closed it
// gives DONE again.
func (s *Source) Returned(r *Returned) (Outcome, Message, error) {
	if r == nil || !r.verified {
		return Outcome{}, nil, ErrReceipt
	}
	out := Outcome{TID: r.TID}
	p, err := s.pair(r.TID)
	if err != nil {
		return out, nil, err
	}
	e := p.open[r.TID.Seq]
	switch {
	case e == nil:
		out.Done = Done{TID: r.TID, Low: p.low()}
		return out, out.Done, nil
	case e.loan == nil || e.loan.child != r.Child || r.Number > e.loan.number:
		return out, nil, fmt.Errorf("%w: no such loan", ErrReceipt)
	case r.Number < e.loan.number: // also of a loan that was recalled: only its LEND tells the borrower the number
		return out, e.lend(r.TID, p.low()), nil
	}
	out.Spent = r.Spent
	if err := s.endLoan(&out, p, KindReturned, loanEndRecord{TID: r.TID, Spent: r.Spent}); err != nil {
		return out, nil, err
	}
	return out, out.Done, nil
}

type loanEndRecord struct {
	_     struct{} `cbor:",toarray"`
	TID   ident.Transfer
	Spent uint64
}

// Expire ends a loan whose end and guard are over by proven time: a signed
// statement, never one's own count of elapsed time. Before that it is ErrLater.
func (s *Source) Expire(tid ident.Transfer, proven, guard int64) (Outcome, error) {
	out := Outcome{TID: tid}
	e, err := s.out(tid)
	if err != nil {
		return out, err
	}
	if proven < e.loan.until+guard {
		return out, ErrLater
	}
	p, err := s.pair(tid)
	if err != nil {
		return out, err
	}
	return out, s.endLoan(&out, p, KindExpired, loanEndRecord{TID: tid})
}

func (s *Source) endLoan(out *Outcome, p *sending, kind uint8, rec loanEndRecord) error {
	r, err := newRecord(kind, rec)
	if err != nil {
		return err
	}
	out.Loan, out.Expired = p.open[rec.TID.Seq].loan.child, kind == KindExpired
	p.close(rec.TID.Seq)
	out.Aborted, out.Records, out.Done = true, []Record{r}, Done{TID: rec.TID, Low: p.low()}
	return nil
}

// receiptOfLoan: INSTALLED is noted and changes nothing; REFUSED ends the loan,
// whatever the message it was for, because that transfer never installs.
func (s *Source) receiptOfLoan(out Outcome, p *sending, e *escrow, r *Receipt) (Outcome, error) {
	switch {
	case r.Verdict == Installed:
		e.loan.seen = true
		return out, nil
	case r.Verdict == Unknown:
		return s.doubt(out, e, r)
	case r.revoked || e.suspect:
		return out, ErrNeedsRelease
	}
	rec, err := newRecord(KindAbort, endRecord{TID: r.TID})
	if err != nil {
		return out, err
	}
	out.Loan = e.loan.child
	p.close(r.TID.Seq)
	out.Aborted, out.Records, out.Done = true, []Record{rec}, Done{TID: r.TID, Low: p.low()}
	return out, nil
}

// Lent describes a loan that is out.
type Lent struct {
	TID    ident.Transfer
	Child  ident.License
	Number uint64
	Until  int64 // Unix ms
	Seen   bool  // the borrower said, since the last restart, that it has it
	Chain  [][]byte
}

// Loans lists the loans that are out.
func (s *Source) Loans() []Lent {
	var out []Lent
	for _, tid := range s.Open() {
		if o, err := s.Opened(tid); err == nil && o.Loan != nil {
			out = append(out, *o.Loan)
		}
	}
	return out
}

func (s *Source) replayLend(r Record) error {
	var rec lendRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	if rec.TID.Src != s.self || rec.message(0).check() != nil {
		return fmt.Errorf("%w: LEND %v", ErrRecord, rec.TID)
	}
	p := s.sending(pairKey{rec.TID.Dst, rec.TID.Incarnation})
	if e := p.open[rec.TID.Seq]; e != nil && (e.loan == nil || e.loan.child != rec.Child || e.loan.number >= rec.Number || e.loan.until > rec.Until) {
		return fmt.Errorf("%w: second LEND %v", ErrRecord, rec.TID)
	}
	p.lend(rec)
	return nil
}

func (s *Source) replayLoanEnd(r Record) error {
	var rec loanEndRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	if _, err := s.out(rec.TID); err != nil {
		return fmt.Errorf("%w: end of loan %v, which is not out", ErrRecord, rec.TID)
	}
	s.pairs[pairKey{rec.TID.Dst, rec.TID.Incarnation}].close(rec.TID.Seq)
	return nil
}
