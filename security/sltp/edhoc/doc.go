// Package edhoc implements method 0 (signature keys on both sides) of EDHOC,
// Ephemeral Diffie-Hellman Over COSE, RFC 9528: messages 1 to 4, the error
// message, cipher suites 0, 2, 3 and 6, the exporter, external authorization
// data, and credentials that are X.509 certificates (x5chain, x5t) or named by
// a key ID (kid).
//
// It is a pure state machine: bytes in, bytes out. It does not send, wait,
// read a clock, check certificate chains, know which certificate a reference
// means, or give external authorization data a meaning; its caller does. It has
// no static Diffie-Hellman methods, no key update and no hybrid suite.
//
// The promise: what the peer said beyond the name of its credential is handed
// out only after the peer's signature over the whole transcript has been
// checked, no step can be done out of order, and no input makes it panic.
package edhoc
