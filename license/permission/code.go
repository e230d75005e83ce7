package permission

import (
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/lares-drm/lares/internal/wire"
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
// not encode again to the same bytes is ErrMalformed, which names the field. The
// units share no memory with c.
func Parse(code Code) (*Units, error) {
	if len(code) == 0 || len(code) > MaxCode {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrMalformed, len(code), MaxCode)
	}
	p, ok := profileOf(code[0])
	if !ok {
		return nil, fmt.Errorf("%w: profile %d", ErrMalformed, code[0])
	}
	u := &Units{Profile: code[0]}
	c := coder{lengths: p.lengths, reading: true}
	r := wire.NewReader(code[1:])
	last := -1 // before every tag
	if r.Len() == 0 {
		c.failUnit("missing") // of the unit at hand, VERSION
	}
	for n := 0; c.err == nil && r.Len() > 0; n++ {
		unit, why := readItem(r, p.lengths)
		c.unit, c.value = unit.Tag, unit.Value
		switch tag := int(unit.Tag); {
		case n == 0 && unit.Tag != TagVersion:
			c.failUnit("does not begin the code: VERSION does")
		case tag < last:
			c.failUnit("out of order")
		case tag == last && !repeatable(unit.Tag):
			c.failUnit("repeated")
		case n == MaxUnits:
			c.failUnit("more than %d units", MaxUnits)
		case why != "":
			c.failUnit("%s", why)
		default:
			u.read(&c)
		}
		last = int(unit.Tag)
	}
	if c.err != nil {
		return nil, c.err
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

// read adds the unit at hand.
func (u *Units) read(c *coder) {
	switch c.unit {
	case TagVersion:
		u.Version.code(c)
	case TagActor:
		u.Actor = new(ActorUnit)
		u.Actor.code(c)
	case TagClassification:
		u.Classification = new(ClassificationUnit)
		u.Classification.code(c)
	case TagPlayback, TagPrint, TagExecute:
		u.Usage = append(u.Usage, UsageUnit{Kind: UsageKind(c.unit)})
		u.Usage[len(u.Usage)-1].code(c)
	case TagLend:
		u.Extended = append(u.Extended, ExtendedUnit{Kind: c.unit})
		u.Extended[len(u.Extended)-1].code(c)
	case TagManagement:
		u.Management = new(ManagementUnit)
		u.Management.code(c)
	case TagExport:
		u.Export = new(ExportUnit)
		u.Export.code(c)
	default:
		u.Unknown = append(u.Unknown, Item{c.unit, slices.Clone(c.value)})
	}
}

// Encode writes the code: units by tag, repeats in their order. Values that
// Parse would not accept are ErrInvalid, which names the field.
func (u *Units) Encode() (Code, error) {
	number := u.Profile
	if number == 0 {
		number = Profile1
	}
	p, ok := profileOf(number)
	if !ok {
		return nil, fmt.Errorf("%w: profile %d", ErrInvalid, number)
	}
	c := coder{lengths: p.lengths, out: append(make([]byte, 0, usualCode), number), unknown: byTag(u.Unknown)}
	u.write(&c)
	if c.err != nil {
		return nil, c.err
	}
	return c.out, nil
}

// usualCode is the room, in bytes, that most codes fit into.
const usualCode = 128

func (u *Units) write(c *coder) {
	u.Version.code(c)
	if u.Actor != nil {
		u.Actor.code(c)
	}
	if u.Classification != nil {
		u.Classification.code(c)
	}
	for _, kind := range [...]UsageKind{Playback, Print, Execute} {
		for i := range u.Usage {
			if x := &u.Usage[i]; x.Kind == kind {
				x.code(c)
			} else if x.Kind.word() == "" {
				c.unit = uint8(x.Kind)
				c.failUnit("not a usage unit")
			}
		}
	}
	for i := range u.Extended {
		if e := &u.Extended[i]; e.Kind != TagLend {
			c.unit = e.Kind
			c.failUnit("not a unit of an extended use condition")
		}
		u.Extended[i].code(c)
	}
	if u.Management != nil {
		u.Management.code(c)
	}
	if u.Export != nil {
		u.Export.code(c)
	}
	c.unknownBelow(math.MaxUint8 + 1)
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
	for x := range u.EachUsage(p) {
		out = append(out, *x)
	}
	return out
}

// EachUsage yields what UsageFor lists, in place and without allocating.
func (u *Units) EachUsage(p Permission) iter.Seq[*UsageUnit] {
	return func(yield func(*UsageUnit) bool) {
		for i := range u.Usage {
			if x := &u.Usage[i]; x.Kind.Permission() == p && p != 0 && !yield(x) {
				return
			}
		}
	}
}

// UnknownCritical names every unit and item that this package does not know
// and that stands where conditions of p stand: units of tags 0x10 to 0x40, and
// items of the actor unit and of the units that grant p. A permission with one
// of them must not be used. With p = 0 it names those of all permissions.
func (u *Units) UnknownCritical(p Permission) []string { return u.unknown(p, -1) }

// UnknownInUsage is UnknownCritical for the permission of one usage unit, by
// its index in Usage: what other usage units say does not concern it.
func (u *Units) UnknownInUsage(i int) []string { return u.unknown(u.Usage[i].Kind.Permission(), i) }

func (u *Units) unknown(p Permission, usage int) []string {
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
		if usage < 0 || usage == i {
			add(uint8(u.Usage[i].Kind), u.Usage[i].Extra, u.Usage[i].Kind.Permission())
		}
	}
	for i := range u.Extended {
		add(u.Extended[i].Kind, u.Extended[i].Extra, Lend)
	}
	if u.Management != nil {
		add(TagManagement, u.Management.Extra) // TIMELINE shows that one may concern any permission
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
