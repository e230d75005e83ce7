package revocation

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// Errors of a Builder. Callers branch on them.
var (
	ErrNoClass = errors.New("revocation: no such class")
	ErrFinal   = errors.New("revocation: a revoked or retired class stays so")
	ErrIndex   = errors.New("revocation: index was never allotted")
	ErrFull    = errors.New("revocation: the class has no more indexes")
)

// Builder makes the next state from one, or the first. It belongs to one goroutine.
type Builder struct{ next *State }

// NewBuilder starts from a state; nil means from nothing.
func NewBuilder(from *State) *Builder {
	b := &Builder{next: &State{}}
	if from != nil {
		b.next.rows, b.next.issuers = slices.Clone(from.rows), slices.Clone(from.issuers)
	}
	return b
}

// Allot raises a class's issuedCount to the end of the page that holds index
// upto-1, and adds the class when it is new. It never falls.
func (b *Builder) Allot(class pki.Class, upto uint32) error {
	if upto > MaxIssued || class == pki.MaxClass {
		return ErrFull
	}
	i, ok := b.next.find(class)
	if !ok {
		b.next.rows = slices.Insert(b.next.rows, i, row{Leaf: Leaf{Class: class}})
	}
	r := &b.next.rows[i]
	if end := (upto + PageSize - 1) / PageSize * PageSize; end > r.Issued || !ok {
		r.Issued, r.PageRoot = max(r.Issued, end, PageSize), hash{}
	}
	return nil
}

// RevokeDevice revokes one member of a class. Twice is no error.
func (b *Builder) RevokeDevice(class pki.Class, index uint32) error {
	r := b.next.row(class)
	switch {
	case r == nil:
		return ErrNoClass
	case index >= r.Issued:
		return ErrIndex
	case r.Status == Revoked:
		return nil // with its class
	}
	r.add([]uint32{index})
	return nil
}

// RevokeDevices revokes members of one class, in any order; a million of them
// costs a small part of what as many RevokeDevice would. Twice is no error.
func (b *Builder) RevokeDevices(class pki.Class, indexes []uint32) error {
	r := b.next.row(class)
	switch {
	case r == nil:
		return ErrNoClass
	case len(indexes) == 0:
		return nil
	}
	if !slices.IsSorted(indexes) {
		indexes = slices.Sorted(slices.Values(indexes))
	}
	if indexes[len(indexes)-1] >= r.Issued {
		return ErrIndex
	}
	if r.Status != Revoked {
		r.add(indexes)
	}
	return nil
}

// RevokeClass revokes a whole class for good.
func (b *Builder) RevokeClass(class pki.Class, why Reason) error {
	r := b.next.row(class)
	if r == nil {
		return ErrNoClass
	}
	if why > maxReason {
		return fmt.Errorf("%w: reason %d", ErrMalformed, why)
	}
	r.Status, r.Reason, r.pages, r.PageRoot = Revoked, why, nil, hash{}
	return nil
}

// Suspend stops a class for the time being; Resume ends that.
func (b *Builder) Suspend(class pki.Class, why Reason) error {
	return b.set(class, Suspended, why)
}

// Resume makes a suspended class active again.
func (b *Builder) Resume(class pki.Class) error { return b.set(class, Active, Unspecified) }

// Retire ends a class for good.
func (b *Builder) Retire(class pki.Class, why Reason) error { return b.set(class, Retired, why) }

func (b *Builder) set(class pki.Class, to ClassStatus, why Reason) error {
	r := b.next.row(class)
	if r == nil {
		return ErrNoClass
	}
	if r.Status == Revoked || r.Status == Retired && to != Retired {
		return ErrFinal
	}
	if why > maxReason {
		return fmt.Errorf("%w: reason %d", ErrMalformed, why)
	}
	r.Status, r.Reason = to, why
	return nil
}

// SetMinSVN demands a security version of every member of a class. It never falls.
func (b *Builder) SetMinSVN(class pki.Class, svn uint32) error {
	r := b.next.row(class)
	if r == nil {
		return ErrNoClass
	}
	r.MinSVN = max(r.MinSVN, svn)
	return nil
}

// SetCRL records the SHA-256 of the CRL that the class's CA publishes for others
// who read CRLs; the zero hash is none.
func (b *Builder) SetCRL(class pki.Class, sha256 [32]byte) error {
	r := b.next.row(class)
	if r == nil {
		return ErrNoClass
	}
	r.CRL = sha256
	return nil
}

// SetIssuer records when the authority last heard from a license issuer, and
// whether its notice of sunset stands.
func (b *Builder) SetIssuer(id ident.Issuer, lastSeen time.Time, sunset bool) error {
	ms := lastSeen.UnixMilli()
	if !validIssuer(id) || ms < 0 || ms > maxTime {
		return fmt.Errorf("%w: issuer", ErrMalformed)
	}
	l := IssuerLeaf{ID: id, LastSeen: ms, Sunset: sunset}
	i, ok := slices.BinarySearchFunc(b.next.issuers, l, func(a, b IssuerLeaf) int { return strings.Compare(string(a.ID), string(b.ID)) })
	if !ok {
		b.next.issuers = slices.Insert(b.next.issuers, i, l)
	}
	l.Compromised = b.next.issuers[i].Compromised
	b.next.issuers[i] = l
	return nil
}

// Compromise revokes a member that signs for an issuer, whose key others had
// since an epoch (as licenses write it): what was accepted before that stands.
// The epoch can be set to an earlier one, never to a later one.
func (b *Builder) Compromise(id ident.Issuer, m pki.Member, since uint64) error {
	i, ok := slices.BinarySearchFunc(b.next.issuers, id, func(a IssuerLeaf, id ident.Issuer) int { return strings.Compare(string(a.ID), string(id)) })
	if !ok {
		return fmt.Errorf("%w: the state has no issuer %v", ErrMalformed, id)
	}
	list := slices.Clone(b.next.issuers[i].Compromised)
	at, ok := slices.BinarySearchFunc(list, m, func(c Compromise, m pki.Member) int { return compareMembers(c.Member, m) })
	if !ok {
		list = slices.Insert(list, at, Compromise{Member: m, Since: since})
	}
	list[at].Since = min(list[at].Since, since)
	if !soundCompromises(list) {
		return fmt.Errorf("%w: epoch %d, or more than %d keys of one issuer", ErrMalformed, since, MaxCompromised)
	}
	if err := b.RevokeDevice(m.Class, m.Index); err != nil {
		return err
	}
	b.next.issuers[i].Compromised = list
	return nil
}

// Issue says which head a Builder is to sign.
type Issue struct {
	Epoch      pki.Epoch
	IssuedAt   time.Time // kept in ms
	NextUpdate time.Time // when a newer head is due
}

// Sign makes the state and signs its head with the state signer's key. The
// Builder may go on afterwards.
func (b *Builder) Sign(signer crypto.Signer, is Issue) (*State, error) {
	s := &State{rows: slices.Clone(b.next.rows), issuers: slices.Clone(b.next.issuers)}
	if n := len(s.rows) + len(s.issuers); n == 0 || n > MaxLeaves {
		return nil, fmt.Errorf("%w: %d leaves", ErrMalformed, n)
	}
	s.seal()
	h := &Head{
		Epoch: is.Epoch, IssuedAt: is.IssuedAt.UnixMilli(), NextUpdate: is.NextUpdate.UnixMilli(),
		Leaves: uint32(len(s.rows) + len(s.issuers)), Root: s.root(), //nolint:gosec // at most MaxLeaves
	}
	if err := h.rules(); err != nil {
		return nil, err
	}
	if err := h.sign(signer); err != nil {
		return nil, err
	}
	s.trusted = Trusted{head: h, memory: &memory{}}
	s.revoked = s.refusal(pki.ErrRevoked)
	return s, nil
}
