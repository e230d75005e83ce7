package permission

import "math"

// UsageKind is the tag of a general usage condition unit.
type UsageKind uint8

// The general usage conditions. Source: IEC 62227 names playback, print and
// execute; their tags in the range 0x10-0x1F are local.
const (
	Playback UsageKind = UsageKind(TagPlayback)
	Print    UsageKind = UsageKind(TagPrint)
	Execute  UsageKind = UsageKind(TagExecute)
)

// Permission is what the usage grants: Play for playback, Render for print.
// Nothing in Lares executes content, so Execute grants no permission here.
func (k UsageKind) Permission() Permission {
	switch k {
	case Playback:
		return Play
	case Print:
		return Render
	default: // below
	}
	return 0
}

// word is the keyword that begins such a unit in the text form, "" for kinds
// that do not exist.
func (k UsageKind) word() string {
	switch k {
	case Playback:
		return "PLAY"
	case Print:
		return "RENDER"
	case Execute:
		return "EXECUTE"
	default: // below
	}
	return ""
}

// Items of a general usage condition unit. Source: local; the names are those
// of the usage constraints of IEC TS 62224, except ACCUMULATED and PART.
const (
	itemStartTime   uint8 = 0x01
	itemEndTime     uint8 = 0x02
	itemInterval    uint8 = 0x03
	itemPlayCount   uint8 = 0x04
	itemResolution  uint8 = 0x05
	itemOutput      uint8 = 0x06
	itemAccumulated uint8 = 0x07
	itemPart        uint8 = 0x08
)

// Protection is the least protection a digital output must have. Source: local.
type Protection uint8

// The protections, weakest first. HDCP_2_2 in text is type 0.
const (
	ProtectNone   Protection = 0
	ProtectHDCP1  Protection = 1
	ProtectHDCP22 Protection = 2 // HDCP 2.2, content type 0
	ProtectHDCPT1 Protection = 3 // HDCP 2.2, content type 1
	ProtectHDCP23 Protection = 4
)

// String is the keyword of the text form, such as HDCP_2_2; NONE for 0.
func (p Protection) String() string { return valueWord(TagPlayback, itemOutput, uint8(p)) }

// UsageUnit is one grant of a usage and its conditions; 0 means that a
// condition is absent. Times are Unix ms UTC below 2^53, durations ms. A window
// is not empty: EndTime is after StartTime.
type UsageUnit struct {
	Kind        UsageKind
	StartTime   int64      // START_TIME: not before
	EndTime     int64      // END_TIME: not at or after
	Interval    int64      // INTERVAL: ms from the first use
	PlayCount   uint64     // PLAY_COUNT: plays, or renderings
	MaxPixels   uint64     // RESOLUTION: most pixels of a picture, inclusive
	Output      Protection // OUTPUT_PROTECTION of every key
	Accumulated int64      // ms of rendering in total
	Part        []byte     // a part of the content; empty = all of it
	Extra       []Item     // unknown conditions, byte for byte
}

func (u *UsageUnit) code(c *coder) {
	c.begin(uint8(u.Kind), u.Extra)
	c.ms(itemStartTime, &u.StartTime)
	c.ms(itemEndTime, &u.EndTime)
	if u.EndTime != 0 && u.EndTime <= u.StartTime {
		c.fail(itemEndTime, "not after START_TIME")
	}
	c.ms(itemInterval, &u.Interval)
	c.num(itemPlayCount, &u.PlayCount, math.MaxUint32)
	c.num(itemResolution, &u.MaxPixels, math.MaxUint32)
	c.code(itemOutput, (*uint8)(&u.Output), uint8(ProtectHDCP23))
	c.ms(itemAccumulated, &u.Accumulated)
	c.bytes(itemPart, &u.Part)
	c.end(&u.Extra)
}
