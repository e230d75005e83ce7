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
func (p Protection) String() string {
	if p == ProtectNone {
		return "NONE"
	}
	return valueName(TagPlayback, itemOutput, uint8(p))
}

// UsageUnit is one grant of a usage and its conditions; 0 means that a
// condition is absent. Times are Unix ms UTC below 2^53, durations ms.
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

func (u *UsageUnit) items() []Item {
	var w itemWriter
	w.ms(itemStartTime, u.StartTime)
	w.ms(itemEndTime, u.EndTime)
	w.ms(itemInterval, u.Interval)
	w.num(itemPlayCount, u.PlayCount)
	w.num(itemResolution, u.MaxPixels)
	w.num(itemOutput, uint64(u.Output))
	w.ms(itemAccumulated, u.Accumulated)
	w.bytes(itemPart, u.Part)
	return w.with(u.Extra)
}

func (u *UsageUnit) decode(items []Item) error {
	var r itemReader
	for _, it := range items {
		switch it.Tag {
		case itemStartTime:
			u.StartTime = r.ms(it)
		case itemEndTime:
			u.EndTime = r.ms(it)
		case itemInterval:
			u.Interval = r.ms(it)
		case itemPlayCount:
			u.PlayCount = r.num(it, math.MaxUint32)
		case itemResolution:
			u.MaxPixels = r.num(it, math.MaxUint32)
		case itemOutput:
			u.Output = Protection(r.num(it, uint64(ProtectHDCP23))) //nolint:gosec // checked against the registry
		case itemAccumulated:
			u.Accumulated = r.ms(it)
		case itemPart:
			u.Part = r.bytes(it)
		default:
			u.Extra = append(u.Extra, it)
		}
	}
	return r.err
}
