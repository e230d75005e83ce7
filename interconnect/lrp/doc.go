// Package lrp implements the license relay protocol of the interconnection
// model (IEC TS 62224): frames, their addresses and types, HELLO negotiation and
// proofs of who is behind a link, transactions, mailboxes, routes, accounts of users
// and gossip, as docs/spec/lrp.md lays them out.
//
// It is pure: bytes and time in, bytes out. Bindings to HTTP and others are in
// the packages below it. It opens no SLTP message and knows no license: it is
// a courier outside the trusted base, and its view is addresses, sizes and
// transaction IDs. What RENEW carries is the authority's (docs/spec/authority-api.md).
//
// The promise: a frame is passed on byte for byte or not at all, a duplicate is
// answered with the same bytes without asking the module again, and nothing
// that a peer sends makes this package keep more than its named limits.
package lrp
