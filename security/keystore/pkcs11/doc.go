// Package pkcs11 implements a keystore in a PKCS#11 token, for security level 2:
// keys that can be used with the token's PIN and that nobody can take out of it.
//
// Source: OASIS PKCS#11 2.40; the file and the choices are local,
// docs/spec/keystore.md. It needs C, and so is in builds with the tag pkcs11
// only; in others Create and Open say so. It has no register against rollback,
// keeps no PIN, and proves to nobody that the keys are in a token.
//
// The promise: keys are made in the token, sensitive and not extractable, or
// refused; no function returns a private key.
package pkcs11
