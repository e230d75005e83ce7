package transfer

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
)

// borrowed is what a borrower keeps of a loan: while it has it, and as the
// tombstone after that.
type borrowed struct {
	Child    ident.License
	Number   uint64 // of the newest LEND that was taken
	Until    int64
	Returned bool
	Spent    uint64
}

type borrowRecord struct {
	_     struct{} `cbor:",toarray"`
	TID   ident.Transfer
	Hash  [32]byte
	Child ident.License
	// Number is that of the LEND; a higher one supersedes.
	Number   uint64
	Until    int64
	Returned bool
	Spent    uint64
}

func (r *borrowRecord) loan() *borrowed {
	return &borrowed{Child: r.Child, Number: r.Number, Until: r.Until, Returned: r.Returned, Spent: r.Spent}
}

// Borrow acts on a LEND that came from its lender in an authenticated session or
// push: the caller has checked that. Judge is asked for a new loan and for each
// renewal; its error is a durable refusal of a new one, and leaves the old end
// of one that is there. ErrLater decides nothing. Result.Return is set, and
// nothing installs, when the loan was given back before.
func (d *Destination) Borrow(m *Lend, judge func(*Lend) error) (Result, error) {
	if err := d.admit(m.TID, m.Low, m.Low < m.TID.Seq); err != nil {
		return Result{}, err
	}
	key := pairKey{m.TID.Src, m.TID.Incarnation}
	if p := d.pairs[key]; p != nil {
		if k := p.outcomes[m.TID.Seq]; k != nil {
			return d.lentAgain(m, p, k, judge)
		}
		if m.TID.Seq <= p.low {
			return Result{Receipt: p.statement(m.TID)}, nil
		}
	}
	k := keptOutcome{Seq: m.TID.Seq, Verdict: Installed, Hash: m.Hash()}
	if d.older(key) {
		k.Verdict, k.Reason = Refused, ReasonRolledBack
	} else if err := judge(m); errors.Is(err, ErrLater) {
		return Result{}, err
	} else if err != nil {
		k.Verdict, k.Reason = Refused, reasonOf(err)
	}
	if k.Verdict == Refused {
		return d.decide(m.TID, m.Low, k, nil, nil)
	}
	return d.take(m, k)
}

// take makes a loan, or its renewal, durable.
func (d *Destination) take(m *Lend, k keptOutcome) (Result, error) {
	k.loan = &borrowed{Child: m.Child, Number: m.Number, Until: m.Until}
	rec, err := newRecord(KindBorrow, borrowOf(m.TID, &k))
	if err != nil {
		return Result{}, err
	}
	p := d.pair(pairKey{m.TID.Src, m.TID.Incarnation})
	p.keep(k)
	recs, err := d.raise(m.TID, m.Low)
	if err != nil {
		return Result{}, err
	}
	return Result{Receipt: p.statement(m.TID), Installed: true, New: true, Records: append([]Record{rec}, recs...)}, nil
}

func borrowOf(tid ident.Transfer, k *keptOutcome) borrowRecord {
	l := k.loan
	return borrowRecord{TID: tid, Hash: k.Hash, Child: l.Child, Number: l.Number, Until: l.Until, Returned: l.Returned, Spent: l.Spent}
}

// lentAgain answers a repetition, a renewal, or what comes after the return.
func (d *Destination) lentAgain(m *Lend, p *receiving, k *keptOutcome, judge func(*Lend) error) (Result, error) {
	l := k.loan
	if m.TID.Seq <= p.low { // closed at the lender: nothing more can come of it
		return Result{Receipt: p.statement(m.TID)}, nil
	}
	same := l != nil && l.Child == m.Child
	switch {
	case same && l.Returned:
		return Result{Return: &Return{TID: m.TID, Child: m.Child, Number: max(m.Number, l.Number), Spent: l.Spent}}, nil
	case same && m.Number > l.Number:
		if err := judge(m); err != nil {
			return Result{}, err
		}
		return d.take(m, keptOutcome{Seq: k.Seq, Verdict: Installed, Hash: m.Hash(), suspect: k.suspect})
	}
	recs, err := d.raise(m.TID, m.Low)
	out := Result{Receipt: p.statement(m.TID), Installed: k.Verdict == Installed, Records: recs}
	if err != nil || k.Verdict == Refused || same && (m.Number < l.Number || m.Hash() == k.Hash) {
		return out, err
	}
	return d.contradicted(pairKey{m.TID.Src, m.TID.Incarnation}, m.TID, m.Hash(), m, k, out)
}

// GiveBack ends a loan that is here: the caller commits the records in one
// batch with its own that destroy the child, and then signs and sends the
// Return. Of a loan that was given back it says the same again.
func (d *Destination) GiveBack(tid ident.Transfer, spent uint64) (Return, []Record, error) {
	p := d.pairs[pairKey{tid.Src, tid.Incarnation}]
	if p == nil || p.outcomes[tid.Seq] == nil || p.outcomes[tid.Seq].loan == nil {
		return Return{}, nil, ErrUnknown
	}
	k := p.outcomes[tid.Seq]
	l := k.loan
	var recs []Record
	if !l.Returned {
		l.Returned, l.Spent = true, spent
		rec, err := newRecord(KindGaveBack, borrowOf(tid, k))
		if err != nil {
			return Return{}, nil, err
		}
		recs = []Record{rec}
	}
	return Return{TID: tid, Child: l.Child, Number: l.Number, Spent: l.Spent}, recs, nil
}

// Borrowing describes a loan that is here, or was given back and is not closed.
type Borrowing struct {
	TID      ident.Transfer
	Child    ident.License
	Until    int64 // Unix ms
	Returned bool
	Return   Return // what RETURNED says, once it is returned
}

// Borrowed lists the loans that their lenders have not closed.
func (d *Destination) Borrowed() []Borrowing {
	var out []Borrowing
	for key, p := range d.pairs {
		for seq, k := range p.outcomes {
			if l := k.loan; l != nil && seq > p.low {
				tid := ident.Transfer{Src: key.peer, Dst: d.self, Incarnation: key.inc, Seq: seq}
				out = append(out, Borrowing{
					TID: tid, Child: l.Child, Until: l.Until, Returned: l.Returned,
					Return: Return{TID: tid, Child: l.Child, Number: l.Number, Spent: l.Spent},
				})
			}
		}
	}
	sortBy(out, func(b Borrowing) ident.Transfer { return b.TID })
	return out
}

func (d *Destination) replayBorrow(r Record) error {
	var rec borrowRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	tid := rec.TID
	p := d.pair(pairKey{tid.Src, tid.Incarnation})
	k := p.outcomes[tid.Seq]
	fits := tid.Dst == d.self && checkID(tid, 0) == nil && tid.Seq > p.low
	switch {
	case r.Kind == KindBorrowed: // of a snapshot: its outcome stands before it
		fits = fits && k != nil && k.loan == nil && k.Verdict == Installed
	case k != nil: // a renewal, or the end
		fits = fits && k.loan != nil && k.loan.Child == rec.Child && !k.loan.Returned && rec.Returned == (r.Kind == KindGaveBack) &&
			(rec.Number > k.loan.Number || rec.Returned && rec.Number == k.loan.Number)
	default:
		fits = fits && r.Kind == KindBorrow && !rec.Returned
	}
	if !fits {
		return fmt.Errorf("%w: loan %v", ErrRecord, tid)
	}
	next := keptOutcome{Seq: tid.Seq, Verdict: Installed, Hash: rec.Hash, loan: rec.loan()}
	if k != nil {
		next.suspect = k.suspect
	}
	p.keep(next)
	return nil
}
