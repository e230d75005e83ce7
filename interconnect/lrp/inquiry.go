package lrp

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// ErrClaim is returned for a neighbor that claims a newer revocation state and
// does not show it, or shows one that does not verify. What it said has no effect.
var ErrClaim = errors.New("lrp: the neighbor does not show the revocation state that it claims")

// Limits of an inquiry. Source: local, docs/spec/lrp.md section 11.
const (
	// MaxQuestions bounds the questions of one inquiry, so that a neighbor that
	// answers in drops, or always with another state, comes to an end.
	MaxQuestions = 512
	// MaxTogether bounds the questions that are asked before one is answered, as
	// by a folder that travels.
	MaxTogether = 16
)

// InquiryConfig says what is known, and who judges.
type InquiryConfig struct {
	Known   uint64 // newest epoch that the asker's module has verified; 0: none
	Claimed uint64 // what the neighbor's HELLO said; 0 where it said nothing
	// Judge verifies a HEAD and returns its epoch. Required.
	Judge func(head []byte) (epoch uint64, err error)
	Max   uint64 // bytes of the longest state; default and at most MaxGossip
}

// Finding is a verified head, and what is to lead to its state. Exactly one of
// Delta and Snapshot is there; the module judges it.
type Finding struct {
	Epoch           uint64
	Head            []byte
	Delta, Snapshot []byte
}

// Inquiry asks one neighbor for the revocation state that is newer than the
// asker's: for its head first, then for the step from the known one, and where
// there is none or it does not do, for the whole. A claim has no effect until a
// head has been verified, and no byte of a state is taken before. It is not safe
// for concurrent use.
type Inquiry struct {
	cfg   InquiryConfig
	stage inquiryStage
	asked int
	head  []byte
	epoch uint64 // of head
	in    Gathering
	whole []byte // complete; nil before
}

// inquiryStage is what is asked for; the kinds of gossip, and an end.
type inquiryStage = GossipKind

const inquiryOver inquiryStage = 5

// NewInquiry begins with the head.
func NewInquiry(cfg InquiryConfig) *Inquiry {
	if cfg.Max == 0 || cfg.Max > MaxGossip {
		cfg.Max = MaxGossip
	}
	q := &Inquiry{cfg: cfg}
	q.begin(GossipHead)
	return q
}

func (q *Inquiry) begin(stage inquiryStage) {
	q.stage, q.whole, q.in = stage, nil, Gathering{Want: stage}
}

// Ask is the next question; there is none when the inquiry is over or waits for
// what is done with a Finding.
func (q *Inquiry) Ask() (Gossip, bool) {
	if q.stage == inquiryOver || q.whole != nil {
		return Gossip{}, false
	}
	return q.in.Ask(q.cfg.Known), true
}

// Together are the questions that may be asked before any is answered, in the
// order in which their answers are to be given: with the head what probably
// follows it, and all that is missing of a whole whose length is known.
func (q *Inquiry) Together() (out []Gossip) {
	first, ok := q.Ask()
	if !ok {
		return nil
	}
	out = append(out, first)
	if q.stage == GossipHead {
		next := Gathering{Want: q.content()}
		return append(out, next.Ask(q.cfg.Known))
	}
	for at := first.Offset + MaxFrames*MaxPiece; at < q.in.total && len(out) < MaxTogether; at += MaxFrames * MaxPiece {
		more := first
		more.Offset = at
		out = append(out, more)
	}
	return out
}

// content is what is asked for once a head is verified.
func (q *Inquiry) content() GossipKind {
	if q.cfg.Known > 0 {
		return GossipDelta
	}
	return GossipSnapshot
}

// Answer takes the pieces that answer a question of this inquiry. A piece that
// does not fit is passed over and asked for again. The error is ErrClaim when the
// neighbor is to be asked no more.
func (q *Inquiry) Answer(to Gossip, pieces []Gossip) error {
	if q.stage == inquiryOver || q.whole != nil || to.Want != q.stage {
		return nil // what it was for is there, or was given up
	}
	if q.asked++; q.asked > MaxQuestions {
		return q.refuse(errors.New("it was asked too often"))
	}
	if len(pieces) == 0 {
		return q.nothing()
	}
	for _, p := range pieces {
		switch {
		case p.Kind == q.stage && (p.Total > q.cfg.Max || q.stage == GossipHead && p.Total > MaxPiece):
			return q.refuse(fmt.Errorf("%d bytes", p.Total))
		case p.Kind == q.stage && q.stage != GossipHead && p.Epoch != q.epoch:
			q.begin(GossipHead) // the state has changed: so has the head
			return nil
		}
		whole, err := q.in.Take(p)
		if err != nil {
			return nil //nolint:nilerr // it begins elsewhere: what is missing is asked for again
		}
		if whole != nil {
			return q.complete(whole)
		}
	}
	return nil
}

// nothing is an answer without a piece.
func (q *Inquiry) nothing() error {
	switch {
	case q.stage == GossipDelta:
		q.begin(GossipSnapshot)
		return nil
	case q.stage == GossipHead && q.cfg.Claimed <= q.cfg.Known:
		q.stage = inquiryOver
		return nil
	}
	return q.refuse(errors.New("it shows nothing"))
}

func (q *Inquiry) complete(whole []byte) error {
	if q.stage != GossipHead {
		q.whole = whole
		return nil
	}
	epoch, err := q.cfg.Judge(whole)
	switch {
	case err != nil:
		return q.refuse(err)
	case epoch < q.cfg.Claimed:
		return q.refuse(fmt.Errorf("the head is of epoch %d, claimed is %d", epoch, q.cfg.Claimed))
	case epoch <= q.cfg.Known:
		q.stage = inquiryOver
		return nil
	}
	q.head, q.epoch = whole, epoch
	q.begin(q.content())
	return nil
}

func (q *Inquiry) refuse(why error) error {
	q.begin(inquiryOver)
	return fmt.Errorf("%w: %w", ErrClaim, why)
}

// Found is what the module is to judge now, if there is something.
func (q *Inquiry) Found() (Finding, bool) {
	if q.whole == nil {
		return Finding{}, false
	}
	f := Finding{Epoch: q.epoch, Head: q.head}
	if q.stage == GossipDelta {
		f.Delta = q.whole
	} else {
		f.Snapshot = q.whole
	}
	return f, true
}

// Learned ends the inquiry: the module has taken what was found.
func (q *Inquiry) Learned() { q.begin(inquiryOver) }

// Rejected says that the module did not take what was found. After a step the
// whole is asked for; after the whole it is ErrClaim.
func (q *Inquiry) Rejected(why error) error {
	if q.whole != nil && q.stage == GossipDelta {
		q.begin(GossipSnapshot)
		return nil
	}
	return q.refuse(why)
}

// inquiryRecord is an inquiry that was interrupted.
type inquiryRecord struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Known   uint64
	Stage   GossipKind
	Asked   uint64
	Head    []byte
	Epoch   uint64 // of the pieces
	Total   uint64
	Whole   []byte // as far as it came
}

const inquiryVersion = 1

// Encode is what is needed to go on later (Resume).
func (q *Inquiry) Encode() ([]byte, error) {
	r := inquiryRecord{
		Version: inquiryVersion, Known: q.cfg.Known, Stage: q.stage, Asked: uint64(q.asked), //nolint:gosec // at most MaxQuestions + 1
		Head: append([]byte{}, q.head...), Epoch: q.in.epoch, Total: q.in.total, Whole: append([]byte{}, q.in.whole...),
	}
	if q.whole != nil {
		r.Total, r.Whole = uint64(len(q.whole)), q.whole
	}
	return wire.Marshal(r)
}

// Resume goes on with what Encode wrote. What is of no use any more, because the
// module has learned something since or the record is damaged, begins anew.
func Resume(cfg InquiryConfig, data []byte) *Inquiry {
	q := NewInquiry(cfg)
	var r inquiryRecord
	if wire.Unmarshal(data, &r, wire.Limit{Bytes: MaxGossip + 1<<17, Items: 9, Depth: 1}) != nil || r.Version != inquiryVersion || r.Known != cfg.Known ||
		r.Stage != GossipDelta && r.Stage != GossipSnapshot || r.Asked > MaxQuestions || r.Total > q.cfg.Max || uint64(len(r.Whole)) > r.Total {
		return q
	}
	if q.complete(r.Head) != nil || q.stage == inquiryOver {
		return NewInquiry(cfg)
	}
	q.begin(r.Stage)
	q.asked = int(r.Asked)
	q.in.epoch, q.in.total, q.in.whole = r.Epoch, r.Total, r.Whole
	if r.Total > 0 && uint64(len(r.Whole)) == r.Total {
		q.in, q.whole = Gathering{Want: r.Stage}, r.Whole
	}
	return q
}
