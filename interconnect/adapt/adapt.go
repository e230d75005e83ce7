package adapt

import (
	"context"
	"errors"
	"fmt"

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
)

// System describes what is on the other side of an adapter.
type System struct {
	// Name as the data export condition of a permission code writes it: 1 to
	// 32 lower case letters, digits, dots and hyphens.
	Name string
	// Version of the other system's format that is spoken.
	Version string
	// Permissions that can be expressed there; all others are dropped.
	Permissions []permission.Permission
	// Enforces lists the constraints that the other system itself enforces, by
	// the names of a permission code's text form, such as END_TIME.
	Enforces []string
	// Imports tells whether documents of the system state rights at all.
	Imports bool
}

// Proposal is what a foreign document would be as a permission code. An issuer
// or the household decides about it; it grants nothing.
type Proposal struct {
	Code permission.Code
	Loss Loss
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

// Lost is one right or protection that is not on the other side as it is here.
type Lost struct {
	Right  string `json:"right"`  // name of the permission code's text form, or ROBUSTNESS
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
	// Import reads foreign rights. It fails with ErrDocument or ErrNoRights.
	Import(ctx context.Context, doc []byte) (Proposal, error)
	// Export writes a license for the other side, at most as wide as the license. It fails
	// with ErrNotExportable where the license does not name the system.
	Export(ctx context.Context, lic *license.License) (Artifact, Loss, error)
}

// Exportable reads the license's permission code and returns its units, or
// ErrNotExportable when its data export condition does not name the system.
func Exportable(lic *license.License, system string) (*permission.Units, error) {
	units, err := permission.Parse(lic.Info().Code)
	if err != nil {
		return nil, fmt.Errorf("read the permission code: %w", err)
	}
	if !units.Export.Names(system) {
		return nil, fmt.Errorf("%w: its export condition does not name %q", ErrNotExportable, system)
	}
	return units, nil
}

// Rights names what a permission code grants and limits, in the order of the
// text form: the vocabulary in which a Loss must be complete.
func Rights(u *permission.Units) []string {
	var out []string
	add := func(name string, there bool) {
		if there {
			out = append(out, name)
		}
	}
	for p := permission.Render; p <= permission.Lend; p++ {
		add(p.String(), u.Grants(p))
	}
	var start, end, interval, count, resolution, output, acc, part bool
	for i := range u.Usage {
		x := &u.Usage[i]
		if x.Kind.Permission() != permission.Play {
			continue
		}
		start, end = start || x.StartTime != 0, end || x.EndTime != 0
		interval, count = interval || x.Interval != 0, count || x.PlayCount != 0
		resolution, output = resolution || x.MaxPixels != 0, output || x.Output != permission.ProtectNone
		acc, part = acc || x.Accumulated != 0, part || len(x.Part) > 0
	}
	add("START_TIME", start)
	add("END_TIME", end)
	add("INTERVAL", interval)
	add("PLAY_COUNT", count)
	add("RESOLUTION", resolution)
	add("OUTPUT_PROTECTION", output)
	add("ACCUMULATED", acc)
	add("PART", part)
	return out
}
