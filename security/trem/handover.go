package trem

import (
	"context"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp"
)

// Op says what a hand-over does with a license. Source: local, docs/spec/transfer.md.
type Op uint8

// The operations that a host may ask for.
const (
	OpMove Op = 1 // the license goes, with all that is left of it
	OpCopy Op = 2 // a further license goes, one generation on
	OpLend Op = 6 // a child goes that ends by itself
	// OpTransfer gives the license to another house, or to a device of none: it is
	// that one's from then on.
	OpTransfer Op = 3
	// OpBind asks the house's server for a license of one's own, once the shop has
	// ended. It is no hand-over: the house keeps what it has.
	OpBind Op = 7
)

// String is MOVE, COPY, LEND, TRANSFER or BIND; "" for any other.
func (o Op) String() string {
	switch o {
	case OpMove:
		return "MOVE"
	case OpCopy:
		return "COPY"
	case OpLend:
		return "LEND"
	case OpTransfer:
		return "TRANSFER"
	case OpBind:
		return "BIND"
	}
	return ""
}

// MarshalText prints the operation for JSON.
func (o Op) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (o *Op) UnmarshalText(s []byte) error {
	for _, op := range []Op{OpMove, OpCopy, OpLend, OpTransfer, OpBind} {
		if string(s) == op.String() {
			*o = op
			return nil
		}
	}
	return fmt.Errorf("trem: unknown operation %q", s)
}

// Card is what a module must know of another one to hand something over to it
// while it is away: nothing in it is secret.
type Card struct {
	Chain      [][]byte `cbor:"1,keyasint" json:"chain"`                          // leaf first, without the root, DER
	Delivery   []byte   `cbor:"2,keyasint" json:"delivery"`                       // certificate of its delivery key, DER
	Membership []byte   `cbor:"3,keyasint,omitempty" json:"membership,omitempty"` // signed by the house's server; none for the server itself

	// Of a house's server that was asked so: by which name Issuer knows the house.
	Issuer     ident.Issuer `cbor:"4,keyasint,omitzero" json:"issuer,omitempty"`
	Domain     ident.Domain `cbor:"5,keyasint,omitzero" json:"domain,omitzero"`
	Generation uint64       `cbor:"6,keyasint,omitzero" json:"generation,omitzero"`
}

// HandOver is an order to hand a license over.
type HandOver struct {
	Op      Op            `cbor:"1,keyasint"`
	Content ident.Content `cbor:"2,keyasint,omitzero"`
	License ident.License `cbor:"3,keyasint"` // zero: the module chooses among those of Content
	To      Card          `cbor:"4,keyasint"`
	ForMS   int64         `cbor:"5,keyasint"` // LEND: how long, ms
	Plays   uint64        `cbor:"6,keyasint"` // COPY, LEND of a counted license: plays that go; 0 = 1
	HoldMS  int64         `cbor:"7,keyasint"` // MOVE, COPY: the destination confirms within so many ms, or an arbiter may give it back; 0 = for ever
}

// Letter is a message to a module that is not in a session with this one. Who
// carries it reads nothing in it that matters, and may lose or repeat it.
type Letter struct {
	To    ident.Device `cbor:"1,keyasint"`
	Topic [16]byte     `cbor:"2,keyasint"` // a newer letter of one topic makes an older one useless
	Bytes []byte       `cbor:"3,keyasint"`
	Again bool         `cbor:"4,keyasint,omitzero"` // it says what was said before: worth sending once in a while
	Says  uint64       `cbor:"5,keyasint,omitzero"` // two letters of one topic that say the same have the same number
}

// IsLetter reports whether a message that came without connection ID is for Post.
func IsLetter(msg []byte) bool { return sltp.IsLetter(msg) }

// Handed is what a hand-over or a letter led to.
type Handed struct {
	Transfer ident.Transfer `cbor:"1,keyasint"`
	Letters  []Letter       `cbor:"2,keyasint"`
	Events   []Event        `cbor:"3,keyasint"`
}

// Stage says how far a transfer is.
type Stage string

// The stages.
const (
	StageSent        Stage = "SENT"        // it has left; the other side has not said whether it has it
	StageUnconfirmed Stage = "UNCONFIRMED" // it is here; the other side has not closed it
	StageLent        Stage = "LENT"        // a loan that is out
	StageBorrowed    Stage = "BORROWED"    // a loan that is here
	StageReturned    Stage = "RETURNED"    // a loan that was here; the lender has not heard it
	StageInDoubt     Stage = "IN_DOUBT"    // the other side contradicts the record
	StageReleased    Stage = "RELEASED"    // it is here again; the other side has not heard that
)

// Transfer is one transfer that is not closed.
type Transfer struct {
	ID        ident.Transfer `cbor:"1,keyasint" json:"id"`
	Op        string         `cbor:"2,keyasint" json:"op"`
	Stage     Stage          `cbor:"3,keyasint" json:"stage"`
	Peer      ident.Device   `cbor:"4,keyasint" json:"peer"`
	License   ident.License  `cbor:"5,keyasint" json:"license"`
	Content   ident.Content  `cbor:"6,keyasint,omitzero" json:"content,omitzero"` // none of a loan that was here
	Until     int64          `cbor:"7,keyasint" json:"until,omitzero"`            // of a loan, Unix ms
	HoldUntil int64          `cbor:"8,keyasint" json:"hold_until,omitzero"`       // Unix ms; 0: nobody can decide it but the other side
	Cancelled bool           `cbor:"9,keyasint" json:"cancelled,omitzero"`        // it was asked back
}

// HandOver takes a license out of use and returns the letter that carries it. A
// refusal is a *RefusalError.
func (c *Client) HandOver(ctx context.Context, h HandOver) (Handed, error) {
	return call[Handed](ctx, c, CmdHandOver, h)
}

// Post gives the module a letter that came for it.
func (c *Client) Post(ctx context.Context, letter []byte) (Handed, error) {
	return call[Handed](ctx, c, CmdPost, letter)
}

// Letters are the letters that are worth sending now, for all that is not closed.
func (c *Client) Letters(ctx context.Context) (Handed, error) {
	return call[Handed](ctx, c, CmdLetters, None{})
}

// Transfers lists what is not closed.
func (c *Client) Transfers(ctx context.Context) ([]Transfer, error) {
	return call[[]Transfer](ctx, c, CmdTransfers, None{})
}

// Cancel asks an open transfer back, or a loan. Whether it still can be is the
// other side's to say.
func (c *Client) Cancel(ctx context.Context, id ident.Transfer) (Handed, error) {
	return call[Handed](ctx, c, CmdCancel, id)
}

// GiveBack destroys a loan that is here and returns the letter that says so.
func (c *Client) GiveBack(ctx context.Context, id ident.Transfer) (Handed, error) {
	return call[Handed](ctx, c, CmdGiveBack, id)
}

// Yield gives plays that were set aside for this device back to its house.
func (c *Client) Yield(ctx context.Context, id ident.License) (Handed, error) {
	return call[Handed](ctx, c, CmdYield, id)
}

// Leave takes this device out of its house, which is named by its server: what it
// holds of the house is destroyed, and the letter says so. What was set aside or lent,
// and what is on its way, has to go back before.
func (c *Client) Leave(ctx context.Context, server ident.Device) (Handed, error) {
	return call[Handed](ctx, c, CmdLeave, server)
}

// Lost reports to the house's server that the other side of an open transfer is
// lost: of one that left, so that it is given back when its hold is over by signed
// time; of one that came, so that it is confirmed. The server itself decides at once.
func (c *Client) Lost(ctx context.Context, id ident.Transfer) (Handed, error) {
	return call[Handed](ctx, c, CmdLost, id)
}

// Renewal is a new end for a loan that is out.
type Renewal struct {
	Transfer ident.Transfer `cbor:"1,keyasint"`
	ForMS    int64          `cbor:"2,keyasint"` // from now, ms
}

// RenewLoan gives a loan that is out a new end.
func (c *Client) RenewLoan(ctx context.Context, r Renewal) (Handed, error) {
	return call[Handed](ctx, c, CmdRenewLoan, r)
}

// Card is the card of a member of the house that this module manages, whose
// certificates the host knows; without them this module's own, which for a
// house's server says under which name an issuer knows the house.
func (c *Client) Card(ctx context.Context, of Card) (Card, error) {
	return call[Card](ctx, c, CmdCard, of)
}
