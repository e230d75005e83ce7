// Package sltp implements the secure license transaction protocol of the
// security model: certificate exchange, mutual authentication by challenge and
// response, session key establishment, and secure license delivery, in the
// files exchange.go, authenticate.go, session.go and deliver.go. On the wire it
// is a profile of EDHOC (RFC 9528), method 0, and of COSE_Encrypt0 (RFC 9052);
// the page is docs/spec/sltp.md.
//
// An Endpoint is a pure state machine that serves both roles and many
// sessions: bytes, the time and randomness in; bytes and events out. The
// destination of a license is the Initiator, its source the Responder. Chains
// travel packed between two that both take that, and as x5chain otherwise.
//
// Beside the exchange there are a request in an established session, one round
// trip (Endpoint.Request); a one-pass push, sealed to a certified key and signed
// (Endpoint.Push, OpenPush); a trigger, with which a source asks to be asked; and
// RSA key transport for destinations without Diffie-Hellman (OpenLegacy), off at
// both ends unless they are configured for it.
//
// It does not carry messages, repeat them by itself, read a clock, store
// anything, decide who may have a license, or know what the messages of
// docs/spec/transfer.md mean, beyond the two that a push may carry. Resumption
// after the session's end is not in it.
//
// The promise: an event about a peer, a trigger aside, comes only after the
// peer's certificate chain was verified and its signature over the whole
// exchange held; a session is given to no peer but the one that was meant; no
// license and no key leaves an Endpoint in clear; and no input makes it panic.
package sltp
