// Package soft implements a keystore in software, for security level 1: a
// directory with a sealed key file and the device secret that opens it.
//
// Source: local, docs/spec/keystore.md. Its owner can copy the directory, and
// with it the module: certificates for it say level 1. It does not bind itself
// to the machine, has no anchor against rollback, and takes no password.
//
// The promise: no function returns a private key, a crash at any point leaves
// either no keys or all of them, and existing keys are never replaced.
package soft
