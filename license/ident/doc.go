// Package ident implements the common IDs of IEC 62227 and ITU-T H.751 as far
// as a license needs them: content, permission issuer, permission receiver
// (device, domain, user), license, key and transfer.
//
// Every ID is a comparable value that encodes as a CBOR byte string and prints
// in a short form that is safe to log. No ID is a secret and none names a
// person. The promise: two IDs are equal exactly when their bytes are.
package ident
