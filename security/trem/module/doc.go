// Package module implements the inside door of the trusted module: it reads
// commands from the inherited stream, takes the readings of the kernel's clocks
// that every command is judged with, hands both to the core, and puts up the
// walls around its own process before the first command.
//
// It decides nothing and knows no secret; the core does. Clock and outputs are
// interfaces in Config, so that tests run this very process with scripted ones;
// the shipped binary has no switch for them. The promise: a wall that does not
// stand on this machine is reported as such.
package module
