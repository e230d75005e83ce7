package care

import (
	"time"

	"github.com/lares-drm/lares/security/trem"
)

// Kind is whose state folder it is.
type Kind string

// The kinds of folders. Module is the folder of a trusted module by itself.
const (
	Home      Kind = "home"
	Device    Kind = "device"
	Issuer    Kind = "issuer"
	Authority Kind = "authority"
	Module    Kind = "module"
)

// Facts are what was found about one folder. A check whose fact is nil does not
// concern this kind of folder.
type Facts struct {
	Kind Kind
	Dir  string
	Now  time.Time

	Files     Files
	Disk      Disk
	Port      *Port
	Discovery *Discovery
	Player    *Player   // the trusted module; nil for an authority
	State     State     // the newest revocation state
	Until     time.Time // first end of a certificate; zero: there is none yet
	Peers     []Peer    // who is asked over the network
	Stores    []Store   // what must be whole; empty: not looked at
}

// Port is where the folder's server is, or would be.
type Port struct {
	Serves bool   // a server of this folder answers
	Addr   string // its address, or the one it would take
	Err    error  // why that address cannot be taken or does not answer
}

// Discovery is whether devices find the house in the network, or the device its house.
type Discovery struct {
	Seen    bool  // the house of this folder answered
	Open    bool  // the house is served to the network at all
	Belongs bool  // there is a house to look for
	Err     error // nothing can be asked here
}

// Player is what the trusted module says of itself.
type Player struct {
	Status trem.Status
	Busy   bool  // another command has it open now
	Err    error // it does not start
}

// State is the newest revocation state known, in times of its own clock.
type State struct {
	IssuedAt   time.Time // zero: none
	NextUpdate time.Time // zero: not known here
}

// Peer is somebody who is asked over the network.
type Peer struct {
	Name string // authority, shop, house
	URL  string
	Err  error // no answer
}

// Store is a database or a file of records.
type Store struct {
	Name string
	Err  error // what is wrong with it
}
