// Package vault implements the store of a module: an append-only, sealed,
// hash-chained log of records in batches that are durable whole or not at all.
//
// Source: local, docs/spec/vault.md. It does not know what records mean. It
// makes no witnesses' heads, cannot heal from peers, and without an anchor it
// cannot tell that its whole directory was set back to an older state. One
// process at a time has a vault open.
//
// The promise: what Commit acknowledged is there after any crash, in order and
// unchanged; what was not acknowledged is there whole or not at all; damage is
// an error that names it, never a shorter log; and after any failed write
// nothing more is acknowledged.
package vault
