// Package backend implements what the backends of the keystore contract have in
// common: files that are made once, sealing under a secret, and keys whose
// operations are done elsewhere, in a TPM or a token.
//
// Source: local, docs/spec/keystore.md (Files, Sealing). It does not know what
// the files say, nor where secrets and keys are kept.
//
// The promise: a file is there whole or not at all, none is ever replaced, and
// no key seals twice.
package backend
