package revocation

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// MaxSignerChange is the longest change of the state signer in bytes. Source:
// docs/spec/revocation.md.
const MaxSignerChange = 256

const objectSigner wire.Object = "state-signer"

// signerChange is the root's word that from a generation on another key signs.
type signerChange struct {
	Generation uint64   `cbor:"1,keyasint"`
	KeyID      [32]byte `cbor:"2,keyasint"`
}

// SignChange states, with the root's key, whose heads count from a generation
// on: the answer to a state signer whose key is lost or stolen. A generation has
// one signer; the first is 0, and needs no word of the root.
func SignChange(rootKey crypto.Signer, root []byte, generation uint64, signer crypto.PublicKey) ([]byte, error) {
	if generation == 0 || generation > maxGeneration {
		return nil, fmt.Errorf("%w: generation %d", ErrEpoch, generation)
	}
	id, err := keyID(signer)
	if err != nil {
		return nil, err
	}
	payload, err := wire.Marshal(signerChange{Generation: generation, KeyID: id})
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(rootKey, root, objectSigner, payload)
}

// maxGeneration is the last generation of a signer. Source: docs/spec/sltp.md, epoch.
const maxGeneration = 1<<23 - 1

// verifyChange reads a change that a root of the trust store signed.
func verifyChange(data []byte, trust *pki.TrustStore) (*signerChange, error) {
	s, err := wire.ParseSign1(data, objectSigner, wire.Limit{Bytes: MaxSignerChange, Items: 4, Depth: 3})
	if err != nil {
		return nil, fmt.Errorf("%w: change of the signer: %w", ErrSigner, err)
	}
	var c signerChange
	if err := wire.Unmarshal(s.Payload, &c, wire.Limit{Bytes: 64, Items: 2, Depth: 1}); err != nil || c.Generation == 0 || c.Generation > maxGeneration {
		return nil, fmt.Errorf("%w: change of the signer", ErrSigner)
	}
	for _, der := range trust.Roots() {
		root, err := x509.ParseCertificate(der)
		if err == nil && wire.X5T(der) == s.X5T && s.Verify(root.PublicKey) == nil {
			return &c, nil
		}
	}
	return nil, fmt.Errorf("%w: no trusted root signed the change of the signer", ErrSigner)
}

// verifyClaim is VerifyHead for a head of any generation. From generation 1 on
// the root must have named the key that signed.
func verifyClaim(head, change []byte, v *pki.Verifier, chain [][]byte, now time.Time) (*Trusted, error) {
	h, err := ParseHead(head)
	if err != nil {
		return nil, err
	}
	if h.Epoch.Generation > 0 {
		c, err := verifyChange(change, v.Trust)
		if err != nil {
			return nil, err
		}
		if c.Generation != h.Epoch.Generation || c.KeyID != h.KeyID {
			return nil, fmt.Errorf("%w: the root named another key for generation %d, or this key for another one", ErrSigner, h.Epoch.Generation)
		}
	}
	return verifyHead(h, v, chain, now)
}
