package trem

import "context"

// CmdRelayTime asks a module to pass its newest time token on. Source: local,
// docs/spec/time.md.
const CmdRelayTime Command = 49

// RelayedTime is a time signer's token that a member of the household passes on.
type RelayedTime struct {
	Relay      []byte   `cbor:"1,keyasint" json:"relay"`                // signed by the member
	Member     [][]byte `cbor:"2,keyasint" json:"member"`               // its chain, DER
	Membership []byte   `cbor:"3,keyasint" json:"membership,omitempty"` // nil of the manager
	TimeSigner [][]byte `cbor:"4,keyasint" json:"time_signer"`          // the token's, DER
}

// RelayTime passes the module's newest time token on to a module that has drawn
// nonce. It fails with CodeState when the token is older than a day or of another
// boot.
func (c *Client) RelayTime(ctx context.Context, nonce []byte) (RelayedTime, error) {
	return call[RelayedTime](ctx, c, CmdRelayTime, nonce)
}
