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
	LoIss    int64 // time signed by the license's own issuer: a floor for its licenses only
	Relayed  uint8 // Secure through a household peer of this level; 0 = through this TREM's own sync
}

// OutputClass is the kind of an output.
type OutputClass string

// The output classes. Any other is an output of unknown capability.
const (
	OutputInternal OutputClass = "INTERNAL" // this device's own panel or speaker
	OutputDigital  OutputClass = "DIGITAL"
	OutputAnalog   OutputClass = "ANALOG"
	OutputWireless OutputClass = "WIRELESS"
	OutputLink     OutputClass = "LINK"    // a browser of the household, link-encrypted (evaluator E18)
	OutputNetwork  OutputClass = "NETWORK" // a renderer of the house's network, in the clear
)

// Output is one output and what is known about it.
type Output struct {
	Class      OutputClass
	Protection permission.Protection // in force now
	Evidence   Evidence              // whose word it is; 0 means EvidenceHost
	Plugged    int64                 // Unix ms when it came up; 0 = long ago
}

// RegionSource says who asserted a region.
type RegionSource uint8

// The sources; the zero value is no evidence.
const (
	RegionNone   RegionSource = 0
	RegionIssuer RegionSource = 1 // signed by the issuer when it issued
	RegionHome   RegionSource = 2 // signed by the home's domain manager
)

// RegionEvidence is a signed assertion of where the device is (evaluator E6).
type RegionEvidence struct {
	Country string       // ISO 3166-1 alpha-2
	Source  RegionSource //
	At      int64        // Unix ms of the assertion
}

// Open is the heartbeat of a session that the keeper itself runs: it is there until it
// ends, whatever the time is.
const Open int64 = maxTime

// Slot is a session of the license on some device, as the keeper of the slots
// knows it (evaluator E5).
type Slot struct {
	Device ident.Device
	Since  int64 // Unix ms of its begin
	Seen   int64 // Unix ms of its last heartbeat; Open: a session of the keeper itself
	Taken  bool  // another device took it over

	By ident.Device // Taken: that device
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
	Accepted bool // the license's chain was verified when it was accepted
	// AcceptedEpoch is the newest revocation epoch known at acceptance, and
	// CompromisedEpoch the epoch that the issuer's revocation for key compromise
	// names; 0 = there is none.
	AcceptedEpoch, CompromisedEpoch uint64
	Device                          ident.Device
	Domains                         []Membership
	Users                           []ident.User
	Keys                            []ident.Key // keys held under this license instance
	Revoked                         []string    // of "device", "license", "issuer", "version": what is revoked
	RevEpoch                        uint64      // number of the newest revocation epoch known
	StatusAge                       int64       // ms since that epoch was issued
	Level                           uint8       // of the TREM, 1 to 3
	Anchor                          uint8       // of the TREM's vault, 0 to 2
	Outputs                         []Output    // further outputs that would receive the same picture
	Region                          RegionEvidence
	Slots                           []Slot // sessions of this license, where a keeper is in reach
	Offline                         bool   // no keeper of the slots is in reach
	SunsetAt                        int64  // Unix ms from which an accepted sunset holds; 0 = none
	// Grace replaces the built-in clock grace (ms) of a charge model where the
	// license names none; it comes from the device's profile.
	Grace map[permission.Charge]int64
}

// Form is what a rendition is; RENDER needs one, or a destination.
type Form uint8

// The forms of RENDER.
const (
	FormNone  Form = 0
	FormStill Form = 1
	FormPrint Form = 2
	FormText  Form = 3
)

// Countersigned says whose countersignature a transfer has.
type Countersigned uint64

// The countersignatures; 0 means that the rule's default holds.
const (
	CountersignNone   Countersigned = 1
	CountersignDomain Countersigned = 2
	CountersignIssuer Countersigned = 3
)

// Dest is where a right is to go, or what renders it.
type Dest struct {
	Device   ident.Device
	Domain   ident.Domain // pairwise, under the name that the license's issuer knows
	Level    uint8        // of its TREM, 1 to 3
	Anchor   uint8        // of its vault, 0 to 2
	Country  string       // asserted by a signature; "" = unknown
	Renderer string       // RENDER: the renderer's name
	System   string       // EXPORT: name of the foreign system
	Clear    bool         // EXPORT: what leaves is not protected
}

// Request is what is asked for.
type Request struct {
	Action        permission.Permission
	Tier          Tier      // best tier wanted; 0 = the best permitted
	KID           ident.Key // a key that must be usable; zero = none in particular
	Output        Output    // where the picture is watched
	Part          []byte    // a part of the content; empty = all of it
	FPS           uint64    // pictures a second of the track, rounded up; 0 = unknown
	Confirm       bool      // the user was shown the decision's confirms
	Consent       bool      // the user consented to the report that the license asks for
	Overlay       bool      // the player draws the visible mark
	Takeover      bool      // take over the oldest session where all slots are used
	From          int64     // media ms where a new session starts
	Again         bool      // watch again: close the open play first
	Form          Form      // RENDER
	Dest          *Dest     // COPY, MOVE, TRANSFER, LEND, EXPORT, RENDER
	For           int64     // LEND: duration in ms
	Countersigned Countersigned
	Person        *Person // nil: somebody who keeps the household's rules
}

// Input is all that a decision depends on besides the license.
type Input struct {
	State   State
	Clock   Clock
	Env     Env
	Request Request
}
