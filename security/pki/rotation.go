package pki

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lares-drm/lares/internal/wire"
)

// objectRotation is a statement of an old root that a new one takes its place.
const objectRotation wire.Object = "rotation"

// MaxRotation is the longest rotation statement in bytes. Source: local, docs/spec/certificates.md.
const MaxRotation = MaxCert + 256

// MaxRoots is how many roots a trust store holds at most, those of other
// trust domains included. Source: local, docs/spec/certificates.md.
const MaxRoots = 16

// ErrRotation is returned for a rotation that does not hold: malformed, or not
// signed by a trusted root in good standing.
var ErrRotation = errors.New("pki: rotation of the root")

// rotation is what an old root says. Key 4 is reserved for threshold metadata
// (how many of which keys must sign the next one): a statement that has it is
// for a later reader, and is refused.
type rotation struct {
	Root   []byte `cbor:"1,keyasint"` // the new root's certificate, DER
	Number uint64 `cbor:"2,keyasint"` // of the domain's rotations, from 1
	At     int64  `cbor:"3,keyasint"` // Unix ms
}

func rotationLimit() wire.Limit { return wire.Limit{Bytes: MaxRotation, Items: 8, Depth: 4} }

// SignRotation states, with the old root's key, that the new root is trusted as
// the old one is. The number counts the rotations of the trust domain, from 1.
func SignRotation(signer crypto.Signer, oldRoot, newRoot []byte, number uint64, at time.Time) ([]byte, error) {
	if number == 0 || at.UnixMilli() < 0 {
		return nil, fmt.Errorf("%w: number and time", ErrRotation)
	}
	payload, err := wire.Marshal(rotation{Root: newRoot, Number: number, At: at.UnixMilli()})
	if err != nil {
		return nil, err
	}
	statement, err := wire.NewSign1(signer, oldRoot, objectRotation, payload)
	if err != nil {
		return nil, err
	}
	old, err := NewTrustStore(oldRoot)
	if err != nil {
		return nil, err
	}
	_, err = old.Rotate(nil, statement)
	return statement, err
}

// Rotate returns a store that trusts a new root too, because a root of this
// store says so. Both stay trusted: it is the revocation state that ends a root,
// and a root that the status does not find in good standing (nil: no state is
// known) says nothing any more. A statement that is known already changes nothing.
func (s *TrustStore) Rotate(status Status, statement []byte) (*TrustStore, error) {
	obj, err := wire.ParseSign1(statement, objectRotation, rotationLimit())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRotation, err)
	}
	i := s.signerOf(obj)
	if i < 0 {
		return nil, fmt.Errorf("%w: not by a trusted root", ErrRotation)
	}
	old := s.roots[i]
	if err := obj.Verify(old.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRotation, err)
	}
	var r rotation
	if err := wire.Unmarshal(obj.Payload, &r, rotationLimit()); err != nil || r.Number == 0 || r.At < 0 {
		return nil, fmt.Errorf("%w: malformed", ErrRotation)
	}
	next, err := readRoot(r.Root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRotation, err)
	}
	same := func(get func(*cert) []byte) bool {
		return slices.ContainsFunc(s.roots, func(c *cert) bool { return bytes.Equal(get(c), get(next)) })
	}
	if same(func(c *cert) []byte { return c.Raw }) {
		return s, nil
	}
	if status != nil {
		if err := status.Check(old.member.Class, old.member.Index, old.member.SVN); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRotation, broken(old, statusRule(err), "%w", err))
		}
	}
	switch {
	case same(func(c *cert) []byte { return c.RawSubject }), old.member.Member == next.member.Member:
		return nil, fmt.Errorf("%w: the new root has the name of another, or the place of the old one", ErrRotation)
	case len(s.roots) >= MaxRoots:
		return nil, fmt.Errorf("%w: more than %d roots", ErrRotation, MaxRoots)
	}
	return NewTrustStore(append(s.Roots(), r.Root)...)
}

func (s *TrustStore) signerOf(obj *wire.Sign1) int {
	return slices.IndexFunc(s.roots, func(c *cert) bool { return wire.X5T(c.Raw) == obj.X5T })
}

// Follow takes all statements of a trust domain, oldest first, from the one
// whose root this store has: those before it are passed over. It returns the
// store itself when there is nothing new in them.
func (s *TrustStore) Follow(status Status, statements [][]byte) (*TrustStore, error) {
	for _, data := range statements {
		obj, err := wire.ParseSign1(data, objectRotation, rotationLimit())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRotation, err)
		}
		if s.signerOf(obj) < 0 {
			continue
		}
		if s, err = s.Rotate(status, data); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Standing is the store without the roots that the status does not find in good
// standing: what a root itself signs, besides certificates, holds by these. nil
// when none is left; with no status all stand.
func (s *TrustStore) Standing(status Status) *TrustStore {
	if status == nil {
		return s
	}
	var roots [][]byte
	for _, c := range s.roots {
		if status.Check(c.member.Class, c.member.Index, c.member.SVN) == nil {
			roots = append(roots, c.Raw)
		}
	}
	if len(roots) == len(s.roots) {
		return s
	}
	out, err := NewTrustStore(roots...)
	if err != nil {
		return nil // of no root; each one was read before
	}
	return out
}
