// Package keystore implements the contract of the place that holds a module's
// two private keys and its sealing key: software, a PKCS#11 token or a TPM.
//
// Source: local, docs/spec/keystore.md. It holds no key itself; backends are
// the packages below it, and keystoretest is the conformance suite that every
// backend passes. It does not make certificates and does not know what is
// sealed.
//
// The promise: no method of the contract returns private bytes, and a backend
// never makes a new identity where one exists.
package keystore
