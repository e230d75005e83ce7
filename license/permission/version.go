package permission

// Unit tags. Source: IEC 62227 (the ranges as published about it); the place
// of each condition inside its range is local.
const (
	TagVersion        uint8 = 0x00
	TagActor          uint8 = 0x01
	TagClassification uint8 = 0x02
	TagPlayback       uint8 = 0x10 // general usage condition: playback
	TagPrint          uint8 = 0x11 // general usage condition: print
	TagExecute        uint8 = 0x12 // general usage condition: execute
	TagLend           uint8 = 0x20 // extended use condition: loan (local)
	TagManagement     uint8 = 0x30
	TagExport         uint8 = 0x40

	tagUsageFirst   uint8 = 0x10
	tagExtendedLast uint8 = 0x2f
)

// VersionUnit is the version unit: one byte, the format version, 1 so far.
// The zero value means 1. Source: IEC 62227 version unit; the value is local.
type VersionUnit uint8

func (v *VersionUnit) code(c *coder) {
	if c.reading {
		if c.unit = TagVersion; len(c.value) != 1 || c.value[0] != 1 {
			c.failUnit("%x is not version 1", c.value)
		}
		*v = 1
		return
	}
	c.begin(TagVersion, nil)
	if *v > 1 {
		c.failUnit("%d is not version 1", *v)
	}
	c.out = append(c.out, 1)
	c.end(nil)
}
