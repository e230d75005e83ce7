// Package tpm implements a keystore in a TPM 2.0, for security level 3 and
// anchor A2: keys that no one can take out of the chip, and a register in its
// non-volatile memory that goes forward only.
//
// Source: TCG TPM 2.0 Library specification; the file and the choices are local,
// docs/spec/keystore.md. It opens no device and no socket: its host gives it a
// stream. It sets no password on the chip's hierarchies, binds nothing to PCRs
// (what booted is not its question), keeps nothing from another program that has
// the folder and the TPM but the private keys, and proves to nobody that they
// are in a TPM: there is no endorsement credential in what it says.
//
// The promise: no function returns a private key, the register is never made
// anew for keys that exist, and who only listens on the chip's bus learns no
// secret.
package tpm
