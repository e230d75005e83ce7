// Package crl implements certificate revocation lists (RFC 5280 section 5):
// what an authority exports beside its compact revocation state (Issue), and
// the judgment of a path by lists alone (Checker), for peers that have nothing
// else. Source: docs/spec/crl.md.
//
// # What crypto/x509 does and what this package does
//
// crypto/x509 parses a list and checks a signature against a key. It ignores
// critical extensions, the issuing distribution point, whether a list is a
// delta, its freshness and whose it is, and accepts SHA-1. The Checker demands
// all of these: a list of the certificate's own issuer, signed by the very key
// that signed the certificate, with an algorithm of today, nothing critical in
// it that is not understood, in scope for the certificate, fresh, the newest
// held of its scope, and lists for every reason.
//
// It does not build or validate paths (the caller has done that), fetch lists
// or read a clock, and it knows neither indirect lists nor lists signed by
// another key of the issuer: who uses those is refused.
//
// The promise: no certificate passes without a list that covers it; on the
// NIST PKITS suite nothing invalid is accepted, and each valid path that is
// refused has its reason in the test.
package crl
