// Package scenario implements stories about licenses: a line-based text that
// people write and read, run against the evaluator of package license step by
// step, and compiled to vectors in JSON for other implementations. Language and
// JSON are those of docs/spec/scenario.md; both are local.
//
// A story names licenses, moves a clock, and says who asks for what, when, in
// which surroundings, and what must come of it. Parse reads it, Run plays it.
// What does not come out as written is listed in the Result, never an error.
//
// It does not read files or a clock, checks no certificates, moves no license
// between devices and keeps nothing: it shows what the pure functions of
// package license answer. Its licenses are signed with a key that everybody
// knows and are worth nothing.
//
// The promise: the same text gives the same bytes of JSON, what Parse accepts
// prints as a story that compiles to the same steps, and a wrong expectation is
// found.
package scenario
