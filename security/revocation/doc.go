// Package revocation implements the revocation state of a trust domain
// (docs/spec/revocation.md): for every class of certificates what stands and
// what does not, as one versioned, compact state under one signed head. It
// takes the place of the certificate revocation lists of IEC TS 62224. Time
// tokens (docs/spec/time.md) live here too, because both are signed statements
// that move a module's floor of time.
//
// A State answers pki.Status. It is immutable: a Builder makes the next one,
// Apply moves to a newer one by an unsigned Delta, and Proof cuts out what one
// party staples to show its standing against a head alone.
//
// A Watch is what a party keeps: it takes what is newer, refuses by name what is
// older, forged or from the future, and keeps the evidence when a signer says two
// things. A Tier says what a party may do with a state of some age.
//
// It does not fetch, store or read a clock. How old a state may be is for the
// license and the domain to say.
//
// The promise: a State, a Proof and a Trusted head come only from bytes whose
// signer, signature and Merkle root were checked; one set of revocations has
// one encoding; and no input allocates more than a small multiple of its length.
package revocation
