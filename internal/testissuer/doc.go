// Package testissuer implements the test issuer: any policy and any failure from
// one URL, for people who build players and modules. Source: local,
// docs/guide/test-issuer.md.
//
// It makes offers and claim codes at an issuer, and stands in front of that
// issuer's doors to break what its URL says. It makes no keys and knows none: who
// serves it sees to it that the issuer below is a test's. The promise: a scenario
// is its URL and nothing else, so that a bug report needs no more than it.
package testissuer
