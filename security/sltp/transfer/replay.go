package transfer

import (
	"fmt"

	"github.com/lares-drm/lares/license/ident"
)

// Replay applies a record that was committed earlier. Records of the
// destination are passed over.
func (s *Source) Replay(r Record) error {
	switch r.Kind {
	case KindPrepare:
		return s.replayPrepare(r)
	case KindCommit, KindAbort:
		return s.replayEnd(r)
	case KindSourceEvidence:
		return s.replayEvidence(r)
	case KindSourcePair:
		return s.replayPair(r)
	case KindLend:
		return s.replayLend(r)
	case KindReturned, KindExpired:
		return s.replayLoanEnd(r)
	case KindRelease:
		return s.replayRelease(r)
	case KindCancel:
		return s.replayCancel(r)
	}
	if !Known(r.Kind) {
		return fmt.Errorf("%w: kind %#x", ErrRecord, r.Kind)
	}
	return nil
}

func (s *Source) replayPrepare(r Record) error {
	var rec prepareRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	if rec.TID.Src != s.self || checkID(rec.TID, 0) != nil || hashOf(rec.TID, rec.Body) != rec.Hash {
		return fmt.Errorf("%w: PREPARE %v", ErrRecord, rec.TID)
	}
	p := s.sending(pairKey{rec.TID.Dst, rec.TID.Incarnation})
	if p.open[rec.TID.Seq] != nil {
		return fmt.Errorf("%w: second PREPARE %v", ErrRecord, rec.TID)
	}
	p.prepare(rec)
	return nil
}

func (s *Source) replayEnd(r Record) error {
	var rec endRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	p, err := s.pair(rec.TID)
	if err != nil || p.open[rec.TID.Seq] == nil {
		return fmt.Errorf("%w: kind %#x of %v, which is not open", ErrRecord, r.Kind, rec.TID)
	}
	p.close(rec.TID.Seq)
	return nil
}

func (s *Source) replayCancel(r Record) error {
	var rec endRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	p, err := s.pair(rec.TID)
	if err != nil || p.open[rec.TID.Seq] == nil {
		return fmt.Errorf("%w: CANCEL of %v, which is not open", ErrRecord, rec.TID)
	}
	p.open[rec.TID.Seq].cancelled = true
	return nil
}

func (s *Source) replayEvidence(r Record) error {
	e, err := readEvidence(&s.proofs, r)
	if err != nil {
		return err
	}
	p, err := s.pair(e.TID)
	if err != nil {
		return fmt.Errorf("%w: evidence about %v", ErrRecord, e.TID)
	}
	if o := p.open[e.TID.Seq]; o != nil { // it may since have been closed
		o.suspect = true
	}
	return nil
}

func (s *Source) replayPair(r Record) error {
	var rec sourcePairRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	key := pairKey{rec.Dst, rec.Incarnation}
	if s.pairs[key] != nil {
		return fmt.Errorf("%w: second state of a pair", ErrRecord)
	}
	s.pairs[key] = &sending{last: rec.Last, open: map[uint64]*escrow{}, requests: rec.Requests}
	return nil
}

// Replay applies a record that was committed earlier. For an INSTALL it
// returns the body, so that the caller can install it again. Records of the
// source are passed over.
func (d *Destination) Replay(r Record) (*Body, error) {
	switch r.Kind {
	case KindInstall:
		var rec installRecord
		if err := read(r, &rec); err != nil {
			return nil, err
		}
		if rec.Hash != hashOf(rec.TID, rec.Body) {
			return nil, fmt.Errorf("%w: INSTALL %v", ErrRecord, rec.TID)
		}
		if err := d.replayOutcome(rec.TID, keptOutcome{Seq: rec.TID.Seq, Verdict: Installed, Hash: rec.Hash}); err != nil {
			return nil, err
		}
		defer clear(rec.Body) // it holds keys, and what is returned is a copy
		return ParseBody(rec.Body)
	case KindRefuse:
		var rec refuseRecord
		if err := read(r, &rec); err != nil {
			return nil, err
		}
		return nil, d.replayOutcome(rec.TID, keptOutcome{Seq: rec.TID.Seq, Verdict: Refused, Hash: rec.Hash, Reason: rec.Reason})
	case KindLow:
		var rec lowRecord
		if err := read(r, &rec); err != nil {
			return nil, err
		}
		d.pair(pairKey{rec.Src, rec.Incarnation}).close(rec.Low)
		return nil, nil
	case KindEvidence:
		return nil, d.replayEvidence(r)
	case KindDestPair:
		return nil, d.replayPair(r)
	case KindBorrow, KindGaveBack, KindBorrowed:
		return nil, d.replayBorrow(r)
	case KindConfirm:
		return nil, d.replayConfirm(r)
	case KindReleased:
		return nil, d.replayReleased(r)
	}
	if !Known(r.Kind) {
		return nil, fmt.Errorf("%w: kind %#x", ErrRecord, r.Kind)
	}
	return nil, nil
}

func (d *Destination) replayOutcome(tid ident.Transfer, k keptOutcome) error {
	p := d.pair(pairKey{tid.Src, tid.Incarnation})
	if tid.Dst != d.self || p.outcomes[tid.Seq] != nil || tid.Seq <= p.low {
		return fmt.Errorf("%w: second outcome of %v", ErrRecord, tid)
	}
	p.keep(k)
	return nil
}

func (d *Destination) replayEvidence(r Record) error {
	e, err := readEvidence(&d.proofs, r)
	if err != nil {
		return err
	}
	p := d.pairs[pairKey{e.TID.Src, e.TID.Incarnation}]
	if p == nil {
		return fmt.Errorf("%w: evidence about %v", ErrRecord, e.TID)
	}
	if k := p.outcomes[e.TID.Seq]; k != nil { // it may since have been forgotten
		k.suspect = true
	}
	return nil
}

func (d *Destination) replayPair(r Record) error {
	var rec destPairRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	key := pairKey{rec.Src, rec.Incarnation}
	if d.pairs[key] != nil {
		return fmt.Errorf("%w: second state of a pair", ErrRecord)
	}
	p := d.pair(key)
	p.low, p.high = rec.Low, rec.High
	for _, k := range rec.Outcomes {
		p.outcomes[k.Seq] = &k
	}
	return nil
}
