// Package license implements the license information model of IEC TS 62224:
// the signed license object, its derivation, the evaluation of a permission
// under its conditions, and the state of its use. The byte layouts are those of
// docs/spec/license.md and docs/spec/state.md, the permission code is that of
// package permission.
//
// A License holds no secret and may be shown; keys travel apart, in a
// KeyBundle. Evaluate, Begin, Extend and End are pure functions: time, state
// and surroundings in, decision and new state out. A refusal is a Decision that
// gives every reason, never an error.
//
// It does not store anything, read a clock, watch outputs, or move licenses
// between devices; those are the TREM and the transfer. Conditions that it does
// not evaluate are refused as UNKNOWN_CRITICAL, never passed over.
//
// The promise: the same input gives the same bytes of Decision and State, and
// no state that Extend returns uncommitted allows more than one slice of use
// that is not counted.
package license
