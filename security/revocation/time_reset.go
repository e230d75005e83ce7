package revocation

import (
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// TimeReset lowers the clock floors of modules that were led into the future: the
// only statement that lowers them, signed by the root.
type TimeReset struct {
	Class  pki.Class `cbor:"1,keyasint"` // of the modules; 0 = all
	MaxLo  int64     `cbor:"2,keyasint"` // Unix ms: no floor stays above it
	Serial uint64    `cbor:"3,keyasint"` // rises; a module obeys each once, and none below the newest
}

// For reports whether the reset is for a module of a class.
func (t TimeReset) For(class pki.Class) bool { return t.Class == resetsEveryone || t.Class == class }

// SignTimeReset signs a reset with the root's key.
func SignTimeReset(root crypto.Signer, der []byte, t TimeReset) ([]byte, error) {
	if t.MaxLo < 0 || t.MaxLo > maxTime || t.Serial == 0 || t.Serial > maxResetSerial {
		return nil, fmt.Errorf("%w: reset", ErrTime)
	}
	payload, err := wire.Marshal(t)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(root, der, objectTimeReset, payload)
}

// VerifyTimeReset checks a reset against the roots that a module trusts.
func VerifyTimeReset(data []byte, trust *pki.TrustStore) (t TimeReset, err error) {
	s, err := wire.ParseSign1(data, objectTimeReset, wire.Limit{Bytes: maxTimeReset, Items: 4, Depth: 3})
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrTime, err)
	}
	if err := wire.Unmarshal(s.Payload, &t, wire.Limit{Bytes: resetPayload, Items: 3, Depth: 1}); err != nil {
		return t, fmt.Errorf("%w: %w", ErrTime, err)
	}
	if t.MaxLo < 0 || t.MaxLo > maxTime || t.Serial == 0 || t.Serial > maxResetSerial {
		return TimeReset{}, fmt.Errorf("%w: reset", ErrTime)
	}
	for _, der := range trust.Roots() {
		if wire.X5T(der) != s.X5T {
			continue
		}
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return TimeReset{}, fmt.Errorf("%w: %w", ErrTime, err)
		}
		if err := s.Verify(root.PublicKey); err != nil {
			return TimeReset{}, fmt.Errorf("%w: %w", ErrTime, err)
		}
		return t, nil
	}
	return TimeReset{}, fmt.Errorf("%w: no root that is trusted here signed the reset", ErrTime)
}
