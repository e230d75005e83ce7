package profile

import (
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/permission"
)

// ErrUnknown is returned for a name that is no profile's.
var ErrUnknown = errors.New("profile: unknown")

// RegionPhase says when the region of a license for such a device is judged. It is
// for who issues: a license that names no phase means ISSUE on every device.
type RegionPhase string

// The phases (evaluator E6).
const (
	AtIssue    RegionPhase = "ISSUE"
	AtFirstUse RegionPhase = "FIRST_USE"
)

// Transfer says what becomes of the licenses when the device is sold.
type Transfer string

// The ways.
const (
	WithHousehold Transfer = "HOUSEHOLD" // they stay with the household
	WithDevice    Transfer = "DEVICE"    // TRANSFER with the device, or wiped
)

// Profile is the set of defaults of a kind of device. Durations are ms.
type Profile struct {
	Name       string                      `json:"name"`
	For        string                      `json:"for"`         // in words
	Offline    int64                       `json:"offline_ms"`  // longest planned time without any peer
	Level      uint8                       `json:"level"`       // security level a device of the kind should have, 1 to 3
	Anchor     uint8                       `json:"anchor"`      // of its store, 0 to 2
	Grace      map[permission.Charge]int64 `json:"clock_grace"` // for license.Env.Grace: powered-on ms by charge model
	RTC        bool                        `json:"rtc"`         // has a clock that runs without power
	PowerCut   bool                        `json:"power_cut"`   // power may go at any instant, without notice
	Region     RegionPhase                 `json:"region"`      // phase that an issuer writes who sells to such devices
	Households int                         `json:"households"`  // most in one process; 0 = no bound
	Sale       Transfer                    `json:"sale"`
	Alone      bool                        `json:"alone"` // for license.Env.Offline: as a rule no keeper of slots is in reach
	// Outputs maps what the platform calls a connector to the class of output
	// that the evaluator knows; what is missing is of unknown class.
	Outputs map[string]string `json:"outputs"`
}

const (
	hour = int64(3600_000)
	day  = 24 * hour
)

// UnknownOutput is the class of a connector that a profile does not name.
const UnknownOutput = "UNKNOWN"

// Output is the class of output, for license.Output.Class, that one of the
// platform's connectors has.
func (p Profile) Output(connector string) string {
	if class, ok := p.Outputs[connector]; ok {
		return class
	}
	return UnknownOutput
}

// All lists the profiles: home, mobile, automotive, cloud.
func All() []Profile { return []Profile{Home(), Mobile(), Automotive(), Cloud()} }

// Named finds a profile.
func Named(name string) (Profile, error) {
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("%w: %q", ErrUnknown, name)
}

// Home is a device of a household with its home server near.
func Home() Profile {
	return Profile{
		Name: "home", For: "players and servers of a household", Offline: 30 * day, Level: 1, Anchor: 1, RTC: true, Region: AtIssue, Households: 1, Sale: WithHousehold,
		Grace:   map[permission.Charge]int64{permission.ChargeSubscription: 72 * hour, permission.ChargeRental: 24 * hour},
		Outputs: map[string]string{"panel": "INTERNAL", "speaker": "INTERNAL", "hdmi": "DIGITAL", "displayport": "DIGITAL", "composite": "ANALOG", "miracast": "WIRELESS", "browser": "LINK"},
	}
}

// Mobile is a device that travels: 30 days offline, no domain manager near.
func Mobile() Profile {
	return Profile{
		Name: "mobile", For: "phones and tablets that travel", Offline: 30 * day, Level: 2, Anchor: 1, RTC: true, Region: AtIssue, Households: 1, Sale: WithHousehold, Alone: true,
		Grace:   map[permission.Charge]int64{permission.ChargeSubscription: 30 * day, permission.ChargeRental: 72 * hour},
		Outputs: map[string]string{"panel": "INTERNAL", "speaker": "INTERNAL", "usb-c": "DIGITAL", "cast": "WIRELESS"},
	}
}

// Automotive is a car: power goes at any instant, there may be no clock, the
// region is judged at the first use, and its sale is a TRANSFER or a wipe.
func Automotive() Profile {
	return Profile{
		Name: "automotive", For: "cars", Offline: 30 * day, Level: 2, Anchor: 2, PowerCut: true, Region: AtFirstUse, Households: 1, Sale: WithDevice, Alone: true,
		Grace:   map[permission.Charge]int64{permission.ChargeSubscription: 72 * hour, permission.ChargeRental: 24 * hour},
		Outputs: map[string]string{"dashboard": "INTERNAL", "rear-seat": "INTERNAL", "cabin-audio": "INTERNAL", "phone-projection": "WIRELESS"},
	}
}

// Cloud is a service that holds many households in one process, with its keys
// in a token and time at hand.
func Cloud() Profile {
	return Profile{
		Name: "cloud", For: "media services of many households", Offline: hour, Level: 2, Anchor: 2, RTC: true, Region: AtIssue, Sale: WithHousehold,
		Grace:   map[permission.Charge]int64{permission.ChargeSubscription: hour, permission.ChargeRental: hour},
		Outputs: map[string]string{"browser": "LINK"},
	}
}
