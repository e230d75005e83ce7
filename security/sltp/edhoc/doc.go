// Package edhoc implements method 0 (signature keys on both sides) of EDHOC,
// Ephemeral Diffie-Hellman Over COSE, RFC 9528: messages 1 to 4, the error
// message, cipher suites 0, 2, 3 and 6, the exporter, key update (appendix H),
// external authorization data, and credentials that are X.509 certificates
// (x5chain, x5t) or named by a key ID (kid).
//
// A chain may travel packed, in about half the bytes, under a header parameter
// for private use: PackedChain, Unpack. A peer that did not say that it takes
// one would reject it; to say so is for its caller's EAD.
//
// Suite -22, from the private-use range, is hybrid: X25519MLKEM768 in place of
// Diffie-Hellman, which section 9.4 allows in method 0, with ES256 and A128GCM.
// The Responder encapsulates. Confidentiality holds while one of ML-KEM-768 and
// X25519 does; authentication is that of ES256 alone. testdata/suite-22.txt is
// an exchange of it, every value, to check another implementation with.
//
// It is a pure state machine: bytes in, bytes out. It does not send, wait,
// read a clock, check certificate chains, know which certificate a reference
// means, or give external authorization data a meaning; its caller does. It has
// no static Diffie-Hellman methods, and no PLAINTEXT_2 of more than 8,160 bytes
// (appendix G), so chains of post-quantum signatures go by reference.
//
// Keys come in through interfaces: a crypto.Signer, whose signatures may be DER
// or r ‖ s, and an Ephemeral, of keys in this process or behind ecdh.KeyExchanger
// and crypto.Decapsulator. The ephemeral private key is used once and then let
// go; it may wait for message_2 as long as the caller keeps the Initiator.
// Pseudorandom keys and plaintexts are overwritten as soon as no step needs them,
// and by Close. The standard library has no way to overwrite the keys it made: of
// those the references are dropped.
//
// Who has both long-term keys, and nothing of this memory, reads no exchange that
// was recorded before. KeyUpdate adds the same for what was exported before it;
// what is exported later it does not save from somebody who has PRK_out now, as a
// new exchange does.
//
// The promise: what the peer said beyond the name of its credential is handed
// out only after the peer's signature over the whole transcript has been
// checked, no step can be done out of order, and no input makes it panic.
package edhoc
