package revocation

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// MaxClaim is the longest encoded claim in bytes. Source: docs/spec/revocation.md.
const MaxClaim = 60 << 10

// Claim is a head with all that shows it to who trusts a root of the domain, as
// it travels from one party to another: without the state, so that who is told
// of a newer one can see that it is there before it fetches any of it.
type Claim struct {
	_         struct{} `cbor:",toarray"`
	Version   uint64
	Head      []byte
	Chain     [][]byte // of the state signer, leaf first
	Change    []byte   // empty in generation 0
	Rotations [][]byte // from an earlier root to the one that signs, oldest first
}

const claimVersion = 1

// NewClaim is the claim of a head; nil lists and bytes are empty ones.
func NewClaim(head []byte, chain [][]byte, change []byte, rotations [][]byte) Claim {
	return Claim{Version: claimVersion, Head: head, Chain: chain, Change: append([]byte{}, change...), Rotations: append([][]byte{}, rotations...)}
}

// Encode returns the claim's one encoding.
func (c Claim) Encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	data, err := wire.Marshal(c)
	if err == nil && len(data) > MaxClaim {
		err = fmt.Errorf("%w: a claim of %d bytes", ErrMalformed, len(data))
	}
	return data, err
}

// ParseClaim reads what Encode wrote. Nothing in it is believed.
func ParseClaim(data []byte) (Claim, error) {
	var c Claim
	if err := wire.Unmarshal(data, &c, wire.Limit{Bytes: MaxClaim, Items: 32, Depth: 2}); err != nil {
		return Claim{}, fmt.Errorf("%w: claim: %w", ErrMalformed, err)
	}
	return c, c.check()
}

func (c Claim) check() error {
	if c.Version != claimVersion || len(c.Head) != HeadLen || len(c.Chain) == 0 || len(c.Chain) > pki.MaxChain || c.Change == nil || c.Rotations == nil || len(c.Rotations) > pki.MaxRoots {
		return fmt.Errorf("%w: claim", ErrMalformed)
	}
	return nil
}

// Verify reports whether a root that is trusted, or that one of those put in its
// place, stands behind the head. The roots of the claim are not kept.
func (c Claim) Verify(trust *pki.TrustStore) (*Head, error) {
	trust, err := trust.Follow(nil, c.Rotations)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigner, err)
	}
	change := c.Change
	if len(change) == 0 {
		change = nil
	}
	t, err := verifyClaim(c.Head, change, &pki.Verifier{Trust: trust}, c.Chain, time.Time{})
	if err != nil {
		return nil, err
	}
	return t.Head(), nil
}
