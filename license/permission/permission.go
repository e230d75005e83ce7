package permission

import (
	"errors"
	"fmt"
)

// Permission is an allowed action. Source: IEC TS 62224 license information
// model for PLAY to TRANSFER; LEND and EXPORT are local; the numbers are local.
type Permission uint8

// The permissions.
const (
	Play     Permission = 1 // decrypt continuously and render on this device's outputs
	Render   Permission = 2 // present on a named renderer, or as a still, print or text
	Copy     Permission = 3 // create a second usable instance
	Move     Permission = 4 // relocate the same instance
	Transfer Permission = 5 // move and change the subject
	Lend     Permission = 6 // temporary child to another subject (local)
	Export   Permission = 7 // relay to a foreign system (local)
)

var names = [...]string{Play: "PLAY", Render: "RENDER", Copy: "COPY", Move: "MOVE", Transfer: "TRANSFER", Lend: "LEND", Export: "EXPORT"}

// Errors of this package.
var (
	// ErrMalformed is returned for bytes that are not a permission code of a known profile.
	ErrMalformed = errors.New("permission: malformed code")
	// ErrText is returned for text that is not a permission code.
	ErrText = errors.New("permission: malformed text")
	// ErrInvalid is returned for units that have no encoding.
	ErrInvalid = errors.New("permission: invalid unit")
)

// String is the standard's name, such as PLAY.
func (p Permission) String() string {
	if int(p) < len(names) && names[p] != "" {
		return names[p]
	}
	return fmt.Sprintf("PERMISSION_%d", uint8(p))
}

// MarshalText prints the name, for JSON.
func (p Permission) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a name.
func (p *Permission) UnmarshalText(s []byte) error {
	for i, n := range names {
		if n != "" && n == string(s) {
			*p = Permission(i) // names has 8 entries
			return nil
		}
	}
	return fmt.Errorf("%w: no such permission", ErrText)
}
