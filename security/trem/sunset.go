package trem

import "context"

// SunsetOrder asks an issuer's module for its word on a notice of sunset, or a
// withdrawal, that its host sends to the authority (docs/spec/sunset.md section 3).
type SunsetOrder struct {
	Statement []byte `cbor:"1,keyasint"` // signed with the notice key
	Key       []byte `cbor:"2,keyasint"` // that key, an uncompressed point
}

// SendSunset has an issuer's module sign that its issuer sends a statement: an object of
// kind sunset-sent. It signs for its own issuer only, with its own time.
func (c *Client) SendSunset(ctx context.Context, o SunsetOrder) (Proof, error) {
	return call[Proof](ctx, c, CmdSunset, o)
}
