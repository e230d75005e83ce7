// Package cli implements the command line of Lares: one file per group of
// commands, and everything that the layers below are injected with. Source:
// local (ARCHITECTURE.md, "Programs").
//
// A command reads its flags, opens what it needs, calls one package of a lower
// floor and prints the answer, as text or, with --json, as one JSON value. It
// decides nothing about a license itself.
//
// Exit statuses are part of the interface: 0 done, 1 error, 2 usage, 3 refused
// (license, key or output), 4 try later, 5 a check or bench row does not hold.
// The promise: a status means the same for every command, an error is printed
// once, on standard error, and standard output carries results only.
package cli
