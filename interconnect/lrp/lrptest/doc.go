// Package lrptest implements the test kit of the license relay protocol: the
// conformance suite that every binding passes, and a relay that drops, delays,
// repeats, reorders, damages and lies.
//
// It is for tests only. The promise: the same seed makes the relay do the same.
package lrptest
