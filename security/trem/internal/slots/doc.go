// Package slots implements the places of a house's licenses across its modules
// (evaluator E5): what a device's module asks of the keeper of the slots, which is
// the module of the house's server, what that answers, and the tables of both sides.
//
// Source: local, docs/spec/places.md. Both sides are pure: a message and the time
// since boot go in, a message comes out. Nothing of them is durable. Who may ask,
// and which license a use is of, is the caller's to judge.
//
// The promise: outside of the three minutes after a keeper's start no more sessions
// have a slot than the license says, and a device whose heartbeats are heard has a
// place only while its keeper has a slot for it, whatever couriers lose, repeat,
// delay or make up.
package slots
