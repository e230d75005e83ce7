// Package spread implements a simulation of how a new revocation state reaches
// households and their devices: how long it takes, what devices that do not have
// it yet are used for, and what it costs on the wire. IEC TS 62224 leaves how
// millions of devices that are rarely connected are reached; docs/spec/spread.md
// has the model, the parameters and what they mean.
//
// It draws every device of every household and moves them hour by hour; it
// verifies nothing and sends nothing. Contacts come at random, at rates that the
// parameters give; there are no days and nights and no seasons.
//
// It does not say that the parameters are those of any real country. The
// promise: the same parameters give the same bytes.
package spread
