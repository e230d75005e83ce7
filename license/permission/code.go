package permission

import (
	"fmt"
	"slices"
)

// Profile1 is the only profile so far: lengths of one to three bytes and the
// code registry of docs/spec/permission.md. Source: local.
const Profile1 uint8 = 1

// Code is an encoded permission code: a profile number, then the units.
type Code []byte

// Units is a decoded permission code. Usage units of one kind are
// alternatives; nil and empty mean that a unit is absent.
type Units struct {
	Profile        uint8 // 0 means Profile1
	Version        VersionUnit
	Actor          *ActorUnit
	Classification *ClassificationUnit
	Usage          []UsageUnit
	Extended       []ExtendedUnit
	Management     *ManagementUnit
	Export         *ExportUnit
	Unknown        []Item // whole units of unknown tags, byte for byte
}

// Parse decodes a code. Unknown units and items are kept; anything that would
// not encode again to the same bytes is ErrMalformed.
func Parse(c Code) (*Units, error) {
	if len(c) == 0 || len(c) > MaxCode {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(c))
	}
	l := profileLengths(c[0])
	if l == nil {
		return nil, fmt.Errorf("%w: profile %d", ErrMalformed, c[0])
	}
	raw, err := readItems(c[1:], l, MaxUnits)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 || raw[0].Tag != TagVersion {
		return nil, fmt.Errorf("%w: no version unit", ErrMalformed)
	}
	u := &Units{Profile: c[0]}
	for i, unit := range raw {
		if i > 0 && unit.Tag == raw[i-1].Tag && !repeatable(unit.Tag) {
			return nil, fmt.Errorf("%w: unit 0x%02x repeated", ErrMalformed, unit.Tag)
		}
		if err := u.decode(unit, l); err != nil {
			return nil, fmt.Errorf("unit 0x%02x: %w", unit.Tag, err)
		}
	}
	return u, nil
}

// repeatable units are the use conditions, and those nobody knows.
func repeatable(tag uint8) bool {
	return tag >= tagUsageFirst && tag <= tagExtendedLast || !known(tag)
}

func known(tag uint8) bool {
	switch tag {
	case TagVersion, TagActor, TagClassification, TagPlayback, TagPrint, TagExecute, TagLend, TagManagement, TagExport:
		return true
	}
	return false
}

func (u *Units) decode(unit Item, l lengths) error {
	if unit.Tag == TagVersion {
		return u.Version.decode(unit.Value)
	}
	if !known(unit.Tag) {
		u.Unknown = append(u.Unknown, unit)
		return nil
	}
	items, err := readItems(unit.Value, l, MaxItems)
	if err != nil {
		return err
	}
	switch unit.Tag {
	case TagActor:
		u.Actor = new(ActorUnit)
		return u.Actor.decode(items)
	case TagClassification:
		u.Classification = new(ClassificationUnit)
		return u.Classification.decode(items)
	case TagLend:
		u.Extended = append(u.Extended, ExtendedUnit{Kind: unit.Tag})
		return u.Extended[len(u.Extended)-1].decode(items)
	case TagManagement:
		u.Management = new(ManagementUnit)
		return u.Management.decode(items)
	case TagExport:
		u.Export = new(ExportUnit)
		return u.Export.decode(items)
	default:
		u.Usage = append(u.Usage, UsageUnit{Kind: UsageKind(unit.Tag)})
		return u.Usage[len(u.Usage)-1].decode(items)
	}
}

// Encode writes the code: units by tag, repeats in their order. It fails on
// values that Parse would not accept.
func (u *Units) Encode() (Code, error) {
	profile := u.Profile
	if profile == 0 {
		profile = Profile1
	}
	l := profileLengths(profile)
	if l == nil {
		return nil, fmt.Errorf("%w: profile %d", ErrInvalid, profile)
	}
	inner := func(tag uint8, items []Item) Item { return Item{tag, appendItems(nil, l, items)} }
	units := []Item{{TagVersion, u.Version.encode()}}
	if u.Actor != nil {
		units = append(units, inner(TagActor, u.Actor.items()))
	}
	if u.Classification != nil {
		units = append(units, inner(TagClassification, u.Classification.items()))
	}
	for i := range u.Usage {
		units = append(units, inner(uint8(u.Usage[i].Kind), u.Usage[i].items()))
	}
	for i := range u.Extended {
		units = append(units, inner(u.Extended[i].Kind, u.Extended[i].items()))
	}
	if u.Management != nil {
		units = append(units, inner(TagManagement, u.Management.items()))
	}
	if u.Export != nil {
		units = append(units, inner(TagExport, u.Export.items()))
	}
	units = append(units, u.Unknown...)
	slices.SortStableFunc(units, func(a, b Item) int { return int(a.Tag) - int(b.Tag) })
	code := Code(appendItems([]byte{profile}, l, units))
	if _, err := Parse(code); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return code, nil
}

// Grants reports whether some unit grants the permission, whatever its
// conditions are.
func (u *Units) Grants(p Permission) bool {
	switch p {
	case Play, Render:
		return slices.ContainsFunc(u.Usage, func(x UsageUnit) bool { return x.Kind.Permission() == p })
	case Copy:
		return u.Management != nil && u.Management.Copy.grants()
	case Move:
		return u.Management != nil && u.Management.Move != MoveNone
	case Transfer:
		return u.Management != nil && u.Management.Transfer != 0
	case Lend:
		return slices.ContainsFunc(u.Extended, func(x ExtendedUnit) bool { return x.Kind == TagLend })
	case Export:
		return u.Export != nil && len(u.Export.Systems) > 0
	}
	return false
}

// UsageFor lists the usage units that grant p, which is Play or Render.
func (u *Units) UsageFor(p Permission) []UsageUnit {
	var out []UsageUnit
	for _, x := range u.Usage {
		if x.Kind.Permission() == p && p != 0 {
			out = append(out, x)
		}
	}
	return out
}

// UnknownCritical names every unit and item that this package does not know
// and that stands where conditions of p stand: units of tags 0x10 to 0x40, and
// items of the actor unit and of the units that grant p. A permission with one
// of them must not be used. With p = 0 it names those of all permissions.
func (u *Units) UnknownCritical(p Permission) []string {
	var out []string
	for _, it := range u.Unknown {
		if it.Tag >= tagUsageFirst && it.Tag <= TagExport {
			out = append(out, fmt.Sprintf("unit 0x%02x", it.Tag))
		}
	}
	add := func(tag uint8, extra []Item, of ...Permission) {
		for _, it := range extra {
			if p == 0 || len(of) == 0 || slices.Contains(of, p) {
				out = append(out, fmt.Sprintf("unit 0x%02x item 0x%02x", tag, it.Tag))
			}
		}
	}
	if u.Actor != nil {
		add(TagActor, u.Actor.Extra)
	}
	for i := range u.Usage {
		add(uint8(u.Usage[i].Kind), u.Usage[i].Extra, u.Usage[i].Kind.Permission())
	}
	for i := range u.Extended {
		add(u.Extended[i].Kind, u.Extended[i].Extra, Lend)
	}
	if u.Management != nil {
		add(TagManagement, u.Management.Extra, Copy, Move, Transfer)
	}
	if u.Export != nil {
		add(TagExport, u.Export.Extra, Export)
	}
	return out
}

// UnknownOther names what is unknown outside the conditions: it may be ignored.
func (u *Units) UnknownOther() []string {
	var out []string
	for _, it := range u.Unknown {
		if it.Tag < tagUsageFirst || it.Tag > TagExport {
			out = append(out, fmt.Sprintf("unit 0x%02x", it.Tag))
		}
	}
	if u.Classification != nil {
		for _, it := range u.Classification.Extra {
			out = append(out, fmt.Sprintf("unit 0x%02x item 0x%02x", TagClassification, it.Tag))
		}
	}
	return out
}
