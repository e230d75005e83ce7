// Package core implements the five functions of a trusted and reliable
// execution module (IEC TS 62224, security model): secure key storage (keys.go),
// content decryption (decrypt.go), license validation (validate.go), secure
// clock management (clock.go) and output control (output.go), and with them the
// exactly-once delivery of licenses (deliver.go), the domain (domain.go), its backup
// and recovery (backup.go, restore.go, follow.go), and the witnesses that notice a
// module which was set back (witness.go).
//
// It is one state machine without goroutines: a command and the readings of the
// clocks go in, a reply comes out, and every effect that a reply shows was
// durable before. It reads no clock, network or environment; its folder is its
// only input besides the commands. Hardware anchors, healing from what witnesses
// keep, MOVE, COPY and LEND are not here yet.
//
// The promise: no reply holds a title key or a key bundle in the clear.
package core
