package sltp

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// MaxMessage is the longest SLTP message in bytes. Source: local, docs/spec/sltp.md.
const MaxMessage = 1 << 16

// bodyLimit bounds a request, a reply or an APP plaintext.
func bodyLimit() wire.Limit { return wire.Limit{Bytes: MaxMessage, Items: 256, Depth: 16} }

// Body is one encoded CBOR item: a message of this page or of
// docs/spec/transfer.md. It may hold keys and prints redacted.
type Body []byte

// Format prints the length only.
func (b Body) Format(w fmt.State, _ rune) { _, _ = fmt.Fprintf(w, "[body of %d bytes]", len(b)) }

// Number is the message number at the head of a body. A signed body
// (COSE_Sign1) has none. What follows the number is not looked at.
func (b Body) Number() (n uint64, ok bool) { return wire.LeadingUint(b, bodyLimit().Items) }

// Numbers of the messages of this page; 1 to 9 are those of docs/spec/transfer.md.
const (
	NumberLicenseRequest = 10
	NumberLicense        = 11
	NumberMoveOpen       = 12
	NumberError          = 13
	NumberRequest        = 14 // a request in a session: [14, EAD_3]
	NumberReply          = 15 // its reply: [15, EAD_4]
)

// Reference names what is asked for: exactly one of a content and a license.
type Reference struct {
	Content ident.Content // empty when License is set
	License ident.License // zero when Content is set
}

type pair struct {
	_     struct{} `cbor:",toarray"`
	Kind  uint64   // 0 content ID, 1 license ID
	Value []byte
}

func (r Reference) pair() (pair, error) {
	switch {
	case r.Content != "" && r.License == ident.License{} && len(r.Content) <= ident.MaxOpaque:
		return pair{Kind: 0, Value: []byte(r.Content)}, nil
	case r.Content == "" && r.License != ident.License{}:
		return pair{Kind: 1, Value: r.License[:]}, nil
	}
	return pair{}, fmt.Errorf("%w: reference", ErrBody)
}

func (p pair) reference() (Reference, error) {
	var r Reference
	switch {
	case p.Kind == 0:
		r.Content = ident.Content(p.Value)
	case p.Kind == 1 && len(p.Value) == ident.Size:
		r.License = ident.License(p.Value)
	}
	_, err := r.pair()
	return r, err
}

// SubjectKind says to whom a license is bound.
type SubjectKind uint8

// The kinds of subject (docs/spec/license.md).
const (
	SubjectDomain SubjectKind = 1
	SubjectDevice SubjectKind = 2
	SubjectUser   SubjectKind = 3
)

// Subject is the wanted subject of a license.
type Subject struct {
	Kind       SubjectKind
	ID         [ident.Size]byte // pairwise domain ID, device ID or pairwise user ID
	Generation uint64           // of the domain; 0 for other kinds
}

func (s Subject) encode() (wire.RawMessage, error) {
	b := make([]byte, 0, 32)
	switch {
	case s.Kind == SubjectDomain:
		b = wire.AppendBytes(wire.AppendUint(wire.AppendArray(b, 3), uint64(s.Kind)), s.ID[:])
		return wire.AppendUint(b, s.Generation), nil
	case s.Kind <= SubjectUser && s.Kind != 0 && s.Generation == 0:
		return wire.AppendBytes(wire.AppendUint(wire.AppendArray(b, 2), uint64(s.Kind)), s.ID[:]), nil
	}
	return nil, fmt.Errorf("%w: subject", ErrBody)
}

func parseSubject(data wire.RawMessage) (s Subject, err error) {
	in, err := wire.ItemsOf(data, 2, 3, wire.Limit{Bytes: 64})
	if err != nil {
		return s, fmt.Errorf("%w: subject", ErrBody)
	}
	s.Kind = SubjectKind(in.Uint(uint64(SubjectUser))) //nolint:gosec // bounded
	in.Fixed(s.ID[:])
	if (in.Len() > 0) != (s.Kind == SubjectDomain) || s.Kind == 0 {
		return s, fmt.Errorf("%w: subject", ErrBody)
	}
	if in.Len() > 0 {
		s.Generation = in.Uint(math.MaxUint64)
	}
	if in.Err() != nil {
		return s, fmt.Errorf("%w: subject", ErrBody)
	}
	return s, nil
}

// LicenseRequest is LICENSE-REQ (10): a destination asks for a license.
type LicenseRequest struct {
	What       Reference
	Permission uint8 // docs/spec/permission.md
	Subject    Subject
	Membership []byte   // COSE_Sign1 that shows the asker in the domain; nil without
	Tiers      []uint64 // wanted, ascending; empty = all
	Level      uint8    // TREM security level of the asker, 1 to 3
}

type licenseRequest struct {
	_          struct{} `cbor:",toarray"`
	Number     uint64
	What       pair
	Permission uint8
	Subject    wire.RawMessage
	Membership []byte
	Tiers      []uint64
	Level      uint8
}

// Encode returns the body.
func (r LicenseRequest) Encode() (Body, error) {
	what, err := r.What.pair()
	if err != nil {
		return nil, err
	}
	subject, err := r.Subject.encode()
	if err != nil {
		return nil, err
	}
	tiers := slices.Clone(r.Tiers)
	if tiers == nil {
		tiers = []uint64{}
	}
	if !ascending(tiers) || r.Membership != nil && len(r.Membership) == 0 {
		return nil, fmt.Errorf("%w: license request", ErrBody)
	}
	return wire.Marshal(licenseRequest{
		Number: NumberLicenseRequest, What: what, Permission: r.Permission,
		Subject: subject, Membership: r.Membership, Tiers: tiers, Level: r.Level,
	})
}

// ParseLicenseRequest reads a LICENSE-REQ body.
func ParseLicenseRequest(body Body) (LicenseRequest, error) {
	var w licenseRequest
	if err := wire.Unmarshal(body, &w, bodyLimit()); err != nil || w.Number != NumberLicenseRequest || w.Tiers == nil {
		return LicenseRequest{}, fmt.Errorf("%w: license request", ErrBody)
	}
	what, err := w.What.reference()
	if err != nil {
		return LicenseRequest{}, err
	}
	subject, err := parseSubject(w.Subject)
	if err != nil {
		return LicenseRequest{}, err
	}
	if !ascending(w.Tiers) || w.Membership != nil && len(w.Membership) == 0 {
		return LicenseRequest{}, fmt.Errorf("%w: license request", ErrBody)
	}
	if len(w.Tiers) == 0 {
		w.Tiers = nil
	}
	return LicenseRequest{What: what, Permission: w.Permission, Subject: subject, Membership: w.Membership, Tiers: w.Tiers, Level: w.Level}, nil
}

func ascending(tiers []uint64) bool {
	for i := 1; i < len(tiers); i++ {
		if tiers[i] <= tiers[i-1] {
			return false
		}
	}
	return true
}

// License is LICENSE (11): a stateless license and its keys. It prints redacted.
type License struct {
	Chain  [][]byte // licenses, the granted one first, then those that it derives from
	Bundle []byte   // KeyBundle (docs/spec/license.md)
}

// Format prints no key.
func (l License) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[license and keys]") }

type licenseBody struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Chain  [][]byte
	Bundle []byte
}

func (b licenseBody) check() error {
	ok := b.Number == NumberLicense && len(b.Chain) > 0 && len(b.Chain) <= 8 && len(b.Bundle) > 0
	for _, l := range b.Chain {
		ok = ok && len(l) > 0
	}
	if !ok {
		return fmt.Errorf("%w: license", ErrBody)
	}
	return nil
}

// Encode returns the body.
func (l License) Encode() (Body, error) {
	b := licenseBody{Number: NumberLicense, Chain: l.Chain, Bundle: l.Bundle}
	if err := b.check(); err != nil {
		return nil, err
	}
	return wire.Marshal(b)
}

// ParseLicense reads a LICENSE body.
func ParseLicense(body Body) (License, error) {
	var b licenseBody
	if err := wire.Unmarshal(body, &b, bodyLimit()); err != nil {
		return License{}, fmt.Errorf("%w: license", ErrBody)
	}
	return License{Chain: b.Chain, Bundle: b.Bundle}, b.check()
}

// All is the amount that stands for everything the license still has.
const All = math.MaxUint64

// MoveOpen is MOVE-OPEN (12): a destination asks a source to move, copy or
// allot rights that it holds. Op is an operation of docs/spec/transfer.md.
type MoveOpen struct {
	What    Reference
	Amounts map[uint8]uint64 // permission to count, or All
	Op      uint8
}

type moveOpen struct {
	_       struct{} `cbor:",toarray"`
	Number  uint64
	What    pair
	Amounts map[uint8]wire.RawMessage
	Op      uint8
}

// Encode returns the body.
func (m MoveOpen) Encode() (Body, error) {
	what, err := m.What.pair()
	if err != nil {
		return nil, err
	}
	amounts := make(map[uint8]wire.RawMessage, len(m.Amounts))
	for perm, n := range m.Amounts {
		var v any = n
		if n == All {
			v = "all"
		}
		if amounts[perm], err = wire.Marshal(v); err != nil {
			return nil, err
		}
	}
	return wire.Marshal(moveOpen{Number: NumberMoveOpen, What: what, Amounts: amounts, Op: m.Op})
}

// ParseMoveOpen reads a MOVE-OPEN body.
func ParseMoveOpen(body Body) (MoveOpen, error) {
	var w moveOpen
	if err := wire.Unmarshal(body, &w, bodyLimit()); err != nil || w.Number != NumberMoveOpen || w.Amounts == nil {
		return MoveOpen{}, fmt.Errorf("%w: move request", ErrBody)
	}
	what, err := w.What.reference()
	if err != nil {
		return MoveOpen{}, err
	}
	m := MoveOpen{What: what, Amounts: make(map[uint8]uint64, len(w.Amounts)), Op: w.Op}
	for perm, raw := range w.Amounts {
		var n uint64
		var all string
		switch {
		case wire.Unmarshal(raw, &n, wire.Limit{}) == nil && n != All:
			m.Amounts[perm] = n
		case wire.Unmarshal(raw, &all, wire.Limit{Bytes: 8}) == nil && all == "all":
			m.Amounts[perm] = All
		default:
			return MoveOpen{}, fmt.Errorf("%w: amount", ErrBody)
		}
	}
	return m, nil
}

// ErrorCode is why a source refuses a request that it has understood.
type ErrorCode uint64

// The error codes. Source: local, docs/spec/sltp.md.
const (
	ErrorRefused     ErrorCode = 1  // by the source's policy
	ErrorBadRequest  ErrorCode = 2  // the body is not understood
	ErrorUnknown     ErrorCode = 3  // no such content or license here
	ErrorNoGrant     ErrorCode = 4  // nothing was granted to this party
	ErrorExhausted   ErrorCode = 5  // granted, and used up
	ErrorNotMember   ErrorCode = 6  // not shown to be in the domain
	ErrorRevoked     ErrorCode = 7  // party or license is revoked
	ErrorStaleEpoch  ErrorCode = 8  // the asker's revocation state is too old
	ErrorSuiteFloor  ErrorCode = 9  // the session's suite is too weak for this license
	ErrorLevel       ErrorCode = 10 // the asker's security level or anchor is too low
	ErrorTryLater    ErrorCode = 11 // see RetryMS
	ErrorConflict    ErrorCode = 12 // the request ID was used for another request
	ErrorUnavailable ErrorCode = 13 // the source failed; nothing was granted
	ErrorDomainFull  ErrorCode = 14 // it is on as many devices of the house as its issuer allows
	ErrorDomainRate  ErrorCode = 15 // as many new devices as its issuer allows in a year have it
)

var errorNames = [...]string{
	"", "REFUSED", "BAD_REQUEST", "UNKNOWN", "NO_GRANT", "EXHAUSTED", "NOT_MEMBER", "REVOKED",
	"STALE_EPOCH", "SUITE_FLOOR", "LEVEL_TOO_LOW", "TRY_LATER", "CONFLICT", "UNAVAILABLE", "DOMAIN_FULL", "DOMAIN_RATE",
}

func (c ErrorCode) String() string {
	if c > 0 && c < ErrorCode(len(errorNames)) {
		return errorNames[c]
	}
	return fmt.Sprintf("ERROR_%d", uint64(c))
}

// ErrorCodeOf reads what String prints.
func ErrorCodeOf(name string) (ErrorCode, bool) {
	i := slices.Index(errorNames[1:], name)
	return ErrorCode(i + 1), i >= 0 //nolint:gosec // an index
}

// ErrorBody is ERROR (13): a refusal.
type ErrorBody struct {
	Code    ErrorCode
	RetryMS uint64 // when to ask again, in ms from now; 0 = not said
}

// Encode returns the body.
func (e ErrorBody) Encode() (Body, error) {
	if e.Code == 0 {
		return nil, fmt.Errorf("%w: error", ErrBody)
	}
	if e.RetryMS == 0 {
		return wire.Marshal([]uint64{NumberError, uint64(e.Code)})
	}
	return wire.Marshal([]uint64{NumberError, uint64(e.Code), e.RetryMS})
}

// ParseError reads an ERROR body.
func ParseError(body Body) (ErrorBody, error) {
	var v []uint64
	if err := wire.Unmarshal(body, &v, wire.Limit{Bytes: 32, Items: 3}); err != nil || len(v) < 2 || v[0] != NumberError || v[1] == 0 ||
		len(v) == 3 && v[2] == 0 {
		return ErrorBody{}, fmt.Errorf("%w: error", ErrBody)
	}
	e := ErrorBody{Code: ErrorCode(v[1])}
	if len(v) == 3 {
		e.RetryMS = v[2]
	}
	return e, nil
}
