// Package sim implements a deterministic simulation of transfers between
// modules: real machines (security/sltp/transfer) on real vaults, with a disk,
// a relay, clocks and a power supply that do their worst, all from one seed.
//
// Source: local, docs/spec/transfer.md, "The simulation". It judges no license
// and encrypts no message: rights are units of PLAY and COPY of a few licenses,
// and a message arrives as from the party that sent it. It does not run module
// processes, whose own tests do that.
//
// The promise: after every step the disks are read as a power cut would leave
// them, and not one unit is missing or there twice; the same seed gives the
// same run, and each known mistake of an implementation (Mutants) is found.
package sim
