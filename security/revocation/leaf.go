package revocation

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/pki"
)

// ClassStatus is how a whole class stands. Source: docs/spec/revocation.md.
type ClassStatus uint8

// The statuses of a class.
const (
	Active    ClassStatus = 0
	Suspended ClassStatus = 1 // for the time being
	Revoked   ClassStatus = 2 // for good: keys are lost
	Retired   ClassStatus = 3 // for good: nothing is wrong, it has ended
)

func (s ClassStatus) String() string {
	return [...]string{"active", "suspended", "revoked", "retired"}[s&3]
}

// MarshalText prints the status for JSON.
func (s ClassStatus) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a status's name.
func (s *ClassStatus) UnmarshalText(text []byte) error {
	for try := Active; try <= Retired; try++ {
		if try.String() == string(text) {
			*s = try
			return nil
		}
	}
	return fmt.Errorf("%w: class status", ErrMalformed)
}

// Reason is why, by the numbers of CRLReason (RFC 5280 section 5.3.1).
type Reason uint8

// The reasons in use.
const (
	Unspecified        Reason = 0
	KeyCompromise      Reason = 1
	CACompromise       Reason = 2
	AffiliationChanged Reason = 3
	Superseded         Reason = 4
	Cessation          Reason = 5
	CertificateHold    Reason = 6
	PrivilegeWithdrawn Reason = 9
)

const maxReason = 10

// Kinds of leaf: their first byte.
const (
	leafClass    = 1
	leafIssuer   = 2
	leafClassCRL = 3 // of a class whose CA also publishes a CRL
)

// classLeafLen is the length of a class leaf in bytes, without the hash of a CRL.
const classLeafLen = 54

// Leaf is what the state says of a class.
type Leaf struct {
	Class    pki.Class   `json:"class"`
	Next     pki.Class   `json:"-"` // the next class ID of the state; of the last leaf, the first one
	Status   ClassStatus `json:"status"`
	Reason   Reason      `json:"reason"`
	MinSVN   uint32      `json:"min_svn"`
	Issued   uint32      `json:"issued_count"`  // end of the allotted indexes, a multiple of PageSize
	Revoked  uint32      `json:"revoked_count"` // members revoked one by one
	PageRoot [32]byte    `json:"-"`
	CRL      [32]byte    `json:"-"` // SHA-256 of the exported CRL that says the same; zero without one
}

// pages is how many pages the class has.
func (l *Leaf) pages() int { return int(l.Issued / PageSize) }

// Encode returns the leaf's bytes. They are few enough for one block of SHA-256.
func (l *Leaf) Encode() []byte {
	b := append(make([]byte, 0, classLeafLen), leafClass)
	b = binary.BigEndian.AppendUint32(b, uint32(l.Class))
	b = binary.BigEndian.AppendUint32(b, uint32(l.Next))
	b = append(b, byte(l.Status)<<4|byte(l.Reason))
	for _, n := range []uint32{l.MinSVN, l.Issued, l.Revoked} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	if b = append(b, l.PageRoot[:]...); l.CRL != (hash{}) {
		b[0] = leafClassCRL
		b = append(b, l.CRL[:]...)
	}
	return b
}

// ParseLeaf reads the leaf of a class.
func ParseLeaf(data []byte) (*Leaf, error) {
	l := &Leaf{}
	if err := l.read(data); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Leaf) read(data []byte) error {
	if len(data) < 1 || len(data) != leafLen(data[0]) {
		return fmt.Errorf("%w: class leaf", ErrMalformed)
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(data[at:]) }
	*l = Leaf{
		Class: pki.Class(u32(1)), Next: pki.Class(u32(5)), Status: ClassStatus(data[9] >> 4), Reason: Reason(data[9] & 15),
		MinSVN: u32(10), Issued: u32(14), Revoked: u32(18), PageRoot: hash(data[22:]),
	}
	if copy(l.CRL[:], data[classLeafLen:]); !l.sound() || (data[0] == leafClassCRL) != (l.CRL != hash{}) {
		return fmt.Errorf("%w: class leaf", ErrMalformed)
	}
	return nil
}

// leafLen is the length of a class leaf of a kind, 0 for another.
func leafLen(kind byte) int {
	switch kind {
	case leafClass:
		return classLeafLen
	case leafClassCRL:
		return classLeafLen + len(hash{})
	}
	return 0
}

// sound checks what the fields demand of each other.
func (l *Leaf) sound() bool {
	return l.Status <= Retired && l.Reason <= maxReason && (l.Status != Active || l.Reason == Unspecified) &&
		l.Issued >= PageSize && l.Issued%PageSize == 0 && l.Revoked <= l.Issued && (l.Status != Revoked || l.Revoked == 0)
}

// check judges a member, but for the page.
func (l *Leaf) check(index, svn uint32) error {
	switch {
	case l.Status == Revoked:
		return pki.ErrClassRevoked
	case l.Status == Suspended:
		return pki.ErrSuspended
	case l.Status == Retired:
		return pki.ErrRetired
	case index >= l.Issued:
		return pki.ErrNotIssued
	case svn < l.MinSVN:
		return pki.ErrSVN
	}
	return nil
}

// IssuerLeaf is what the state says of a license issuer.
type IssuerLeaf struct {
	ID       ident.Issuer
	Next     ident.Issuer // the next issuer ID of the state; of the last leaf, the first one
	LastSeen int64        // Unix ms: when the authority last heard from it
	Sunset   bool         // it has given notice that its service ends

	// Compromised says of keys of this issuer that are revoked since when others
	// had them, by class and index. It is nil of most.
	Compromised []Compromise
}

// MaxCompromised is how many compromised keys of one issuer a state names.
// Source: local, docs/spec/revocation.md.
const MaxCompromised = 64

// Compromise says since when a key that is revoked was in others' hands: what
// was signed with it and accepted before that epoch stands.
type Compromise struct {
	Member pki.Member
	Since  uint64 // epoch, as licenses write it (docs/spec/sltp.md); not 0
}

// maxEpoch is the last epoch as licenses write it. Source: docs/spec/sltp.md.
const maxEpoch = 1<<63 - 1

func compareMembers(a, b pki.Member) int {
	return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Index, b.Index))
}

// soundCompromises checks that a list is ascending, and its epochs can be.
func soundCompromises(list []Compromise) bool {
	for i, c := range list {
		if c.Since == 0 || c.Since > maxEpoch || i > 0 && compareMembers(list[i-1].Member, c.Member) >= 0 {
			return false
		}
	}
	return len(list) <= MaxCompromised
}

// same reports whether two leaves say the same of one issuer.
func (l *IssuerLeaf) same(o *IssuerLeaf) bool {
	return l.ID == o.ID && l.LastSeen == o.LastSeen && l.Sunset == o.Sunset && slices.Equal(l.Compromised, o.Compromised)
}

// Flags of an issuer leaf. Source: local, docs/spec/revocation.md.
const (
	issuerSunset      = 1
	issuerCompromised = 2
)

// Encode returns the leaf's bytes.
func (l *IssuerLeaf) Encode() []byte {
	b := []byte{leafIssuer, 0}
	if l.Sunset {
		b[1] = issuerSunset
	}
	b = append(append(b, byte(len(l.ID))), l.ID...)          //nolint:gosec // at most ident.MaxOpaque
	b = append(append(b, byte(len(l.Next))), l.Next...)      //nolint:gosec // as above
	b = binary.BigEndian.AppendUint64(b, uint64(l.LastSeen)) //nolint:gosec // not negative
	if len(l.Compromised) == 0 {
		return b
	}
	b[1] |= issuerCompromised
	b = append(b, byte(len(l.Compromised))) //nolint:gosec // at most MaxCompromised
	for _, c := range l.Compromised {
		b = binary.BigEndian.AppendUint32(b, uint32(c.Member.Class))
		b = binary.BigEndian.AppendUint32(b, c.Member.Index)
		b = binary.BigEndian.AppendUint64(b, c.Since)
	}
	return b
}

// ParseIssuerLeaf reads the leaf of an issuer.
func ParseIssuerLeaf(data []byte) (*IssuerLeaf, error) {
	r := wire.NewReader(data)
	kind, flags := r.U8(), r.U8()
	l := &IssuerLeaf{Sunset: flags&issuerSunset != 0}
	l.ID = ident.Issuer(r.Bytes(int(r.U8())))
	l.Next = ident.Issuer(r.Bytes(int(r.U8())))
	seen := r.U64()
	l.LastSeen = int64(seen) //nolint:gosec // checked below
	if flags&issuerCompromised != 0 {
		for range r.U8() {
			l.Compromised = append(l.Compromised, Compromise{Member: pki.Member{Class: pki.Class(r.U32()), Index: r.U32()}, Since: r.U64()})
		}
	}
	if r.End() != nil || kind != leafIssuer || flags > issuerSunset|issuerCompromised || (flags&issuerCompromised != 0) != (len(l.Compromised) > 0) || !soundCompromises(l.Compromised) || !validIssuer(l.ID) || !validIssuer(l.Next) || seen > maxTime {
		return nil, fmt.Errorf("%w: issuer leaf", ErrMalformed)
	}
	return l, nil
}

// maxTime is the end of times on the wire: below 2^53 ms. Source: docs/spec/license.md.
const maxTime = 1<<53 - 1

func validIssuer(id ident.Issuer) bool { return len(id) >= 1 && len(id) <= ident.MaxOpaque }
