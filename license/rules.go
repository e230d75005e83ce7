package license

import (
	"fmt"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// RenewRule is policy key 2: when a license is renewed, and how long it goes on
// without an answer (evaluator E5). Durations are ms; 0 means the default.
type RenewRule struct {
	After    int64 `cbor:"1,keyasint,omitempty" json:"after,omitempty"`           // from issued_at; default half the time to END_TIME
	Retry    int64 `cbor:"2,keyasint,omitempty" json:"retry,omitempty"`           // first pause between tries; default 30 s
	Recovery int64 `cbor:"3,keyasint,omitempty" json:"recovery,omitempty"`        // past END_TIME without an answer; default min(time to END_TIME, 15 min)
	Expired  bool  `cbor:"4,keyasint,omitempty" json:"even_if_expired,omitempty"` // renewal is offered after the end too
}

// Backup says who can restore the license, policy key 4.
type Backup uint64

// The backups; 0 means BackupIssuer for purchases, else BackupNone.
const (
	BackupNone      Backup = 1
	BackupIssuer    Backup = 2
	BackupHousehold Backup = 3
)

// AccumulatedBy says what ACCUMULATED adds up, policy key 33.
type AccumulatedBy uint64

// The measures; 0 means AccumulatedWall.
const (
	AccumulatedWall  AccumulatedBy = 1 // the longer of wall time and media at peak rate
	AccumulatedMedia AccumulatedBy = 2 // media time only: a pause costs nothing
)

// RegionPhase says when a region is judged.
type RegionPhase uint64

// The phases; 0 means RegionIssue.
const (
	RegionIssue    RegionPhase = 1 // by the issuer, once: sealed for ever
	RegionFirstUse RegionPhase = 2
	RegionEachUse  RegionPhase = 3
)

// UnknownRegion says what a missing assertion does.
type UnknownRegion uint64

// The reactions; 0 means UnknownAllow.
const (
	UnknownAllow UnknownRegion = 1
	UnknownDeny  UnknownRegion = 2
)

// RegionRule is policy key 35 (evaluator E6). What is permitted is TERRITORY of
// the permission code together with Areas; what is denied wins. A code is an
// ISO 3166-1 alpha-2 country or a UN M49 area of three digits.
type RegionRule struct {
	Deny     []string      `cbor:"1,keyasint,omitempty" json:"deny,omitempty"`  // sorted
	Phase    RegionPhase   `cbor:"2,keyasint,omitempty" json:"phase,omitempty"` //
	Unknown  UnknownRegion `cbor:"3,keyasint,omitempty" json:"unknown,omitempty"`
	RoamDays *uint64       `cbor:"4,keyasint,omitempty" json:"roam_days,omitempty"` // of 90; default 30
	Areas    []string      `cbor:"5,keyasint,omitempty" json:"areas,omitempty"`     // sorted
}

// ChildCopies says what a copy may do, policy key 37.
type ChildCopies uint64

// The kinds of copies; 0 means ChildNoMore.
const (
	ChildNoMore      ChildCopies = 1
	ChildInheritLess ChildCopies = 2 // part of the parent's COPY_COUNT goes with it
	ChildCustom      ChildCopies = 3 // CopyRule.Code
)

// Dests says where copies and loans may go.
type Dests uint64

// The destinations; 0 means DestDomain for copies and DestAny for loans.
const (
	DestDomain Dests = 1
	DestAny    Dests = 2
	DestList   Dests = 3 // the devices and domains of the list
)

// CopyRule is policy key 37 (evaluator E8).
type CopyRule struct {
	PerInstance bool            `cbor:"1,keyasint,omitempty" json:"per_instance,omitempty"` // counts are each instance's own, not split
	NoChildMove bool            `cbor:"2,keyasint,omitempty" json:"no_child_move,omitempty"`
	Child       ChildCopies     `cbor:"3,keyasint,omitempty" json:"child,omitempty"`
	Dests       Dests           `cbor:"4,keyasint,omitempty" json:"dests,omitempty"`
	List        []ident.Device  `cbor:"5,keyasint,omitempty" json:"list,omitempty"`        // device IDs or pairwise domain IDs, sorted
	Countersign Countersigned   `cbor:"6,keyasint,omitempty" json:"countersign,omitempty"` // default CountersignNone
	Code        permission.Code `cbor:"7,keyasint,omitempty" json:"code,omitempty"`        // of a ChildCustom copy
}

// TransferRule is policy key 39 (evaluator E10).
type TransferRule struct {
	Cooldown    int64         `cbor:"1,keyasint,omitempty" json:"cooldown,omitempty"`    // ms between changes of subject; default 24 h
	Countersign Countersigned `cbor:"2,keyasint,omitempty" json:"countersign,omitempty"` // default CountersignDomain
	Region      bool          `cbor:"3,keyasint,omitempty" json:"region,omitempty"`      // the recipient's region is judged as at issue
}

// LendRule is policy key 41 (evaluator E11).
type LendRule struct {
	Overlap bool           `cbor:"1,keyasint,omitempty" json:"overlap,omitempty"` // strict_overlap = false: the lender may go on
	Plays   uint64         `cbor:"2,keyasint,omitempty" json:"plays,omitempty"`   // lent with a counted license; default 1
	Dests   Dests          `cbor:"3,keyasint,omitempty" json:"dests,omitempty"`
	List    []ident.Device `cbor:"4,keyasint,omitempty" json:"list,omitempty"` // sorted
	Grants  Permissions    `cbor:"5,keyasint,omitzero" json:"grants,omitzero"` // of PLAY, RENDER, ascending; default PLAY
}

// Permissions is a list that is an array on the wire, not a byte string.
type Permissions []permission.Permission

// MarshalCBOR writes the array of numbers.
func (p Permissions) MarshalCBOR() ([]byte, error) {
	list := make([]uint64, len(p))
	for i, x := range p {
		list[i] = uint64(x)
	}
	return wire.Marshal(list)
}

// UnmarshalCBOR reads what MarshalCBOR writes.
func (p *Permissions) UnmarshalCBOR(data []byte) error {
	var list []uint64
	if err := wire.Unmarshal(data, &list, wire.Limit{Bytes: 16}); err != nil {
		return err
	}
	*p = make(Permissions, len(list))
	for i, n := range list {
		if n == 0 || n > uint64(permission.Export) {
			return fmt.Errorf("%w: permission %d", wire.ErrShape, n)
		}
		(*p)[i] = permission.Permission(n)
	}
	return nil
}

// OnFull says what happens when all slots are in use, in policy key 43.
type OnFull uint64

// The reactions; 0 means AskTakeover.
const (
	AskTakeover    OnFull = 1
	BlockNew       OnFull = 2
	TakeoverOldest OnFull = 3
)

// ConcurrencyRule is policy key 43 (evaluator E5).
type ConcurrencyRule struct {
	Max     uint64 `cbor:"1,keyasint" json:"max"` // sessions at a time, from 1
	OnFull  OnFull `cbor:"2,keyasint,omitempty" json:"on_full,omitempty"`
	Offline bool   `cbor:"3,keyasint,omitempty" json:"offline_counts,omitempty"` // use without a keeper in reach needs a slot too
}

// ReportKind says what a report tells, in policy key 45.
type ReportKind uint64

// The reports.
const (
	ReportStarted ReportKind = 1
	ReportMinutes ReportKind = 2
)

// String is STARTED or MINUTES.
func (r ReportKind) String() string {
	if r == ReportMinutes {
		return "MINUTES"
	}
	return "STARTED"
}

// ReportRule is policy key 45 (evaluator E18): play needs the user's consent.
type ReportRule struct {
	What  ReportKind `cbor:"1,keyasint" json:"what"`
	To    string     `cbor:"2,keyasint" json:"to"`                        // shown to the user, 1 to 64 bytes
	Until int64      `cbor:"3,keyasint,omitempty" json:"until,omitempty"` // Unix ms; 0 = as long as it is used
}

// OverlayRule is policy key 47 (evaluator E18): a visible mark that the player draws.
type OverlayRule struct {
	Text    uint64 `cbor:"1,keyasint" json:"text"`                        // 1 NAME, 2 CODE
	Opacity uint64 `cbor:"2,keyasint,omitempty" json:"opacity,omitempty"` // percent; default 50
	EveryS  uint64 `cbor:"3,keyasint,omitempty" json:"every_s,omitempty"` // seconds; default: always there
}

// DomainRule is policy key 49 (IEC TS 62579): on how many devices of a house what it
// has of this issuer may be. The house's manager holds it when it gives the license
// to a device; the license alone, in a player, says nothing of it.
type DomainRule struct {
	Devices  uint64 `cbor:"1,keyasint" json:"devices"`                        // at a time, from 1
	NewAYear uint64 `cbor:"2,keyasint,omitempty" json:"new_a_year,omitempty"` // that get something of this issuer for the first time, in 365 days; 0 = any number
}

// Limits of the rules. Source: local, docs/spec/license.md.
const (
	maxDevices = 1 << 16
	maxDests   = 32 // devices and domains in a list
	maxRegions = 64 // countries and areas in a list
	maxRoam    = 90 // days
	maxTo      = 64 // bytes
)

// bad names the policy value that no issuer may write.
func bad(name string) error { return fmt.Errorf("%w: policy %s", ErrInvalid, name) }

// durations reports the first of name and value pairs that is no duration.
func durations(pairs ...any) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if v, ok := pairs[i+1].(int64); ok && (v < 0 || v > maxTime) {
			return bad(fmt.Sprint(pairs[i]))
		}
	}
	return nil
}

func (r *RenewRule) check() error {
	if r == nil {
		return nil
	}
	return durations("renew after", r.After, "renew retry", r.Retry, "renew recovery", r.Recovery)
}

func (r *RegionRule) check() error {
	if r == nil {
		return nil
	}
	switch {
	case !regionCodes(r.Deny):
		return bad("region deny")
	case !regionCodes(r.Areas):
		return bad("region areas")
	case r.Phase > RegionEachUse:
		return bad("region phase")
	case r.Unknown > UnknownDeny:
		return bad("region unknown")
	case value(r.RoamDays) > maxRoam:
		return bad("region roam_days")
	}
	for _, code := range r.Areas {
		if slices.Contains(r.Deny, code) {
			return bad("region: " + code + " is permitted and denied")
		}
	}
	return nil
}

// regionCodes reports whether a list is sorted, each once, of known codes.
func regionCodes(list []string) bool {
	if len(list) > maxRegions {
		return false
	}
	for i, code := range list {
		if !knownRegion(code) || i > 0 && list[i-1] >= code {
			return false
		}
	}
	return true
}

// destList reports whether dests and its list belong together.
func destList(d Dests, list []ident.Device) bool {
	if d > DestList || (d == DestList) != (len(list) > 0) || len(list) > maxDests {
		return false
	}
	return slices.IsSortedFunc(list, compareIDs) && len(slices.Compact(slices.Clone(list))) == len(list)
}

func compareIDs(a, b ident.Device) int { return slices.Compare(a[:], b[:]) }

func (r *CopyRule) check() error {
	switch {
	case r == nil:
		return nil
	case r.Child > ChildCustom:
		return bad("copy child")
	case !destList(r.Dests, r.List):
		return bad("copy dests")
	case r.Countersign > CountersignIssuer:
		return bad("copy countersign")
	case (r.Child == ChildCustom) != (len(r.Code) > 0):
		return bad("copy code")
	}
	if r.Child == ChildCustom {
		if _, err := permission.Parse(r.Code); err != nil {
			return fmt.Errorf("%w: %w", bad("copy code"), err)
		}
	}
	return nil
}

func (r *TransferRule) check() error {
	switch {
	case r == nil:
		return nil
	case r.Countersign > CountersignIssuer:
		return bad("transfer countersign")
	}
	return durations("transfer cooldown", r.Cooldown)
}

func (r *LendRule) check() error {
	switch {
	case r == nil:
		return nil
	case r.Plays > maxTime:
		return bad("lend plays")
	case !destList(r.Dests, r.List):
		return bad("lend dests")
	case r.Grants != nil && len(r.Grants) == 0 || !slices.IsSorted(r.Grants) || len(slices.Compact(slices.Clone(r.Grants))) != len(r.Grants):
		return bad("lend grants")
	}
	for _, p := range r.Grants {
		if p != permission.Play && p != permission.Render {
			return bad("lend grants")
		}
	}
	return nil
}

func (r *ConcurrencyRule) check() error {
	switch {
	case r == nil:
		return nil
	case r.Max == 0 || r.Max > 1<<16:
		return bad("concurrency max")
	case r.OnFull > TakeoverOldest:
		return bad("concurrency on_full")
	}
	return nil
}

func (r *DomainRule) check() error {
	switch {
	case r == nil:
		return nil
	case r.Devices == 0 || r.Devices > maxDevices:
		return bad("domain devices")
	case r.NewAYear > maxDevices:
		return bad("domain new_a_year")
	}
	return nil
}

func (r *ReportRule) check() error {
	switch {
	case r == nil:
		return nil
	case r.What < ReportStarted || r.What > ReportMinutes:
		return bad("report what")
	case r.To == "" || len(r.To) > maxTo:
		return bad("report to")
	}
	return durations("report until", r.Until)
}

func (r *OverlayRule) check() error {
	switch {
	case r == nil:
		return nil
	case r.Text < 1 || r.Text > 2:
		return bad("overlay text")
	case r.Opacity > 100:
		return bad("overlay opacity")
	case r.EveryS > 3600:
		return bad("overlay every_s")
	}
	return nil
}
