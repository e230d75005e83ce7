package revocation

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// NonceLen is the length of a time token's nonce in bytes. Source: docs/spec/time.md.
const NonceLen = 16

// MaxTimeToken is the longest time token in bytes. Source: docs/spec/time.md.
const MaxTimeToken = 256

// ErrTime is returned for a time token that does not hold.
var ErrTime = errors.New("revocation: time token")

const objectTime wire.Object = "time"

type timeToken struct {
	At    uint64         `cbor:"1,keyasint"` // Unix ms
	Nonce [NonceLen]byte `cbor:"2,keyasint"`
}

// SignTime states the time (kept in ms) for a nonce, with the time signer's
// key, whose certificate is leaf.
func SignTime(signer crypto.Signer, leaf []byte, at time.Time, nonce [NonceLen]byte) ([]byte, error) {
	ms := at.UnixMilli()
	if ms < 0 || ms > maxTime {
		return nil, fmt.Errorf("%w: time", ErrTime)
	}
	payload, err := wire.Marshal(timeToken{At: uint64(ms), Nonce: nonce})
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, objectTime, payload)
}

// VerifyTime checks a token against the nonce that was asked with and the time
// signer's chain (leaf first, root not included), and returns the time that it
// states in Unix ms. The signer is judged at that time: a statement counts only
// inside its signer's own validity.
func VerifyTime(token []byte, chain [][]byte, v *pki.Verifier, nonce [NonceLen]byte) (int64, error) {
	s, err := wire.ParseSign1(token, objectTime, wire.Limit{Bytes: MaxTimeToken, Items: 4, Depth: 3})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTime, err)
	}
	var t timeToken
	if err := wire.Unmarshal(s.Payload, &t, wire.Limit{Bytes: 64, Items: 2, Depth: 1}); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTime, err)
	}
	if t.Nonce != nonce {
		return 0, fmt.Errorf("%w: another nonce", ErrTime)
	}
	if t.At > maxTime {
		return 0, fmt.Errorf("%w: time", ErrTime)
	}
	at := int64(t.At)
	peer, err := v.Verify(chain, time.UnixMilli(at), pki.TimeSigner)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTime, err)
	}
	if peer.X5T() != s.X5T {
		return 0, fmt.Errorf("%w: another certificate signed", ErrTime)
	}
	if err := s.Verify(peer.Public()); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTime, err)
	}
	return at, nil
}
