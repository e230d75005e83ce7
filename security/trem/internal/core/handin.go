package core

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/security/trem/internal/vault"
)

// objectHandedIn is the signed object "handed-in" of docs/spec/objects.md.
const objectHandedIn = wire.Object("handed-in")

// Kinds of vault records of loans that went back to their issuer, and of an
// issuer's database. Source: local, docs/spec/copies.md and issuer-store.md.
const (
	kindHandedIn  = 0x2b
	kindBookedOld = 0x31 // of earlier builds: one mark
	kindBooked    = 0x3e
)

// maxHandedIn bounds the loans that a module remembers to have given back; the
// first ones are forgotten, long after their end. Source: local, docs/spec/copies.md.
const maxHandedIn = 4096

var handedInLimit = wire.Limit{Bytes: 1024, Items: 8, Depth: 3}

// handedIn is a home server's word that it has destroyed a loan, in every version.
type handedIn struct {
	Issuer  ident.Issuer  `cbor:"1,keyasint"`
	License ident.License `cbor:"2,keyasint"`
	At      int64         `cbor:"3,keyasint"` // its time, Unix ms
}

// handedInRecord keeps it, so that the license never comes back here.
type handedInRecord struct {
	_       struct{} `cbor:",toarray"`
	Issuer  ident.Issuer
	License ident.License
	Content ident.Content
	Hash    [32]byte // of the version that was held
	Object  []byte
	Order   uint64 // the newest is the highest
}

type issued struct {
	issuer  ident.Issuer
	license ident.License
}

// bookedRecord is an issuer's: the marks that its database may have, and its
// transfers' incarnation. They are two while nobody knows whether the host has
// written the next one: a crash may come before.
type bookedRecord struct {
	_           struct{} `cbor:",toarray"`
	Shown       [16]byte
	Next        [16]byte
	Incarnation ident.Incarnation // zeros: the vault's
}

// bookedOldRecord is that of earlier builds.
type bookedOldRecord struct {
	_           struct{} `cbor:",toarray"`
	Mark        [16]byte
	Incarnation ident.Incarnation
}

// returns is what a module keeps of loans that it gave back to issuers.
type returns struct {
	in     map[issued]handedInRecord
	booked *bookedRecord
}

// handIn destroys a loan that an issuer lent to this house, before its end. What
// devices of the house have of it comes back first.
func (c *Core) handIn(id ident.Content, r Reading) (trem.HandedIn, error) {
	if err := c.need(pki.HomeServer); err != nil {
		return trem.HandedIn{}, err
	}
	if c.domain == nil {
		return trem.HandedIn{}, stateError("this module manages no domain yet")
	}
	inst := c.loanOf(id)
	if inst == nil {
		return c.handedInBefore(id)
	}
	if inst.state.Phase != license.Held || c.unclosed(inst) {
		return trem.HandedIn{}, stateError("it is on its way; wait until that is closed")
	}
	if c.dwelling(inst) > 0 {
		return trem.HandedIn{}, &trem.RefusalError{Decision: c.returnFirst(inst, permission.Play)}
	}
	if err := c.quiet(inst, r); err != nil {
		return trem.HandedIn{}, err
	}
	info := inst.leaf().Info()
	payload, err := wire.Marshal(handedIn{Issuer: info.Issuer, License: info.ID, At: c.clock.judge(r).Est})
	if err != nil {
		return trem.HandedIn{}, err
	}
	rec := handedInRecord{Issuer: info.Issuer, License: info.ID, Content: info.Content, Hash: inst.leaf().Hash()}
	if rec.Object, err = wire.NewSign1(c.signer, c.identity.Chain[0], objectHandedIn, payload); err != nil {
		return trem.HandedIn{}, err
	}
	for _, old := range c.returns.in {
		rec.Order = max(rec.Order, old.Order+1)
	}
	gone, err := newRecord(kindGone, goneRecord{Hash: rec.Hash})
	if err != nil {
		return trem.HandedIn{}, err
	}
	back, err := newRecord(kindHandedIn, rec)
	if err != nil {
		return trem.HandedIn{}, err
	}
	if err := c.write(true, gone, back); err != nil {
		return trem.HandedIn{}, err
	}
	delete(c.held, rec.Hash)
	c.returns.keep(rec)
	return c.handedBack(rec), nil
}

// loanOf is the loan of an issuer that is held of a content.
func (c *Core) loanOf(id ident.Content) *instance {
	for _, inst := range c.sorted() {
		if inst.leaf().Info().Content == id && isLoan(inst.leaf()) && !inst.leaf().Derived() {
			return inst
		}
	}
	return nil
}

// isLoan reports whether a license says that it is lent.
func isLoan(lic *license.License) bool {
	u := lic.Units().Classification
	return u != nil && u.Charge == permission.ChargeLoan
}

// handedInBefore answers a repetition.
func (c *Core) handedInBefore(id ident.Content) (trem.HandedIn, error) {
	var newest *handedInRecord
	for _, rec := range c.returns.in {
		if rec.Content == id && (newest == nil || rec.Order > newest.Order) {
			newest = &rec
		}
	}
	if newest == nil {
		return trem.HandedIn{}, &trem.Error{Code: trem.CodeUnknown, Text: "no loan of it is here"}
	}
	return c.handedBack(*newest), nil
}

func (c *Core) handedBack(rec handedInRecord) trem.HandedIn {
	return trem.HandedIn{
		Proof: trem.Proof{Object: rec.Object, Chain: c.identity.Chain}, License: rec.License, Issuer: rec.Issuer, Domain: c.domain.pairwise(rec.Issuer),
	}
}

func (r *returns) keep(rec handedInRecord) {
	if r.in == nil {
		r.in = map[issued]handedInRecord{}
	}
	r.in[issued{rec.Issuer, rec.License}] = rec
	if len(r.in) > maxHandedIn {
		first := slices.MinFunc(slices.Collect(maps.Values(r.in)), func(a, b handedInRecord) int { return cmp.Compare(a.Order, b.Order) })
		delete(r.in, issued{first.Issuer, first.License})
	}
}

// notHandedIn refuses a license that was given back here, in any version.
func (c *Core) notHandedIn(inst *instance) error {
	root := inst.root().Info()
	if _, back := c.returns.in[issued{root.Issuer, root.ID}]; back {
		return fmt.Errorf("license: it was given back, and does not come again")
	}
	return nil
}

// checkReturn judges at an issuer what a home server shows.
func (c *Core) checkReturn(p trem.Proof, r Reading) (out trem.Return, err error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return out, err
	}
	peer, err := c.verifier.Verify(p.Chain, c.certTime(r), pki.HomeServer)
	if err != nil {
		return out, rejected(err)
	}
	s, err := wire.ParseSign1(p.Object, objectHandedIn, handedInLimit)
	if err == nil {
		err = s.Verify(peer.Public())
	}
	var h handedIn
	if err == nil {
		err = wire.Unmarshal(s.Payload, &h, handedInLimit)
	}
	if err == nil && h.Issuer != c.peer.Issuer() {
		err = fmt.Errorf("it is of another issuer")
	}
	if err != nil {
		return out, rejected(fmt.Errorf("handed in: %w", err))
	}
	return trem.Return{License: h.License, Issuer: h.Issuer, Device: peer.ID()}, nil
}

// book compares the mark of the host's database with those that it may have. Another
// one is of an older copy, or this module was put back itself, which looks the same from
// here; nobody serves from it before the operator has accepted it:
// transfers are numbered in a new incarnation from then on. The mark before the next one
// is good until the host has shown the next one.
func (c *Core) book(in trem.Book) (trem.Booked, error) {
	if err := c.need(pki.LicenseIssuer); err != nil {
		return trem.Booked{}, err
	}
	return c.bookMarks(in)
}

func (c *Core) bookMarks(in trem.Book) (trem.Booked, error) {
	rec := bookedRecord{Shown: in.Have, Next: in.Next}
	was := c.returns.booked
	if was != nil {
		rec.Incarnation = was.Incarnation
	}
	older := was != nil && in.Have != was.Shown && in.Have != was.Next
	switch {
	case in.How == trem.BookLook:
		return trem.Booked{Incarnation: c.sending(), Renewed: older, Forgot: c.managed.rec.Forgot}, nil
	case in.How == trem.BookAccept:
		if _, err := rand.Read(rec.Incarnation[:]); err != nil {
			return trem.Booked{}, err
		}
		if err := c.rollsPutBack(); err != nil {
			return trem.Booked{}, err
		}
	case in.How != trem.BookShow:
		return trem.Booked{}, malformed(fmt.Errorf("unknown way %d to show a database", in.How))
	case older:
		return trem.Booked{}, stateError("the database and this module do not belong together: one of the two is older, or new")
	}
	data, err := newRecord(kindBooked, rec)
	if err != nil {
		return trem.Booked{}, err
	}
	if err := c.write(in.Have != in.Next, data); err != nil { // an older log that lacks the second showing only takes one mark more
		return trem.Booked{}, err
	}
	c.returns.booked = &rec
	return trem.Booked{Incarnation: c.sending(), Renewed: in.How == trem.BookAccept}, nil
}

// sending is the incarnation of this module's transfers: the vault's, or an
// issuer's after its database was an older copy.
func (c *Core) sending() ident.Incarnation {
	if b := c.returns.booked; b != nil && b.Incarnation != (ident.Incarnation{}) {
		return b.Incarnation
	}
	return c.vault.Incarnation()
}

func (c *Core) replayReturns(r vault.Record) error {
	switch r.Kind {
	case kindBooked:
		return replayed(r.Body, func(rec bookedRecord) { c.returns.booked = &rec })
	case kindBookedOld:
		return replayed(r.Body, func(rec bookedOldRecord) {
			c.returns.booked = &bookedRecord{Shown: rec.Mark, Next: rec.Mark, Incarnation: rec.Incarnation}
		})
	}
	return replayed(r.Body, c.returns.keep)
}

// snapshotEnds is what this module knows of time, of services that end and of loans
// that went back.
func (c *Core) snapshotEnds(s *log) {
	c.snapshotTimes(s)
	c.snapshotSunset(s)
	c.snapshotManaged(s)
	if c.returns.booked != nil {
		s.add(kindBooked, *c.returns.booked)
	}
	for _, rec := range slices.SortedFunc(maps.Values(c.returns.in), func(a, b handedInRecord) int { return cmp.Compare(a.Order, b.Order) }) {
		s.add(kindHandedIn, rec)
	}
}
