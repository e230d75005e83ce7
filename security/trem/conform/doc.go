// Package conform implements the judgment of a trusted module from outside: it
// gives the commands of docs/spec/trem.md to a module behind any stream, right
// ones and wrong ones, and compares the answers with the page. A maker's own
// module is judged by it (`lares trem conform`), and so is ours, in this process
// and in a process of its own.
//
// The module must be new: not enrolled, with nothing in its store. The judge is a
// house of its own (security/trem/trembench), with an authority, a shop and a
// home server, that takes the module in as a device, gives it a purchase and a
// rental by SLTP, and plays them. It does not look into the module's process or
// files, and it judges neither its walls nor its speed. It names no clock.
//
// The promise: a check that holds was seen to hold in this run; one that could
// not be reached is said to be so and does not hold.
package conform
