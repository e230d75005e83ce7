package trem

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// The commands of a loan that goes back to its issuer, and of an issuer's database.
const (
	CmdHandIn      Command = 50 // home server: destroy a loan before its end
	CmdCheckReturn Command = 51 // issuer: judge what a home server shows
	CmdBook        Command = 53 // issuer: is this the database that was served last?
)

// Proof is a module's signed word and its certificates: a home server's that it has
// destroyed a loan, or an issuer's on a notice of sunset. Nothing in it is secret.
type Proof struct {
	Object []byte   `cbor:"1,keyasint" json:"object"`
	Chain  [][]byte `cbor:"2,keyasint" json:"chain"` // leaf first, without the root, DER
}

// HandedIn is what HandIn returns: the proof, and what its issuer knows the license by.
type HandedIn struct {
	Proof   Proof         `cbor:"1,keyasint" json:"proof"`
	License ident.License `cbor:"2,keyasint" json:"license"`
	Issuer  ident.Issuer  `cbor:"3,keyasint" json:"issuer"`
	Domain  ident.Domain  `cbor:"4,keyasint" json:"domain"` // pairwise
}

// Return is what a proof says, once it was judged.
type Return struct {
	License ident.License `cbor:"1,keyasint"`
	Issuer  ident.Issuer  `cbor:"2,keyasint"`
	Device  ident.Device  `cbor:"3,keyasint"` // that had it
}

// BookHow says for what the host shows its database.
type BookHow uint8

// The ways. Source: local, docs/spec/issuer-store.md section 7.
const (
	BookShow   BookHow = 0 // to serve from it: an older copy is CodeState, and nothing changes
	BookLook   BookHow = 1 // to know how it stands: nothing changes
	BookAccept BookHow = 2 // the operator accepts it though it is an older copy
)

// Book shows an issuer's module the mark of its host's database, and the next one.
type Book struct {
	Have [16]byte `cbor:"1,keyasint"` // zeros: the database has none
	Next [16]byte `cbor:"2,keyasint"` // random
	How  BookHow  `cbor:"3,keyasint,omitzero"`
}

// Booked is the incarnation of the transfers from now on.
type Booked struct {
	Incarnation ident.Incarnation `cbor:"1,keyasint"`
	Renewed     bool              `cbor:"2,keyasint"`          // it is a new one; LOOK: the mark is another than the last
	Forgot      bool              `cbor:"3,keyasint,omitzero"` // LOOK: accepted, every domain is made anew
}

// HandIn destroys the loan of a content that its issuer lent to the house, for good.
// Said again it returns the same.
func (c *Client) HandIn(ctx context.Context, id ident.Content) (HandedIn, error) {
	return call[HandedIn](ctx, c, CmdHandIn, id)
}

// CheckReturn judges a proof: signer, certificates and revocation.
func (c *Client) CheckReturn(ctx context.Context, p Proof) (Return, error) {
	return call[Return](ctx, c, CmdCheckReturn, p)
}

// Book tells the module which state of its database its host serves from.
func (c *Client) Book(ctx context.Context, b Book) (Booked, error) {
	return call[Booked](ctx, c, CmdBook, b)
}
