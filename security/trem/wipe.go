package trem

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// WipeOrder says how a device is wiped.
type WipeOrder struct {
	House  ident.Device `cbor:"1,keyasint"` // server of its house, to be told; zero: nobody is
	GiveUp bool         `cbor:"2,keyasint"` // what cannot go back, and what is only here, is lost
}

// Wiped is how far that has come. Without Done nothing is destroyed: the house is to
// have the letters first, or what would be lost stands in the way.
type Wiped struct {
	Done    bool     `cbor:"1,keyasint"` // the keys are destroyed, and the module ends
	Letters []Letter `cbor:"2,keyasint,omitempty"`
	Lost    []Held   `cbor:"3,keyasint,omitempty"` // what is only here, and was or would be lost
}

// Wipe takes a device out of its house for good: the letter says that its key signs
// nothing more. Said again it destroys the keys and the vault, after which the folder,
// and a copy of it where a token or TPM had the keys, opens nothing.
func (c *Client) Wipe(ctx context.Context, o WipeOrder) (Wiped, error) {
	return call[Wiped](ctx, c, CmdWipe, o)
}
