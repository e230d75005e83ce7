// Package trembench implements the workloads of benches that need what stands
// behind a module's wall: its vault, how often it waits for it when a license
// changes hands or is played, and a house of modules that one from outside is set
// into.
//
// It is for internal/bench and security/trem/conform, which must not see those
// packages; it measures and holds nothing against a bar. Its keys are made for one run, in the folder that
// it is given, and no module outside of it uses them.
//
// The promise: every figure is of the code that modules run, on the files of
// that folder.
package trembench
