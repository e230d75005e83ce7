package transfer

import (
	"crypto"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Head is a module's statement about its own vault, which peers keep for it:
// a vault that is older than the newest head was rolled back.
type Head struct {
	Device      ident.Device      `cbor:"1,keyasint"`
	Incarnation ident.Incarnation `cbor:"2,keyasint"`
	Counter     uint64            `cbor:"3,keyasint"` // batches in the vault
	Hash        [32]byte          `cbor:"4,keyasint"` // of the vault's log after them
	Epoch       uint64            `cbor:"5,keyasint"` // revocation epoch the device knows, as on the wire
}

// SignHead signs a head with the device's identity key, whose certificate is leaf (DER).
func SignHead(signer crypto.Signer, leaf []byte, h Head) ([]byte, error) {
	payload, err := wire.Marshal(h)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, ObjectHead, payload)
}

// ParseHead reads a head that peer has signed about itself.
func ParseHead(data []byte, peer *pki.Peer) (Head, error) {
	h, sig, err := readHead(data)
	if err != nil {
		return Head{}, err
	}
	if !peer.Verified() {
		return Head{}, pki.ErrNotVerified
	}
	if h.Device != peer.ID() {
		return Head{}, fmt.Errorf("%w: head of another device", ErrReceipt)
	}
	if err := sig.Verify(peer.Public()); err != nil {
		return Head{}, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return h, nil
}

func readHead(data []byte) (h Head, sig *wire.Sign1, err error) {
	if sig, err = wire.ParseSign1(data, ObjectHead, wire.Limit{Bytes: MaxHead, Items: 8, Depth: 3}); err != nil {
		return h, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := wire.Unmarshal(sig.Payload, &h, wire.Limit{Bytes: MaxHead, Items: 8, Depth: 2}); err != nil {
		return h, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return h, sig, nil
}
