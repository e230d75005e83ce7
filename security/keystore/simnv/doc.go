// Package simnv implements simulated registers: files that stand for what a
// TPM or a token keeps.
//
// Source: local, docs/spec/keystore.md. Whoever can write the file can set it
// back together with the vault, so a module with such a register has anchor
// level A0, like one with none; it is for tests, benches and demonstrations.
//
// The promise: towards its user a simulated register behaves as a real one. A
// step that returned is durable, a step that was cut short happened or did not,
// and one process at a time has it.
package simnv
