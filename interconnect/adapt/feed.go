package adapt

import (
	"fmt"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// Fed lists what the trusted module keeps while it feeds a live system: every
// condition there is, because it evaluates the license itself before each
// slice, and gives no key for what the license does not allow.
func Fed() []string {
	return []string{
		"START_TIME", "END_TIME", "INTERVAL", "PLAY_COUNT", "RESOLUTION", "OUTPUT_PROTECTION", "ACCUMULATED", "PART", "TIMELINE",
		"TERRITORY", "REGION", "KEY_RULES", "MIN_LEVEL", "MIN_ANCHOR", "EMBARGO_STRICT", "OUTPUT_EVIDENCE", "FRESHNESS", "CONCURRENCY", "DOMAIN", "REPORT", "OVERLAY",
	}
}

// Feed checks that a license may feed a live system, and lists what its player
// does not have or does not keep itself, in the order of Rights and Conditions.
func Feed(lic *license.License, s System) (Loss, error) {
	units, err := Exportable(lic, s.Name)
	if err != nil {
		return nil, err
	}
	if !units.Grants(permission.Play) {
		return nil, fmt.Errorf("%w: it does not grant %v", ErrNotExportable, permission.Play)
	}
	if bad := unkept(lic.Info(), units, &s); len(bad) > 0 {
		return nil, &UnheldError{System: s.Name, Rights: bad}
	}
	var out Loss
	for _, right := range append(Rights(units), Conditions(lic.Info(), units)...) {
		out = append(out, fedLoss(right))
	}
	return out, nil
}

// fedLoss says what becomes of one right while the module feeds a player.
func fedLoss(right string) Lost {
	var p permission.Permission
	switch {
	case p.UnmarshalText([]byte(right)) == nil:
		return Lost{Right: right, Effect: Dropped, Words: "The player can only play; use a paired device for this."}
	case right == "RESOLUTION":
		return Lost{Right: right, Effect: Held, Words: "The house gives the player no key for larger pictures."}
	case right == "OUTPUT_PROTECTION", right == "KEY_RULES", right == "OUTPUT_EVIDENCE":
		return Lost{Right: right, Effect: Narrowed, Words: "The player cannot prove how its screen is protected, so qualities that need it are withheld."}
	}
	return Lost{Right: right, Effect: Held, Words: "The player does not enforce this; the house does, by stopping the stream."}
}
