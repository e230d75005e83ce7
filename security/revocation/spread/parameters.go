package spread

import (
	"bytes"
	_ "embed" // the parameters that are used without a file
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/lares-drm/lares/security/revocation"
)

// Limits of a simulation. Source: local, docs/spec/spread.md.
const (
	MaxDevices = 100_000_000
	MaxDays    = 1000
	maxKinds   = 16   // of devices
	maxSize    = 64   // devices of a household
	maxRate    = 1000 // of anything, in a day
)

// ErrParameters is returned for parameters that cannot be simulated.
var ErrParameters = errors.New("spread: parameters")

// Parameters say who lives where and who meets whom. Rates are means, of
// contacts that come at random; shares are from 0 to 1. A key that is left out is 0.
type Parameters struct {
	Seed    uint64 `json:"seed"`
	Devices int    `json:"devices"`
	Days    int    `json:"days"` // that are simulated; the state is published at the beginning of the first

	HouseholdSizes []float64 `json:"household_sizes"` // weight of households with 1, 2, … devices
	Servers        float64   `json:"servers"`         // share of households with a home server
	ServersOnline  float64   `json:"servers_online"`  // share of the servers that reach the authority
	ServerUp       float64   `json:"server_up"`       // share of the polls that succeed
	PollHours      int       `json:"poll_hours"`      // between two polls of a server
	Kinds          []Kind    `json:"kinds"`           // of devices
	Circle         int       `json:"circle"`          // households on either side that one visits
	FarVisits      float64   `json:"far_visits"`      // share of visits that go anywhere instead
	NewLicenses    float64   `json:"new_licenses"`    // licenses issued after the publication that a device gets in a day
	Plays          float64   `json:"plays"`           // of older licenses, in a day
	MaxAgeShare    float64   `json:"max_age_share"`   // share of those licenses that have a rev_max_age
	MaxAgeDays     float64   `json:"max_age_days"`    // that rev_max_age
	DeltaBytes     int       `json:"delta_bytes"`     // of a step to the new state, without its head
	HelloBytes     int       `json:"hello_bytes"`     // that the epoch adds to the first flight of a contact
}

// Kind is devices that behave alike.
type Kind struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"` // of it among all devices
	Online float64 `json:"online"` // share of these devices that ask the authority themselves
	Direct float64 `json:"direct"` // how often those do, in a day
	Home   float64 `json:"home"`   // how often one meets its own home server, in a day
	Visits float64 `json:"visits"` // how often one meets another household, in a day
}

//go:embed households.json
var example []byte

// Example is the parameters that stand in docs/spec/spread.md.
func Example() Parameters {
	p, err := Parse(example)
	if err != nil {
		panic(err) //nolint:forbidigo // a test parses the file
	}
	return p
}

// Parse reads a file of parameters: JSON, with no keys but these.
func Parse(data []byte) (Parameters, error) {
	var p Parameters
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrParameters, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return p, fmt.Errorf("%w: more than one value", ErrParameters)
	}
	return p, p.check()
}

func (p *Parameters) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrParameters}, args...)...)
	}
	switch {
	case p.Devices < 1 || p.Devices > MaxDevices:
		return bad("devices: 1 to %d", MaxDevices)
	case p.Days < 1 || p.Days > MaxDays:
		return bad("days: 1 to %d", MaxDays)
	case p.PollHours < 1 || p.PollHours > 24*MaxDays:
		return bad("poll_hours: 1 to %d", 24*MaxDays)
	case p.Circle < 1 || p.Circle > MaxDevices:
		return bad("circle: 1 to %d", MaxDevices)
	case p.DeltaBytes < 0 || p.DeltaBytes > revocation.MaxDelta || p.HelloBytes < 0 || p.HelloBytes > 1<<16:
		return bad("delta_bytes, hello_bytes")
	case len(p.HouseholdSizes) < 1 || len(p.HouseholdSizes) > maxSize || !weights(p.HouseholdSizes):
		return bad("household_sizes: 1 to %d weights", maxSize)
	case len(p.Kinds) < 1 || len(p.Kinds) > maxKinds:
		return bad("kinds: 1 to %d", maxKinds)
	case !within(p.MaxAgeDays, MaxDays) || !within(p.NewLicenses, maxRate) || !within(p.Plays, maxRate):
		return bad("max_age_days, new_licenses, plays: 0 to %d", maxRate)
	}
	for _, share := range []float64{p.Servers, p.ServersOnline, p.ServerUp, p.FarVisits, p.MaxAgeShare} {
		if !within(share, 1) {
			return bad("a share is from 0 to 1")
		}
	}
	if p.ServerUp == 0 {
		return bad("server_up: above 0; servers_online says which never are")
	}
	var ws []float64
	for _, k := range p.Kinds {
		ws = append(ws, k.Weight)
		if k.Name == "" || !within(k.Online, 1) || !within(k.Direct, maxRate) || !within(k.Home, maxRate) || !within(k.Visits, maxRate) {
			return bad("kind %q: a name, a share, and rates up to %d", k.Name, maxRate)
		}
	}
	if !weights(ws) {
		return bad("kinds: weights")
	}
	return nil
}

func within(x, most float64) bool { return x >= 0 && x <= most } // not a NaN

// weights reports whether they are finite, not negative and not all zero.
func weights(ws []float64) bool {
	return !slices.ContainsFunc(ws, func(w float64) bool { return !within(w, math.MaxInt32) }) && slices.Max(ws) > 0
}
