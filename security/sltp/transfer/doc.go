// Package transfer implements the exactly-once hand-over of a stateful right
// between two modules, and its loan: the messages (XFER, RECEIPT, DONE, CANCEL,
// QUERY, CLOSED; LEND, RETURNED; RELEASE, CONFIRM), the signed vault HEAD, and
// the machines of the two sides and of the arbiter.
//
// Source: local, docs/spec/transfer.md. The machines are pure: an event goes
// in; records to make durable and messages that may be sent afterwards come
// out. The package does not store, send, wait, or judge a license; its caller
// does, in that order: commit the records, then send.
//
// The promise: if callers commit before they send and replay what they
// committed, then whatever is lost, repeated, reordered or interrupted, a right
// is never usable on both sides and never lost, and when messages get through
// again every transfer ends, and every loan when its end has passed.
package transfer
