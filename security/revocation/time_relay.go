package revocation

import (
	"crypto"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/security/pki"
)

// Limits of a relayed time. Source: docs/spec/time.md.
const (
	MaxRelayAge     = 24 * 60 * 60 * 1000    // ms: no older token is relayed
	maxTimeRelay    = MaxTimeToken + 256     // bytes
	maxTimeReset    = 256                    // bytes
	relayItems      = 5                      // of its payload's map
	relayPayload    = MaxTimeToken + 64 + 32 // bytes
	resetPayload    = 64                     // bytes
	maxResetSerial  = 1 << 53
	resetsEveryone  = pki.Class(0)
	objectTimeRelay = wire.Object("time-relay")
	objectTimeReset = wire.Object("time-reset")
)

// TimeRelay is a time signer's token that a member of the household passes on,
// with what has passed since by the member's own clock.
type TimeRelay struct {
	Nonce   [NonceLen]byte `cbor:"1,keyasint"` // of who asks for it
	Token   []byte         `cbor:"2,keyasint"` // as the member received it
	Asked   [NonceLen]byte `cbor:"3,keyasint"` // the nonce in the token
	Elapsed uint64         `cbor:"4,keyasint"` // ms from the token's time to now, by the member's boot clock
}

// SignTimeRelay signs a relayed time with the member's identity key, whose
// certificate is leaf.
func SignTimeRelay(signer crypto.Signer, leaf []byte, t TimeRelay) ([]byte, error) {
	payload, err := wire.Marshal(t)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, objectTimeRelay, payload)
}

// VerifyTimeRelay checks a relayed time of peer, who answers the nonce, against
// the chain of the token's signer. It returns what the token states, in Unix ms,
// and what has passed since, in ms: the first is the signer's word and proves "not
// before", the second is the peer's.
func VerifyTimeRelay(data []byte, peer *pki.Peer, chain [][]byte, v *pki.Verifier, nonce [NonceLen]byte) (at, elapsed int64, err error) {
	s, err := wire.ParseSign1(data, objectTimeRelay, wire.Limit{Bytes: maxTimeRelay, Items: relayItems, Depth: 3})
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrTime, err)
	}
	var t TimeRelay
	if err := wire.Unmarshal(s.Payload, &t, wire.Limit{Bytes: relayPayload, Items: relayItems, Depth: 1}); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrTime, err)
	}
	switch {
	case t.Nonce != nonce:
		return 0, 0, fmt.Errorf("%w: another nonce", ErrTime)
	case t.Elapsed > MaxRelayAge:
		return 0, 0, fmt.Errorf("%w: relayed %d ms after it was made, at most %d", ErrTime, t.Elapsed, MaxRelayAge)
	case !peer.Verified() || peer.X5T() != s.X5T:
		return 0, 0, fmt.Errorf("%w: another certificate signed", ErrTime)
	}
	if err := s.Verify(peer.Public()); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrTime, err)
	}
	at, err = VerifyTime(t.Token, chain, v, t.Asked)
	return at, int64(t.Elapsed), err
}
