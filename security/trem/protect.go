package trem

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// The commands of licenses that a house issues for films of its own. Source: local,
// docs/spec/trem.md, The house's own films.
const (
	CmdProtect   Command = 58 // home server: issue the license of an own film
	CmdUnprotect Command = 59 // home server: destroy it
)

// Protected is the license of an own film.
type Protected struct {
	License ident.License `cbor:"1,keyasint" json:"license"`
	Bytes   []byte        `cbor:"2,keyasint" json:"-"` // the license, which holds no secret
}

// Protect has the house's module issue the license of an own film. Sealed is a key
// delivery (content.SealKeys) to the module's own delivery certificate, Status.Delivery:
// the content ID, the duration and the keys that the host has packed the film with. Said
// again with the same keys it returns the same; other keys of the same film are refused
// until Unprotect.
func (c *Client) Protect(ctx context.Context, sealed []byte) (Protected, error) {
	return call[Protected](ctx, c, CmdProtect, sealed)
}

// Unprotect destroys the license of an own film, with its keys: what was packed with them
// plays nowhere any more. One that is lent, or that a device of the house has, is a
// *RefusalError until it is back. One that is not there is no error.
func (c *Client) Unprotect(ctx context.Context, id ident.Content) error {
	_, err := call[None](ctx, c, CmdUnprotect, id)
	return err
}
