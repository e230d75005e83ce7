package revocation

import (
	"fmt"
	"time"

	"github.com/lares-drm/lares/security/pki"
)

// Tier is how far a party may act on the state it has. Source:
// docs/spec/revocation.md, Freshness.
type Tier uint8

// The tiers.
const (
	Fresh   Tier = 1 // a newer head is not due yet
	Stale   Tier = 2 // one is due, and the state is not older than allowed
	Expired Tier = 3 // older than allowed
)

func (t Tier) String() string {
	switch t {
	case Fresh:
		return "fresh"
	case Stale:
		return "stale"
	case Expired:
		return "expired"
	}
	return fmt.Sprintf("tier %d", uint8(t))
}

// MarshalText prints the tier for JSON.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Age is how old the statement is at a trusted time, 0 for one from the future:
// a head is a lower bound of the true time.
func (h *Head) Age(now time.Time) time.Duration {
	return max(0, now.Sub(time.UnixMilli(h.IssuedAt)))
}

// Tier judges the head at a trusted time. maxAge is the license's rev_max_age;
// 0 is none, and then a state is never expired.
func (h *Head) Tier(now time.Time, maxAge time.Duration) Tier {
	switch {
	case maxAge > 0 && h.Age(now) > maxAge:
		return Expired
	case now.After(time.UnixMilli(h.NextUpdate)):
		return Stale
	}
	return Fresh
}

// Contact is a meeting with another party about one license.
type Contact struct {
	Own, Peer  pki.Epoch // of its proof
	SameDomain bool
}

// MayPlay says whether a held license may be played: always, unless the state is
// older than the license allows.
func (t Tier) MayPlay() bool { return t == Fresh || t == Stale }

// MayRelay says whether a license may be passed on to somebody: with a stale
// state to those whose proof is at the own epoch or later, with an expired one
// inside the domain to those at the very same epoch.
func (t Tier) MayRelay(c Contact) bool { return t.may(c) }

// MayMove says whether a license may be moved, copied or lent to somebody. Here a
// party that is behind is never dealt with: two that talk act at the newer epoch.
func (t Tier) MayMove(c Contact) bool { return t.may(c) && c.Peer.Compare(c.Own) >= 0 }

func (t Tier) may(c Contact) bool {
	switch t {
	case Fresh:
		return true
	case Stale:
		return c.Peer.Compare(c.Own) >= 0
	case Expired:
		return c.SameDomain && c.Peer.Compare(c.Own) == 0
	}
	return false
}
