// Package lcp implements the adapter for Readium Licensed Content Protection:
// license documents of LCP 1.0 (ISO/IEC 23078-2) in the Basic Encryption Profile
// 1.0, and license status documents (LSD 1.0). Limits and choices:
// docs/spec/lcp.md.
//
// Export writes what a license permits as a draft without keys; Draft.Issue
// makes it a license document with a content key that the caller has, for a
// user's passphrase, signed by a provider. Parse, Verify and Open are the way
// back, and Import reads the rights as a proposal.
//
// The production profiles of LCP are given out by their owner under contract, so
// they are not here: documents of the basic profile open in test readers only.
// A content key of Lares never becomes one of LCP: those are of 32 bytes, for a
// publication that was packed for LCP.
//
// The promise: a document of Export permits no printing and no copying, ends no
// later than its license, and one that was changed does not verify.
package lcp
