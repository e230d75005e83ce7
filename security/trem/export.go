package trem

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// CmdExport debits what leaves for another DRM system and signs the license that
// says what it is. Source: local, docs/spec/trem.md.
const CmdExport Command = 38

// Limits of an Export. Source: local, docs/spec/trem.md.
const (
	MaxExports = 256 // kept of one license: what a request was answered with
	MaxHolds   = 32  // conditions that a system enforces
)

// Export is an order to let a part of a license go to another DRM system.
type Export struct {
	Request ident.Request `cbor:"1,keyasint"`           // of the host; the same one has the same answer and is debited once
	License [32]byte      `cbor:"2,keyasint"`           // hash of the license
	System  string        `cbor:"3,keyasint"`           // as the license's export condition names it
	Holds   []string      `cbor:"4,keyasint"`           // conditions that the system itself enforces, by their names in a permission code
	Plays   uint64        `cbor:"5,keyasint"`           // of a counted license, where the system counts; 0 = 1
	Trial   bool          `cbor:"6,keyasint,omitempty"` // only say what it would be
}

// Exported is what leaves, or would.
type Exported struct {
	Info    []byte   `cbor:"1,keyasint"`           // the child's LicenseInfo
	Lost    []string `cbor:"2,keyasint"`           // conditions that became others: INTERVAL, PLAY_COUNT
	License []byte   `cbor:"3,keyasint,omitempty"` // the child, signed; none of a trial
}

// Export debits the license and returns the child, after both are durable. A
// refusal is a *RefusalError and debits nothing.
func (c *Client) Export(ctx context.Context, e Export) (Exported, error) {
	return call[Exported](ctx, c, CmdExport, e)
}
