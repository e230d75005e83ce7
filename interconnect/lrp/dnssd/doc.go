// Package dnssd implements discovery of the license relay protocol in a home: a home
// server announces itself by DNS-SD over multicast DNS (RFC 6763, RFC 6762) as
// `_lrp._tcp`, and a device finds it. Source: docs/spec/lrp.md section 14.
//
// What is found is a hint and no more: pairing, and the modules, say who it is. It
// names no house, no person, no machine and no title, and no whole address of a
// module. The promise: what is announced is a port, the machine's addresses and eight
// digits that lead nowhere, and nothing after the context has ended.
package dnssd
