package revocation

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/security/pki"
)

// ErrTwin is returned for a second head of the epoch that is held: its signer
// said two things. The one held stays.
var ErrTwin = errors.New("revocation: another head of the same epoch")

// Limits of what is kept of a signer who says two things. Source:
// docs/spec/revocation.md.
const (
	maxTwins    = 3 // states of one epoch beside the one held
	maxEvidence = 8
)

// Offer is what another party shows: a head with its signer's chain, from
// generation 1 on the root's word on the signer, and the content of the state: a
// snapshot, or a delta from the state that is held. Nothing in it is believed.
type Offer struct {
	Head     []byte
	Chain    [][]byte // of the state signer, leaf first
	Change   []byte   // of the signer; nil in generation 0
	Snapshot []byte
	Delta    []byte // when there is no snapshot
}

// Evidence are two heads of one epoch by one signer, with different content:
// who reads it needs nothing but the roots to see that.
type Evidence struct {
	Epoch pki.Epoch
	Heads [2][]byte
	Chain [2][][]byte
}

// Watch is what a party knows of revocation: the newest state, and what its
// signer said besides. It is immutable; the zero Watch knows nothing.
type Watch struct {
	state    *State
	offer    Offer // how the state came, without content
	twins    []twin
	evidence []Evidence
}

// twin is another state of the epoch that is held.
type twin struct {
	offer Offer
	state *State // nil when only its head was shown
}

// State is the newest state, nil before the first.
func (w *Watch) State() *State { return w.state }

// Evidence is kept for those who can act on it, newest last.
func (w *Watch) Evidence() []Evidence { return slices.Clone(w.evidence) }

// Gossip is what to show to whoever is met: how the held head came and, where
// its signer said two things, the other heads as well.
func (w *Watch) Gossip() []Offer {
	if w.state == nil {
		return nil
	}
	out := []Offer{w.offer}
	for i := range w.twins {
		out = append(out, w.twins[i].offer)
	}
	return out
}

// Take judges an offer. A newer state takes the place of the one held; the same
// head again changes nothing. Every other offer is refused by name, and what is
// held stays: ErrOlder, ErrEpoch (from the future, or a number that cannot be),
// ErrSigner, ErrRoot (content that is not the head's), ErrMalformed. ErrTwin comes
// with the Watch to go on with, which keeps the evidence, and the other state for
// Moves, until the next epoch decides. now is trusted time, or zero.
func (w *Watch) Take(o Offer, v *pki.Verifier, now time.Time) (*Watch, error) {
	t, err := verifyClaim(o.Head, o.Change, v, o.Chain, now)
	if err != nil {
		return w, err
	}
	order := 1
	if w.state != nil {
		order = t.head.Epoch.Compare(w.state.Epoch())
	}
	switch {
	case order < 0:
		return w, fmt.Errorf("%w: epoch %v, held %v", ErrOlder, t.head.Epoch, w.state.Epoch())
	case order == 0 && t.head.Hash() == w.state.Head().Hash():
		return w, nil
	case order == 0 && w.knows(t.head):
		return w, fmt.Errorf("%w: %v", ErrTwin, t.head.Epoch)
	}
	content, err := w.content(o, t, order)
	if err != nil {
		return w, err
	}
	kept := Offer{Head: slices.Clone(o.Head), Chain: o.Chain, Change: slices.Clone(o.Change)}
	if order == 0 {
		return w.withTwin(twin{kept, content}), fmt.Errorf("%w: %v", ErrTwin, t.head.Epoch)
	}
	if content == nil {
		return w, fmt.Errorf("%w: a newer head without its state", ErrMalformed)
	}
	return &Watch{state: content, offer: kept, evidence: w.evidence}, nil
}

// content makes the offered state, nil when only a head was shown.
func (w *Watch) content(o Offer, t *Trusted, order int) (*State, error) {
	switch {
	case len(o.Snapshot) > 0:
		s, err := readSnapshot(o.Snapshot)
		if err != nil {
			return nil, err
		}
		return s.adopt(t)
	case len(o.Delta) > 0 && w.state != nil && order > 0:
		d, err := w.state.parseDelta(o.Delta)
		if err != nil {
			return nil, err
		}
		s, err := w.state.apply(d)
		if err != nil {
			return nil, err
		}
		return s.adopt(t)
	}
	return nil, nil
}

// knows says whether this is the head of a twin whose state is known.
func (w *Watch) knows(h *Head) bool {
	return slices.ContainsFunc(w.twins, func(t twin) bool { return t.state != nil && t.state.Head().Hash() == h.Hash() })
}

// withTwin keeps another state of the epoch. One whose head alone was known
// before is completed.
func (w *Watch) withTwin(t twin) *Watch {
	next := &Watch{state: w.state, offer: w.offer, twins: slices.Clone(w.twins), evidence: slices.Clone(w.evidence)}
	same := func(o twin) bool { return slices.Equal(o.offer.Head[:headSigned], t.offer.Head[:headSigned]) }
	if i := slices.IndexFunc(next.twins, same); i >= 0 {
		if next.twins[i].state == nil {
			next.twins[i] = t
		}
		return next
	}
	if len(next.twins) < maxTwins {
		next.twins = append(next.twins, t)
	}
	if len(next.evidence) < maxEvidence {
		next.evidence = append(next.evidence, Evidence{Epoch: w.state.Epoch(), Heads: [2][]byte{w.offer.Head, t.offer.Head}, Chain: [2][][]byte{w.offer.Chain, t.offer.Chain}})
	}
	return next
}

// Moves is the state by which moves are judged: who is revoked in any of the
// states that the signer gave out for this epoch is revoked.
func (w *Watch) Moves() pki.Status {
	all := union{w.state}
	for i := range w.twins {
		if w.twins[i].state != nil {
			all = append(all, w.twins[i].state)
		}
	}
	return all
}

// union refuses whom one of its states refuses.
type union []*State

func (u union) Epoch() pki.Epoch { return u[0].Epoch() }

func (u union) Check(class pki.Class, index, svn uint32) error {
	for _, s := range u {
		if err := s.Check(class, index, svn); err != nil {
			return err
		}
	}
	return nil
}
