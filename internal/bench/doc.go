// Package bench implements the measurements behind `lares bench`: for each part
// of the system a Bench that measures in this process and gives rows of figures,
// some of them held against a bar. Source: local (docs/performance.md).
//
// Counted things (bytes, allocations) come before timed ones. Time is CPU time
// of this process, all threads and the garbage collector included, since the
// machine may be shared; the kernels of a bench take turns, and a figure is the
// median of its turns. One bench is an exception: that of SLTP has the collector
// off within a turn, counts what each side leaves to it, and has its main flows
// once more with it on. A row without a bar always holds.
//
// It prints nothing, knows no commands, reads no clock and keeps no figure of
// another day or machine: what it did not measure in this run it does not say. A
// further bench is one file with a function that returns a Bench, and one line in
// All.
//
// The promise: names and units of rows are stable, so that two reports compare by
// name; a kernel that does not do what its row says is an error, not a figure.
package bench
