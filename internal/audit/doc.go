// Package audit implements the operators' log of an issuer: a chain in which
// each entry names the hash of the one before, and signed heads that say how
// long it was. Source: local, docs/spec/audit.md.
//
// It decides nothing, keeps nothing and knows no operator: internal/store keeps
// entries, internal/operator says who acts. It does not hide an entry from who
// may read the log. The promise: an entry that was changed, dropped, inserted or
// moved, and an end that was cut off behind a signed head, are found by whoever
// has the public key.
package audit
