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
// It does not fetch, store or read a clock, it does not decide when a state is
// too old (that is the license's and the domain's), and it does not yet know
// the root-signed change of the state signer: a head's generation is compared,
// nothing here raises it.
//
// The promise: a State, a Proof and a Trusted head come only from bytes whose
// signer, signature and Merkle root were checked; one set of revocations has
// one encoding; and no input allocates more than a small multiple of its length.
package revocation
