package trem

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// LinkOrder asks for the proof that this module is behind a link of its courier to
// another (docs/spec/lrp.md section 8). The module signs it under its own ID only.
type LinkOrder struct {
	Link  [32]byte     `cbor:"1,keyasint"` // the link's name
	Relay ident.Device `cbor:"2,keyasint"` // whose link it is: the address of the other courier or its module
	Hello [32]byte     `cbor:"3,keyasint"` // SHA-256 of the HELLO's body without its proof
}

// LinkProof is the answer.
type LinkProof struct {
	Leaf      []byte `cbor:"1,keyasint"` // the module's certificate, DER
	Statement []byte `cbor:"2,keyasint"` // signed object of kind link
}

// ProveLink has the module sign a LinkOrder.
func (c *Client) ProveLink(ctx context.Context, o LinkOrder) (LinkProof, error) {
	return call[LinkProof](ctx, c, CmdLink, o)
}
