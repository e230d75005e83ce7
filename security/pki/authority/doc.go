// Package authority implements the certification authorities of a trust domain
// (IEC TS 62224, CA classes): the root, the four first-level CAs, device class
// CAs, the state signer and the time signer, as logic over a small directory.
//
// It issues certificates in the profile of docs/spec/certificates.md, numbers
// each class densely, allots indexes in blocks before the first certificate of
// a block leaves, publishes revocation epochs and signs time tokens. What is
// written is durable before anything leaves: a crash costs at most a
// certificate that nobody has seen.
//
// It speaks no network (service/authority does), reads no clock, and keeps its
// keys as files, unless its Dir keeps them elsewhere (Keyring: tokens and TPMs,
// docs/spec/ceremony.md): whoever reads the directory is the authority. The
// root's key is among them; a domain that keeps its root offline moves that one
// file away and brings it back to add CAs or to renew the signers.
//
// The promise: no index is given to two parties, no epoch to two states.
package authority
