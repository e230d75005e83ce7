package revocation

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// MaxLeaves is the most classes and issuers in a state. Source: local, docs/spec/revocation.md.
const MaxLeaves = 1 << 20

// MaxIssued is the highest issuedCount: the last whole page below 2^32.
const MaxIssued = (1<<16 - 1) * PageSize

// row is a class: its leaf and the pages that are not empty.
type row struct {
	Leaf
	pages []numbered // ascending
}

type numbered struct {
	no     int
	page   *Page
	header byte // of its encoding; this and what follows is set by seal
	bits   int  // of the body
	leaf   hash // leafHash of the encoding
}

// seal fills in what follows from the page.
func (g *numbered) seal() {
	w := g.page.encode()
	g.header, g.bits, g.leaf = w.out[0], w.len()-8, leafHash(w.out)
}

// between returns the pages of a span.
func between(pages []numbered, s span) []numbered {
	at := func(n int) int { return sort.Search(len(pages), func(i int) bool { return pages[i].no >= n }) }
	return pages[at(s.lo):at(s.hi)]
}

func (r *row) page(no int) *Page {
	if no < len(r.pages) && r.pages[no].no == no {
		return r.pages[no].page // no page before it is empty
	}
	if p := between(r.pages, span{no, no + 1}); len(p) == 1 {
		return p[0].page
	}
	return nil
}

// State is what stands and what does not in a trust domain at one epoch,
// immutable. It implements pki.Status.
type State struct {
	rows    []row        // by class
	issuers []IssuerLeaf // by ID
	trusted Trusted
	revoked error // the refusal that is needed most, made once

	compromised []Compromise // of all issuers, by member; nil in most
}

var _ pki.Status = (*State)(nil)

// Head is the signed summary.
func (s *State) Head() *Head { return s.trusted.head }

// Trusted is the head as checked: what OpenProof wants.
func (s *State) Trusted() *Trusted { return &s.trusted }

// Epoch is the head's.
func (s *State) Epoch() pki.Epoch { return s.trusted.head.Epoch }

// Check returns nil for a member in good standing, else an error that wraps
// one of package pki's: ErrRevoked, ErrClassRevoked and so on.
func (s *State) Check(class pki.Class, index, svn uint32) error {
	r := s.row(class)
	if r == nil {
		return s.refusal(pki.ErrUnknownClass)
	}
	if err := r.check(index, svn); err != nil {
		return s.refusal(err)
	}
	if r.page(int(index / PageSize)).Has(uint16(index % PageSize)) {
		if s.revoked == nil {
			return s.refusal(pki.ErrRevoked)
		}
		return s.revoked
	}
	return nil
}

func (s *State) refusal(err error) error { return &standing{s.Epoch(), err} }

// standing is why a member is not in good standing; it wraps one of package
// pki's errors. Its words are made when they are asked for: a state is asked
// far more often than it is read aloud.
type standing struct {
	epoch pki.Epoch
	err   error
}

func (e *standing) Error() string { return fmt.Sprintf("revocation: epoch %v: %v", e.epoch, e.err) }
func (e *standing) Unwrap() error { return e.err }

// Leaf is what the state says of a class.
func (s *State) Leaf(class pki.Class) (Leaf, bool) {
	if r := s.row(class); r != nil {
		return r.Leaf, true
	}
	return Leaf{}, false
}

// Leaves returns the leaves of all classes, by class ID.
func (s *State) Leaves() []Leaf {
	out := make([]Leaf, len(s.rows))
	for i := range s.rows {
		out[i] = s.rows[i].Leaf
	}
	return out
}

// Issuer is what the state says of a license issuer.
func (s *State) Issuer(id ident.Issuer) (IssuerLeaf, bool) {
	i, ok := slices.BinarySearchFunc(s.issuers, id, func(l IssuerLeaf, id ident.Issuer) int { return strings.Compare(string(l.ID), string(id)) })
	if !ok {
		return IssuerLeaf{}, false
	}
	return s.issuers[i], true
}

// Compromised is since which epoch others had the key of a member that is
// revoked for that; false of all others.
func (s *State) Compromised(m pki.Member) (since uint64, ok bool) {
	i, ok := slices.BinarySearchFunc(s.compromised, m, func(c Compromise, m pki.Member) int { return compareMembers(c.Member, m) })
	if !ok {
		return 0, false
	}
	return s.compromised[i].Since, true
}

// AnyCompromised reports whether the state names any such key.
func (s *State) AnyCompromised() bool { return len(s.compromised) > 0 }

func (s *State) row(class pki.Class) *row {
	i, ok := s.find(class)
	if !ok {
		return nil
	}
	return &s.rows[i]
}

// find is where a class is, or where it would be. It is the first step of every
// question, so it is written out.
func (s *State) find(class pki.Class) (int, bool) {
	lo, hi := 0, len(s.rows)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); s.rows[mid].Class < class {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(s.rows) && s.rows[lo].Class == class
}

// seal fills in what follows from the rest: counts, page roots, the links
// between leaves. A page root that is already there is kept.
func (s *State) seal() {
	for i := range s.rows {
		r := &s.rows[i]
		r.Next = s.rows[(i+1)%len(s.rows)].Class
		if r.PageRoot != (hash{}) {
			continue
		}
		r.Revoked = 0
		for j := range r.pages {
			r.Revoked += uint32(r.pages[j].page.Len()) //nolint:gosec // at most PageSize
			if r.pages[j].leaf == (hash{}) {
				r.pages[j].seal()
			}
		}
		r.PageRoot = pagesTree(r.pages)(span{0, r.Leaf.pages()})
	}
	for i := range s.issuers {
		s.issuers[i].Next = s.issuers[(i+1)%len(s.issuers)].ID
	}
	s.sealCompromised()
}

// sealCompromised lists the compromised keys of all issuers. Of one that two of
// them name the earlier epoch counts.
func (s *State) sealCompromised() {
	s.compromised = nil
	for i := range s.issuers {
		s.compromised = append(s.compromised, s.issuers[i].Compromised...)
	}
	slices.SortFunc(s.compromised, func(a, b Compromise) int {
		return cmp.Or(compareMembers(a.Member, b.Member), cmp.Compare(a.Since, b.Since))
	})
	s.compromised = slices.CompactFunc(s.compromised, func(a, b Compromise) bool { return a.Member == b.Member })
}

// leafHashes are the tree's leaves: classes by ID, then issuers by ID.
func (s *State) leafHashes() []hash {
	out := make([]hash, 0, len(s.rows)+len(s.issuers))
	for i := range s.rows {
		out = append(out, leafHash(s.rows[i].Encode()))
	}
	for i := range s.issuers {
		out = append(out, leafHash(s.issuers[i].Encode()))
	}
	return out
}

func (s *State) root() hash {
	leaves := s.leafHashes()
	return treeOf(leaves)(span{0, len(leaves)})
}

// adopt seals the content and accepts it as the state of a checked head.
func (s *State) adopt(t *Trusted) (*State, error) {
	s.seal()
	if int64(len(s.rows)+len(s.issuers)) != int64(t.head.Leaves) || s.root() != t.head.Root {
		return nil, ErrRoot
	}
	s.trusted = *t
	s.revoked = s.refusal(pki.ErrRevoked)
	for _, m := range t.signer.Members() {
		if err := s.Check(m.Class, m.Index, t.signer.SVN()); err != nil {
			return nil, fmt.Errorf("%w: by its own state: %w", ErrSigner, err)
		}
	}
	return s, nil
}

// ParseSnapshot reads a whole state and checks it against its head, and the
// head as VerifyHead does. A state whose own signer is not in good standing in
// it is refused.
func ParseSnapshot(data, head []byte, v *pki.Verifier, chain [][]byte, now time.Time) (*State, error) {
	t, err := VerifyHead(head, v, chain, now)
	if err != nil {
		return nil, err
	}
	s, err := readSnapshot(data)
	if err != nil {
		return nil, err
	}
	return s.adopt(t)
}

// Apply moves to a newer state by an unsigned delta from this one.
func (s *State) Apply(delta, head []byte, v *pki.Verifier, chain [][]byte, now time.Time) (*State, error) {
	t, err := VerifyHead(head, v, chain, now)
	if err != nil {
		return nil, err
	}
	if t.head.Epoch.Compare(s.Epoch()) <= 0 {
		return nil, fmt.Errorf("%w: epoch %v, held %v", ErrOlder, t.head.Epoch, s.Epoch())
	}
	d, err := s.parseDelta(delta)
	if err != nil {
		return nil, err
	}
	next, err := s.apply(d)
	if err != nil {
		return nil, err
	}
	return next.adopt(t)
}
