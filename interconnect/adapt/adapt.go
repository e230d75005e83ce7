package adapt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// Errors of the contract.
var (
	// ErrNotExportable is returned by Export for a license whose data export
	// condition does not name the system.
	ErrNotExportable = errors.New("adapt: the license is not exportable to this system")
	// ErrNoRights is returned by Import for a well-formed document that states
	// no rights. What is not granted is not permitted, so there is nothing to propose.
	ErrNoRights = errors.New("adapt: the document states no rights")
	// ErrDocument is returned by Import for bytes that are not of the system.
	ErrDocument = errors.New("adapt: not a document of this system")
	// ErrUnknown is returned by Import for a document whose meaning hangs on
	// something that is not understood here, and that cannot be narrowed.
	ErrUnknown = errors.New("adapt: the document says something that is not understood")
)

// UnheldError is returned by Export for a license with conditions that nobody
// would keep on the other side, and that no narrowing replaces. Relay narrows
// what can be narrowed before it comes to this.
type UnheldError struct {
	System string
	Rights []string // the conditions, as in a Loss
}

func (e *UnheldError) Error() string {
	return fmt.Sprintf("adapt: %s does not keep %s", e.System, strings.Join(e.Rights, ", "))
}

// Unwrap makes it an ErrNotExportable, for callers that need no list.
func (*UnheldError) Unwrap() error { return ErrNotExportable }

// System describes what is on the other side of an adapter: its capabilities.
type System struct {
	// Name as the data export condition of a permission code writes it: 1 to
	// 32 lower case letters, digits, dots and hyphens.
	Name string `json:"name"`
	// Version of the other system's format that is spoken.
	Version string `json:"version"`
	// Live tells that the other side is fed by a session of the trusted module:
	// nothing outlives the session, so nothing is debited ahead, and the module
	// keeps what Holds lists. An artifact of a system that is not live outlives
	// the module's sight.
	Live bool `json:"live"`
	// Permissions that can be expressed there; all others are dropped.
	Permissions []permission.Permission `json:"permissions"`
	// Enforces lists the conditions that the other system itself enforces, by
	// the names of a permission code's text form, such as END_TIME.
	Enforces []string `json:"enforces"`
	// Holds lists the conditions that the module enforces while it feeds the
	// other side. It is empty where Live is false.
	Holds []string `json:"holds"`
	// Imports tells whether documents of the system state rights at all.
	Imports bool `json:"imports"`
	// Keys says in words where a player of the other side has its keys from.
	Keys string `json:"keys"`
}

// Keeps reports whether a condition is kept there, by the other system or by
// the module that feeds it.
func (s *System) Keeps(right string) bool {
	return slices.Contains(s.Enforces, right) || slices.Contains(s.Holds, right)
}

// Proposal is what a foreign document would be as a permission code. An issuer
// or the household decides about it; it grants nothing.
type Proposal struct {
	Code  permission.Code
	About string // what the document is about, in the other system's words; "" = it does not say
	// Policy is the strictest reading of what the document does not say. A
	// license with this code and a looser policy may permit more than the
	// document does, and whoever signs it answers for that.
	Policy license.Policy
	Loss   Loss
}

// Artifact is a document of the other system. It holds no key.
type Artifact struct {
	MediaType string
	Body      []byte
}

// Effect says what became of a right.
type Effect uint8

// The effects.
const (
	// Narrowed: the right exists on the other side, smaller than here.
	Narrowed Effect = 1
	// Dropped: the right does not exist on the other side.
	Dropped Effect = 2
	// Held: the other side cannot enforce it, so the source keeps enforcing it
	// while it feeds the other side.
	Held Effect = 3
)

func (e Effect) String() string {
	switch e {
	case Narrowed:
		return "narrowed"
	case Dropped:
		return "dropped"
	case Held:
		return "held by the source"
	}
	return fmt.Sprintf("effect %d", uint8(e))
}

// MarshalText prints the effect for JSON.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (e *Effect) UnmarshalText(text []byte) error {
	for _, x := range []Effect{Narrowed, Dropped, Held} {
		if x.String() == string(text) {
			*e = x
			return nil
		}
	}
	return fmt.Errorf("adapt: no effect is called %.20q", text)
}

// Lost is one right or protection that is not on the other side as it is here.
type Lost struct {
	Right  string `json:"right"`  // name of the permission code's text form, of Conditions, or the foreign system's own
	Effect Effect `json:"effect"` // what becomes of it
	Words  string `json:"words"`  // one sentence for people
}

// Loss is everything a translation loses. Its order is fixed for one input.
type Loss []Lost

// Has reports whether the loss names a right.
func (l Loss) Has(right string) bool {
	for _, x := range l {
		if x.Right == right {
			return true
		}
	}
	return false
}

// Adapter translates between Lares and one other system. Both directions are
// pure: the same input gives the same output.
type Adapter interface {
	// System describes the other side; the answer never changes.
	System() System
	// Import reads foreign rights. What it does not understand it narrows, and
	// says so in the loss, or it fails: with ErrUnknown, ErrNoRights or ErrDocument.
	Import(ctx context.Context, doc []byte) (Proposal, error)
	// Export writes a license for the other side, at most as wide as the license.
	// It fails with ErrNotExportable where the license does not name the system,
	// and with an UnheldError where nobody would keep a condition. It debits
	// nothing: Relay does.
	Export(ctx context.Context, lic *license.License) (Artifact, Loss, error)
}
