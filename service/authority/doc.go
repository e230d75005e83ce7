// Package authority implements the network side of a trust domain's authority:
// an HTTP handler over security/pki/authority, and the client of the same
// endpoints. The layouts are in docs/spec/authority-api.md.
//
// Everything it publishes is signed and may be relayed and cached by anyone;
// only enrollment believes the sender, and for that asks for a voucher. It does
// not authenticate operators: revoking is done on the authority's own machine,
// in its folder, which the handler reads again when it has changed.
//
// The promise: an answer never leaves before what it says is durable.
package authority
