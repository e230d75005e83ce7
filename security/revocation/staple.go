package revocation

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// Staple is a proof with what shows its head: for a verifier whose own state is
// older, or who has none. Nothing in it is believed.
type Staple struct {
	Proof  []byte
	Chain  [][]byte // of the state signer, leaf first
	Change []byte   // of the signer; nil in generation 0
}

const stapleVersion = 1

type stapleRecord struct {
	_       struct{} `cbor:",toarray"`
	Version uint64
	Proof   []byte
	Chain   [][]byte
	Change  []byte // empty in generation 0
}

// MaxStaple is the longest encoded staple in bytes. Source: docs/spec/revocation.md.
const MaxStaple = MaxProof + 1<<14

// Encode writes a staple.
func (s Staple) Encode() ([]byte, error) {
	change := s.Change
	if change == nil {
		change = []byte{}
	}
	return wire.Marshal(stapleRecord{Version: stapleVersion, Proof: s.Proof, Chain: s.Chain, Change: change})
}

// ParseStaple reads what Encode wrote.
func ParseStaple(data []byte) (Staple, error) {
	var r stapleRecord
	if err := wire.Unmarshal(data, &r, wire.Limit{Bytes: MaxStaple, Items: 16, Depth: 2}); err != nil {
		return Staple{}, fmt.Errorf("%w: staple: %w", ErrMalformed, err)
	}
	if r.Version != stapleVersion || len(r.Proof) == 0 || len(r.Chain) == 0 || len(r.Change) > MaxSignerChange {
		return Staple{}, fmt.Errorf("%w: staple", ErrMalformed)
	}
	s := Staple{Proof: r.Proof, Chain: r.Chain}
	if len(r.Change) > 0 {
		s.Change = r.Change
	}
	return s, nil
}

// Head is the head of the proof, unchecked.
func (s Staple) Head() (*Head, error) { return ProofHead(s.Proof) }

// Open checks the head as Watch.Take does, and the proof under it. now is trusted
// time, or zero.
func (s Staple) Open(v *pki.Verifier, now time.Time) (*Proof, error) {
	if len(s.Proof) < 1+HeadLen {
		return nil, fmt.Errorf("%w: proof", ErrMalformed)
	}
	t, err := verifyClaim(s.Proof[1:1+HeadLen], s.Change, v, s.Chain, now)
	if err != nil {
		return nil, err
	}
	return OpenProof(s.Proof, t)
}
