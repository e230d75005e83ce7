// Package trembench implements the workloads of benches that need what stands
// behind a module's wall: its vault, and how often it waits for it when a license
// changes hands.
//
// It is for internal/bench, which must not see those packages; it measures and
// holds nothing against a bar. Its keys are made for one run, in the folder that
// it is given, and no module outside of it uses them.
//
// The promise: every figure is of the code that modules run, on the files of
// that folder.
package trembench
