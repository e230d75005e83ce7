package trem

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// The commands of places across the modules of a house. Source: local,
// docs/spec/places.md.
const (
	CmdAskPlace  Command = 66 // device: what its host takes to the keeper
	CmdKeepPlace Command = 67 // home server: the keeper's answer to a device
	CmdTakePlace Command = 68 // device: that answer
	CmdPlaces    Command = 69 // who has the places that this module keeps
)

// PlaceOp says what a device asks its keeper for.
type PlaceOp uint8

// The operations.
const (
	PlaceBegin PlaceOp = 1 // a place, for a session that is to begin
	PlaceBeat  PlaceOp = 2 // heartbeat of a session, every license.Heartbeat ms
	PlaceEnd   PlaceOp = 3 // no session of the license runs here any more
)

// PlaceOutcome is what a keeper answers.
type PlaceOutcome uint8

// The outcomes.
const (
	PlaceGranted PlaceOutcome = 1
	PlaceFull    PlaceOutcome = 2 // others have all of them
	PlaceLost    PlaceOutcome = 3 // another device took it over, or it lapsed
	PlaceEnded   PlaceOutcome = 4
	PlaceAgain   PlaceOutcome = 5 // nothing was done: PlaceTaken.Again is sent instead
)

// PlaceOrder is a host's order to ask for a place, to keep it, or to give it back.
type PlaceOrder struct {
	Op      PlaceOp       `cbor:"1,keyasint"`
	Ask     *Ask          `cbor:"2,keyasint,omitempty"` // BEGIN: as Begin will get it
	Session uint64        `cbor:"3,keyasint,omitzero"`  // BEAT
	License ident.License `cbor:"4,keyasint,omitzero"`  // END: of the PlaceAsk that it began with
	Next    bool          `cbor:"5,keyasint,omitzero"`  // BEGIN: the keeper says FULL of the license asked for; of another one of the title
}

// PlaceAsk is what a device's host takes to the house. The zero PlaceAsk: nobody has
// to be asked.
type PlaceAsk struct {
	Object  []byte        `cbor:"1,keyasint,omitempty" json:"object"` // signed by the device's module
	Chain   [][]byte      `cbor:"2,keyasint,omitempty" json:"chain"`  // its, DER
	License ident.License `cbor:"3,keyasint,omitzero" json:"-"`       // whose places they are
}

// PlaceKept is what the house's host learns of an answer.
type PlaceKept struct {
	Object  []byte        `cbor:"1,keyasint"` // the answer, signed
	Device  ident.Device  `cbor:"2,keyasint"`
	License ident.License `cbor:"3,keyasint"`
	Outcome PlaceOutcome  `cbor:"4,keyasint"`
	Ended   []uint64      `cbor:"5,keyasint,omitempty"` // sessions of this module that gave way
}

// PlaceTaken is what a device's host learns of the keeper's answer.
type PlaceTaken struct {
	Outcome PlaceOutcome  `cbor:"1,keyasint"`
	License ident.License `cbor:"2,keyasint"`
	Holders []Slot        `cbor:"3,keyasint,omitempty"` // FULL and LOST: who has them, oldest first
	By      ident.Device  `cbor:"4,keyasint,omitzero"`  // LOST: who took it over; zero: it lapsed
	Again   *PlaceAsk     `cbor:"5,keyasint,omitempty"` // AGAIN
}

// Slot is a place of a license that somebody has.
type Slot struct {
	License ident.License `cbor:"1,keyasint"`
	Device  ident.Device  `cbor:"2,keyasint"`          // the keeper's: one of its own sessions
	Since   int64         `cbor:"3,keyasint"`          // Unix ms
	Session uint64        `cbor:"4,keyasint,omitzero"` // PLACES: of this module; 0: a device's
}

// AskPlace asks a device's module what is to be taken to its keeper.
func (c *Client) AskPlace(ctx context.Context, o PlaceOrder) (PlaceAsk, error) {
	return call[PlaceAsk](ctx, c, CmdAskPlace, o)
}

// KeepPlace has a home server's module answer what a device of the house asks.
func (c *Client) KeepPlace(ctx context.Context, a PlaceAsk) (PlaceKept, error) {
	return call[PlaceKept](ctx, c, CmdKeepPlace, a)
}

// TakePlace gives a device's module the keeper's answer. One that answers nothing which
// was asked, or is not of its keeper, is CodeRejected and changes nothing.
func (c *Client) TakePlace(ctx context.Context, object []byte) (PlaceTaken, error) {
	return call[PlaceTaken](ctx, c, CmdTakePlace, object)
}

// Places lists the places that a module keeps and that are in use.
func (c *Client) Places(ctx context.Context) ([]Slot, error) {
	return call[[]Slot](ctx, c, CmdPlaces, None{})
}
