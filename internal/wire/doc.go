// Package wire implements the one encoding of Lares: deterministic CBOR
// (RFC 8949 section 4.2.1), COSE_Sign1 and COSE_Encrypt0 (RFC 9052), and a
// bounded reader for the layouts that are not CBOR.
//
// It is the only owner of the CBOR library. Decoding is strict: duplicate or
// unsorted keys, indefinite lengths, non-shortest heads, floats, tags and
// trailing bytes are errors, and every length and count has a limit that the
// caller names. Hence a value has one encoding, and a byte string that was
// accepted may be signed and hashed as it was received.
//
// It does not know what any object means. The promise: no input makes it
// panic, recurse deeper than Limit.Depth, or allocate more than a small
// multiple of the input's own length.
package wire
