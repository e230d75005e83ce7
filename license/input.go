package license

import (
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Quality says how well the estimate of the time is founded (evaluator E1).
type Quality uint8

// The qualities, weakest first.
const (
	Unset    Quality = 0 // never synced
	Free     Quality = 1 // no RTC: the lower bound plus uptime
	Anchored Quality = 2 // rebooted since; the RTC is plausible but unproven
	Secure   Quality = 3 // authenticated, and covered since by a counter nobody can stop
)

// String is UNSET, FREE, ANCHORED or SECURE.
func (q Quality) String() string {
	if q > Secure {
		return "UNSET"
	}
	return [...]string{"UNSET", "FREE", "ANCHORED", "SECURE"}[q]
}

// MarshalText prints the quality for JSON.
func (q Quality) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// Clock is one reading of the TREM's secure clock. Times are Unix ms UTC.
type Clock struct {
	Lo       int64 // proven lower bound of true time
	Est      int64 // best estimate, at least Lo
	Q        Quality
	Unsynced int64 // powered-on ms since the last Secure sync
	Behind   bool  // the OS clock is behind Lo by more than 5 minutes: a note only
}

// OutputClass is the kind of an output.
type OutputClass string

// The output classes. Any other is an output of unknown capability.
const (
	OutputInternal OutputClass = "INTERNAL" // this device's own panel or speaker
	OutputDigital  OutputClass = "DIGITAL"
	OutputAnalog   OutputClass = "ANALOG"
	OutputWireless OutputClass = "WIRELESS"
	OutputLink     OutputClass = "LINK" // a browser of the household, link-encrypted (evaluator E18)
)

// Output is one output and what is known about it.
type Output struct {
	Class      OutputClass
	Protection permission.Protection // in force now
	Evidence   Evidence              // whose word it is; 0 means EvidenceHost
}

// Membership is a domain that this device belongs to, under the name that the
// license's issuer knows, with the generation it belongs at.
type Membership struct {
	Domain     ident.Domain
	Generation uint64
	NotAfter   int64 // Unix ms; 0 = without end
	Removed    bool  // a signed removal is known
}

// Env is what surrounds the use. Everything but the outputs comes from the
// TREM's own vault, never from the caller of the TREM. The zero Env permits
// nothing.
type Env struct {
	Accepted  bool // the license's chain was verified when it was accepted
	Device    ident.Device
	Domains   []Membership
	Users     []ident.User
	Keys      []ident.Key // keys held under this license instance
	Revoked   []string    // of "device", "license", "issuer", "version": what is revoked
	RevEpoch  uint64      // number of the newest revocation epoch known
	StatusAge int64       // ms since that epoch was issued
	Level     uint8       // of the TREM, 1 to 3
	Anchor    uint8       // of the TREM's vault, 0 to 2
	Outputs   []Output    // further outputs that would receive the same picture
	// Grace replaces the built-in clock grace (ms) of a charge model where the
	// license names none; it comes from the device's profile.
	Grace map[permission.Charge]int64
}

// Request is what is asked for.
type Request struct {
	Action  permission.Permission
	Tier    Tier      // best tier wanted; 0 = the best permitted
	KID     ident.Key // a key that must be usable; zero = none in particular
	Output  Output    // where the picture is watched
	Confirm bool      // the user was shown the decision's confirms
	From    int64     // media ms where a new session starts
	Again   bool      // watch again: close the open play first
}

// Input is all that a decision depends on besides the license.
type Input struct {
	State   State
	Clock   Clock
	Env     Env
	Request Request
}
