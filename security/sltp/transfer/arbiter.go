package transfer

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"maps"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

const (
	typeRelease = 6
	typeConfirm = 7
)

// The arbiter's signed objects. Source: local, docs/spec/objects.md.
const (
	ObjectRelease = wire.Object("release")
	ObjectConfirm = wire.Object("confirm")
)

// ReleaseWait is how long after hold_until, in ms of authenticated time, an
// arbiter waits before it may sign RELEASE. HoldMargin is how long before
// hold_until, in ms, an UNCONFIRMED right sleeps. Source: local, docs/spec/transfer.md.
const (
	ReleaseWait = 24 * 3600_000
	HoldMargin  = 300_000
)

// Decision is an arbiter's word on a transfer: RELEASE gives the right back to
// its source, CONFIRM says that it is the destination's. The arbiter is whom the
// license names: its issuer, or the domain manager inside one domain.
type Decision struct {
	TID      ident.Transfer
	XferHash [sha256.Size]byte
	Confirm  bool
	Regrant  map[uint64]uint64 // RELEASE: permission number to units that come back; empty = all of them
}

type releaseWire struct {
	_       struct{} `cbor:",toarray"`
	Type    uint8
	TID     ident.Transfer
	Hash    [sha256.Size]byte
	Regrant map[uint64]uint64
}

type confirmWire struct {
	_    struct{} `cbor:",toarray"`
	Type uint8
	TID  ident.Transfer
	Hash [sha256.Size]byte
}

func (d Decision) check() error {
	if err := checkID(d.TID, 0); err != nil {
		return err
	}
	if d.XferHash == [sha256.Size]byte{} || len(d.Regrant) > maxAmounts || d.Confirm && len(d.Regrant) > 0 {
		return fmt.Errorf("%w: decision", ErrMalformed)
	}
	return nil
}

// SignDecision signs RELEASE or CONFIRM with the arbiter's identity key, whose
// certificate is leaf (DER). An Arbiter has made the decision durable before.
func SignDecision(signer crypto.Signer, leaf []byte, d Decision) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	obj, body := ObjectRelease, any(releaseWire{Type: typeRelease, TID: d.TID, Hash: d.XferHash, Regrant: orEmpty(d.Regrant)})
	if d.Confirm {
		obj, body = ObjectConfirm, confirmWire{Type: typeConfirm, TID: d.TID, Hash: d.XferHash}
	}
	payload, err := wire.Marshal(body)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, obj, payload)
}

func orEmpty(m map[uint64]uint64) map[uint64]uint64 {
	if m == nil {
		return map[uint64]uint64{}
	}
	return m
}

// Decided is a Decision whose signature was checked: only ParseDecision makes one.
type Decided struct {
	Decision
	verified bool
}

// ParseDecision reads a RELEASE or CONFIRM that peer has signed. That peer is
// the arbiter of the license in question is the caller's to check.
func ParseDecision(data []byte, peer *pki.Peer) (*Decided, error) {
	if !peer.Verified() {
		return nil, pki.ErrNotVerified
	}
	d, sig, err := readDecision(data)
	if err != nil {
		return nil, err
	}
	if err := sig.Verify(peer.Public()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return &Decided{Decision: d, verified: true}, nil
}

func readDecision(data []byte) (d Decision, sig *wire.Sign1, err error) {
	lim := wire.Limit{Bytes: MaxReceipt, Items: maxAmounts, Depth: 3}
	if sig, err = wire.ParseSign1(data, ObjectRelease, lim); err == nil {
		var w releaseWire
		if err := unmarshal(sig.Payload, &w, &w.Type, typeRelease); err != nil {
			return d, nil, err
		}
		if w.Regrant == nil {
			return d, nil, fmt.Errorf("%w: decision", ErrMalformed)
		}
		d = Decision{TID: w.TID, XferHash: w.Hash, Regrant: w.Regrant}
		return d, sig, d.check()
	}
	if sig, err = wire.ParseSign1(data, ObjectConfirm, lim); err != nil {
		return d, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var w confirmWire
	if err := unmarshal(sig.Payload, &w, &w.Type, typeConfirm); err != nil {
		return d, nil, err
	}
	d = Decision{TID: w.TID, XferHash: w.Hash, Confirm: true}
	return d, sig, d.check()
}

// Arbiter decides transfers, each once and for ever: a pure state machine like
// Source.
type Arbiter struct {
	decided map[ident.Transfer]Decision
}

// NewArbiter makes an arbiter that has decided nothing.
func NewArbiter() *Arbiter { return &Arbiter{decided: map[ident.Transfer]Decision{}} }

// Decide makes a decision, or returns the one that was made before: RELEASE or
// CONFIRM, never both. The caller commits the records and then signs. A RELEASE
// needs that the caller has seen hold_until and ReleaseWait pass in
// authenticated time (now), and no receipt; before that it is ErrLater.
func (a *Arbiter) Decide(d Decision, holdUntil, now int64) (Decision, []Record, error) {
	if err := d.check(); err != nil {
		return d, nil, err
	}
	if old, ok := a.decided[d.TID]; ok {
		return old, nil, nil
	}
	if !d.Confirm && (holdUntil <= 0 || now <= holdUntil+ReleaseWait) {
		return d, nil, ErrLater
	}
	rec, err := newRecord(KindDecision, decisionOf(d))
	if err != nil {
		return d, nil, err
	}
	a.decided[d.TID] = d
	return d, []Record{rec}, nil
}

type decisionRecord struct {
	_       struct{} `cbor:",toarray"`
	TID     ident.Transfer
	Hash    [sha256.Size]byte
	Confirm bool
	Regrant map[uint64]uint64
}

func decisionOf(d Decision) decisionRecord {
	return decisionRecord{TID: d.TID, Hash: d.XferHash, Confirm: d.Confirm, Regrant: orEmpty(d.Regrant)}
}

// Replay applies a record that was committed earlier. Records of the other
// machines are passed over.
func (a *Arbiter) Replay(r Record) error {
	if r.Kind != KindDecision {
		return nil
	}
	var rec decisionRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	d := Decision{TID: rec.TID, XferHash: rec.Hash, Confirm: rec.Confirm, Regrant: rec.Regrant}
	if _, ok := a.decided[rec.TID]; ok || d.check() != nil {
		return fmt.Errorf("%w: second decision on %v", ErrRecord, rec.TID)
	}
	a.decided[rec.TID] = d
	return nil
}

// Snapshot is the records that rebuild the arbiter as it is.
func (a *Arbiter) Snapshot() ([]Record, error) {
	var c collector
	var list []Decision
	for d := range maps.Values(a.decided) {
		list = append(list, d)
	}
	sortBy(list, func(d Decision) ident.Transfer { return d.TID })
	for _, d := range list {
		c.add(KindDecision, decisionOf(d))
	}
	return c.recs, c.err
}

// Release acts on the arbiter's RELEASE: what it names comes back. The transfer
// stays open, and DONE is never said of it or of a later one, until the
// destination has said that it is refused there: a DONE would wake a right that
// sleeps there since its hold is over. Of a transfer that is closed it is ErrUnknown.
func (s *Source) Release(d *Decided) (Outcome, error) {
	if d == nil || !d.verified || d.Confirm {
		return Outcome{}, ErrReceipt
	}
	out := Outcome{TID: d.TID}
	p, err := s.pair(d.TID)
	if err != nil {
		return out, err
	}
	e := p.open[d.TID.Seq]
	switch {
	case e == nil || e.loan != nil:
		return out, ErrUnknown
	case e.hash != d.XferHash:
		return out, fmt.Errorf("%w: RELEASE of another body", ErrReceipt)
	case e.released:
		return out, nil
	}
	rec, err := newRecord(KindRelease, decisionOf(d.Decision))
	if err != nil {
		return out, err
	}
	e.released = true
	out.Aborted, out.Released, out.Body, out.Regrant, out.Records = true, true, e.body, d.Regrant, []Record{rec}
	return out, nil
}

// receiptOfReleased closes a transfer that was released, when its destination
// says so: the right came back before.
func (s *Source) receiptOfReleased(out Outcome, p *sending, r *Receipt) (Outcome, error) {
	if r.Verdict != Refused || r.revoked {
		return out, nil
	}
	rec, err := newRecord(KindAbort, endRecord{TID: r.TID})
	if err != nil {
		return out, err
	}
	p.close(r.TID.Seq)
	out.Records, out.Done = []Record{rec}, Done{TID: r.TID, Low: p.low()}
	return out, nil
}

func (s *Source) replayRelease(r Record) error {
	var rec decisionRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	p, err := s.pair(rec.TID)
	if err != nil || p.open[rec.TID.Seq] == nil || p.open[rec.TID.Seq].released {
		return fmt.Errorf("%w: RELEASE of %v, which is not open", ErrRecord, rec.TID)
	}
	p.open[rec.TID.Seq].released = true
	return nil
}

// Released acts on the arbiter's RELEASE at the destination: what is here and
// was not confirmed is refused from then on, and what has not come never will.
// Result.Destroyed asks the caller to destroy, in the same batch, what was
// installed.
func (d *Destination) Released(x *Decided) (Result, error) {
	if x == nil || !x.verified || x.Confirm {
		return Result{}, ErrReceipt
	}
	if x.TID.Dst != d.self {
		return Result{}, ErrForeign
	}
	p := d.pair(pairKey{x.TID.Src, x.TID.Incarnation})
	k := p.outcomes[x.TID.Seq]
	switch {
	case x.TID.Seq <= p.low, k != nil && (k.Verdict == Refused || k.confirmed):
		return Result{Receipt: p.statement(x.TID)}, nil
	case k != nil && (k.loan != nil || k.Hash != x.XferHash):
		return Result{}, fmt.Errorf("%w: RELEASE of another body", ErrReceipt)
	}
	next := keptOutcome{Seq: x.TID.Seq, Verdict: Refused, Hash: x.XferHash, Reason: ReasonReleased}
	rec, err := newRecord(KindReleased, refuseRecord{TID: x.TID, Hash: next.Hash, Reason: next.Reason})
	if err != nil {
		return Result{}, err
	}
	p.keep(next)
	return Result{Receipt: p.statement(x.TID), New: true, Destroyed: k != nil, Records: []Record{rec}}, nil
}

func (d *Destination) replayReleased(r Record) error {
	var rec refuseRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	p := d.pair(pairKey{rec.TID.Src, rec.TID.Incarnation})
	if rec.TID.Dst != d.self || checkID(rec.TID, 0) != nil || rec.TID.Seq <= p.low {
		return fmt.Errorf("%w: RELEASE of %v", ErrRecord, rec.TID)
	}
	p.keep(keptOutcome{Seq: rec.TID.Seq, Verdict: Refused, Hash: rec.Hash, Reason: rec.Reason})
	return nil
}

// Confirm acts on the arbiter's CONFIRM: the right is no longer UNCONFIRMED,
// and its hold is over for ever.
func (d *Destination) Confirm(c *Decided) ([]Record, error) {
	if c == nil || !c.verified || !c.Confirm {
		return nil, ErrReceipt
	}
	p := d.pairs[pairKey{c.TID.Src, c.TID.Incarnation}]
	if c.TID.Dst != d.self || p == nil || p.outcomes[c.TID.Seq] == nil {
		return nil, ErrUnknown
	}
	k := p.outcomes[c.TID.Seq]
	switch {
	case c.TID.Seq <= p.low || k.confirmed:
		return nil, nil
	case k.Verdict != Installed || k.loan != nil || k.Hash != c.XferHash:
		return nil, fmt.Errorf("%w: CONFIRM of another body", ErrReceipt)
	}
	rec, err := newRecord(KindConfirm, endRecord{TID: c.TID})
	if err != nil {
		return nil, err
	}
	k.confirmed = true
	return []Record{rec}, nil
}

func (d *Destination) replayConfirm(r Record) error {
	var rec endRecord
	if err := read(r, &rec); err != nil {
		return err
	}
	p := d.pairs[pairKey{rec.TID.Src, rec.TID.Incarnation}]
	if p == nil || p.outcomes[rec.TID.Seq] == nil {
		return fmt.Errorf("%w: CONFIRM of %v", ErrRecord, rec.TID)
	}
	if rec.TID.Seq > p.low {
		p.outcomes[rec.TID.Seq].confirmed = true
	}
	return nil
}
