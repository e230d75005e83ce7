package issuer

import (
	"context"

	"github.com/lares-drm/lares/license/ident"
)

// DomainRoll is a domain that this issuer manages, as its host keeps it. Only the
// issuer's module changes the roll.
type DomainRoll struct {
	Domain     ident.Domain
	Roll       []byte
	Version    uint64 // one more with each change
	Generation uint64
	Devices    uint64 // at one time
	NewAYear   uint64 // 0 = no limit
	Codes      uint64 // to join by, that were made
	Created    int64  // Unix ms
}

// DomainDevice is a device of such a domain. Who is a member the roll says.
type DomainDevice struct {
	Domain   ident.Domain
	ID       ident.Device
	Name     string
	Chain    []byte // certificates, leaf first, DER one after the other
	Delivery []byte // certificate of its delivery key, DER
	Enrolled int64  // Unix ms
}

// JoinCode is what a domain is joined by, as it is kept: not the code.
type JoinCode struct {
	Hash    CodeHash
	Domain  ident.Domain
	Expires int64 // Unix ms
	Idle    bool  // in a full domain, who joins may have the place of an idle device
}

// DomainLetter is a letter that waits for a device.
type DomainLetter struct {
	Domain  ident.Domain
	To      ident.Device
	Number  uint64 // ascending
	From    ident.Device
	Topic   [16]byte
	At      int64 // Unix ms
	Expires int64 // Unix ms
	Bytes   []byte
}

// DomainReader reads domains that this issuer manages.
type DomainReader interface {
	// Rolls returns at most limit domains behind after, in the order of their IDs.
	Rolls(ctx context.Context, after ident.Domain, limit int) ([]DomainRoll, error)
	Roll(ctx context.Context, domain ident.Domain) (DomainRoll, error)
	// Devices returns a domain's devices in the order of their names.
	Devices(ctx context.Context, domain ident.Domain) ([]DomainDevice, error)
	// HomeOf returns the domain that a device has joined last.
	HomeOf(ctx context.Context, device ident.Device) (ident.Domain, error)
	JoinCode(ctx context.Context, hash CodeHash) (JoinCode, error)
	// Waiting returns the letters of a device with numbers above after, oldest first.
	Waiting(ctx context.Context, domain ident.Domain, to ident.Device, after uint64) ([]DomainLetter, error)
}

// DomainTx keeps domains that this issuer manages.
type DomainTx interface {
	// PutRoll records a domain, and its household when it is new. fresh is false when
	// it is there; nothing is written then.
	PutRoll(ctx context.Context, r DomainRoll) (fresh bool, err error)
	// SetRoll replaces roll, generation, limits and codes of a domain whose version is
	// the one before r's; ok is false when it has another one.
	SetRoll(ctx context.Context, r DomainRoll) (ok bool, err error)
	// HoldBox keeps others from the letters of a device until the transaction ends;
	// ErrNotFound: there is no such device.
	HoldBox(ctx context.Context, domain ident.Domain, to ident.Device) error
	// PutDevice records a device, or replaces it, and where it is looked for.
	PutDevice(ctx context.Context, d DomainDevice) error
	// DropDevice forgets a device and its letters. One that is not there is none.
	DropDevice(ctx context.Context, domain ident.Domain, device ident.Device) error
	// DropDomain forgets a domain's roll, devices, letters and codes, and closes its household.
	DropDomain(ctx context.Context, domain ident.Domain) error
}

// JoinTx keeps codes to join by and letters.
type JoinTx interface {
	// PutJoinCode records the code of a domain, in the place of all that it had. fresh
	// is false when another domain has it; nothing is written then.
	PutJoinCode(ctx context.Context, c JoinCode) (fresh bool, err error)
	// PutLetter records a letter. fresh is false when its number is taken.
	PutLetter(ctx context.Context, l DomainLetter) (fresh bool, err error)
	DropLetter(ctx context.Context, domain ident.Domain, to ident.Device, number uint64) error
}
