// Package issuer implements the license issuer of the license service model
// (IEC TS 62224): grants, and the licenses that households get for them.
//
// The host decides what was sold or lent and remembers it; the input TREM makes
// and signs licenses, holds the content keys and speaks SLTP. Between them a
// license goes in one durable transaction: the request's key, the count taken
// from the grant, the license's digest and the sealed hand-over, and only after
// the commit does the TREM let it go. Source: local, docs/spec/issuer-store.md.
//
// It keeps no license bodies and no keys, opens no listener and no database
// (Store is implemented by internal/store) and knows no household beyond its
// pairwise domain ID. It takes no payments. The promise: n licenses granted
// are exactly n licenses issued, whatever is lost, repeated or killed.
package issuer
