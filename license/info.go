package license

import (
	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Limits of a license. Source: local, docs/spec/license.md.
const (
	MaxSize  = 8192      // bytes of a signed license
	MaxKeys  = 32        // key references
	MaxChain = 4         // licenses in a chain, root included
	maxURL   = 256       // bytes of the status URL
	maxTime  = 1<<53 - 1 // ms; every time and duration is exact in JSON
)

// Format is the only value of Info.Format so far.
const Format = 1

// Info is the license information (LicenseInfo): what a license says. Times
// are Unix ms UTC, durations ms, all below 2^53.
type Info struct {
	Format      uint64          `cbor:"1,keyasint" json:"format"` // Format; Sign fills in 0
	ID          ident.License   `cbor:"2,keyasint" json:"id"`
	Issuer      ident.Issuer    `cbor:"3,keyasint" json:"issuer"` // asserted by the signer's certificate
	IssuedAt    int64           `cbor:"4,keyasint" json:"issued_at"`
	Content     ident.Content   `cbor:"5,keyasint" json:"content"`
	Subject     Subject         `cbor:"6,keyasint" json:"subject"`
	Code        permission.Code `cbor:"7,keyasint" json:"code"`
	Policy      Policy          `cbor:"8,keyasint" json:"policy"`
	Keys        []KeyRef        `cbor:"9,keyasint" json:"keys"`
	Parent      *Parent         `cbor:"10,keyasint,omitempty" json:"parent,omitempty"` // derived licenses only
	RevMinEpoch uint64          `cbor:"11,keyasint" json:"rev_min_epoch"`
	RevMaxAge   int64           `cbor:"12,keyasint,omitempty" json:"rev_max_age,omitempty"` // ms
	Sunset      *Sunset         `cbor:"13,keyasint,omitempty" json:"sunset,omitempty"`
	StatusURL   string          `cbor:"14,keyasint,omitempty" json:"status_url,omitempty"`
	Version     uint64          `cbor:"15,keyasint" json:"version"`                       // from 1; a renewal has version + 1
	Continues   *Continues      `cbor:"16,keyasint,omitempty" json:"continues,omitempty"` // a new ID with the old one's state
}

// SubjectKind says what a subject ID names.
type SubjectKind uint64

// The subjects.
const (
	SubjectDomain SubjectKind = 1 // pairwise domain ID, with a domain generation
	SubjectDevice SubjectKind = 2
	SubjectUser   SubjectKind = 3 // pairwise user ID
)

// Subject is who may use the license: [1, domain, generation], [2, device] or
// [3, user].
type Subject struct {
	Kind       SubjectKind
	ID         [ident.Size]byte
	Generation uint64 // of the domain; 0 otherwise
}

// DomainSubject names a household by its pairwise domain ID and generation.
func DomainSubject(d ident.Domain, generation uint64) Subject {
	return Subject{Kind: SubjectDomain, ID: d, Generation: generation}
}

// DeviceSubject names one TREM.
func DeviceSubject(d ident.Device) Subject { return Subject{Kind: SubjectDevice, ID: d} }

// MarshalCBOR writes the array of the kind's length.
func (s Subject) MarshalCBOR() ([]byte, error) { return wire.Marshal(s) }

// UnmarshalCBOR reads what MarshalCBOR writes.
func (s *Subject) UnmarshalCBOR(data []byte) error {
	return wire.Unmarshal(data, s, wire.Limit{Bytes: 64, Depth: 1})
}

// DerivedKind says how a derived license came from its parent.
type DerivedKind uint64

// The derivations.
const (
	KindCopy      DerivedKind = 1
	KindLoan      DerivedKind = 2
	KindAllowance DerivedKind = 3
	KindExport    DerivedKind = 4
	KindRebind    DerivedKind = 5
)

// Parent refers from a derived license to the license it came from.
type Parent struct {
	_              struct{}    `cbor:",toarray"`
	Hash           [32]byte    `json:"hash"`            // license hash of the parent
	CopyGeneration uint64      `json:"copy_generation"` // of this license; the root's is 0
	Kind           DerivedKind `json:"kind"`
	Index          uint64      `json:"index"` // which child of this parent, from 0
	Of             uint64      `json:"of"`    // the parent's count; 0 = not counted
}

// Sunset says what becomes of the license when its issuer is gone.
type Sunset struct {
	Mode      uint64 `json:"mode"`                 // 1 re-bind, 2 release
	SilenceMS int64  `json:"silence_ms"`           // at least 365 days
	NoticeKey []byte `json:"notice_key"`           // who may announce it
	FreeAfter int64  `json:"free_after,omitempty"` // 0 = never by date alone
}

// minSilence is 365 days in ms. Source: docs/spec/license.md.
const minSilence = 365 * 86400_000

// MarshalCBOR writes [mode, silence_ms, notice_key, ? free_after].
func (s Sunset) MarshalCBOR() ([]byte, error) { return wire.Marshal(s) }

// UnmarshalCBOR reads what MarshalCBOR writes.
func (s *Sunset) UnmarshalCBOR(data []byte) error { return wire.Unmarshal(data, s, itemLimit()) }

// Continues names the license whose state a new ID takes over.
type Continues struct {
	_      struct{}      `cbor:",toarray"`
	Issuer ident.Issuer  `json:"issuer"`
	ID     ident.License `json:"id"`
}

// Units decodes the permission code.
func (i *Info) Units() (*permission.Units, error) { return permission.Parse(i.Code) }

// Stateless reports whether the license may be issued without a transfer
// (docs/spec/license.md): a domain's, with nothing that is counted, begins with
// the first use, or leaves the domain. A code that does not parse is not.
func (i *Info) Stateless() bool {
	u, err := i.Units()
	if err != nil || i.Subject.Kind != SubjectDomain || len(u.UnknownCritical(0)) > 0 {
		return false
	}
	for _, x := range u.Usage {
		if x.PlayCount != 0 || x.Accumulated != 0 || x.Interval != 0 {
			return false
		}
	}
	if m := u.Management; m != nil && (m.Copy == permission.CopyCounted || m.Copy == permission.CopyOnce || m.Move == permission.MoveAny || m.Transfer != 0) {
		return false
	}
	return !u.Grants(permission.Lend)
}

// Domain is the subject's pairwise domain ID, or zero for other subjects.
func (s Subject) Domain() ident.Domain {
	if s.Kind != SubjectDomain {
		return ident.Domain{}
	}
	return s.ID
}
