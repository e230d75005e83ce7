package permission

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// printer collects statements of the text form.
type printer struct{ out []string }

func (p *printer) add(key, value string) { p.out = append(p.out, key+"="+value) }

func (p *printer) num(key string, v uint64) {
	if v != 0 {
		p.add(key, strconv.FormatUint(v, 10))
	}
}

func (p *printer) duration(key string, ms int64) {
	if ms > 0 {
		p.add(key, formatDuration(ms))
	}
}

func (p *printer) time(key string, ms int64) {
	if ms > 0 {
		p.add(key, formatTime(ms))
	}
}

func (p *printer) value(key string, unit, item, v uint8) {
	if v == 0 {
		return
	}
	if name := valueName(unit, item, v); name != "" {
		p.add(key, name)
		return
	}
	p.num(key, uint64(v))
}

// extra prints unknown items as X.<unit>.<item>=<hex>.
func (p *printer) extra(unit uint8, items []Item) {
	for _, it := range items {
		p.add(fmt.Sprintf("X.%02X.%02X", unit, it.Tag), hex.EncodeToString(it.Value))
	}
}

// Text prints the units as statements joined by "; ". ParseText reads it back
// to units that encode to the same bytes.
func (u *Units) Text() string {
	var p printer
	for i := range u.Usage {
		u.Usage[i].print(&p)
	}
	if m := u.Management; m != nil {
		m.print(&p)
	}
	for i := range u.Extended {
		e := &u.Extended[i]
		p.out = append(p.out, "LEND")
		p.duration("LEND_TIME", e.MaxDuration)
		p.num("LEND_COUNT", e.MaxLoans)
		p.extra(e.Kind, e.Extra)
	}
	if u.Export != nil {
		p.add("EXPORT", strings.Join(u.Export.Systems, ","))
		p.extra(TagExport, u.Export.Extra)
	}
	if u.Classification != nil {
		u.Classification.print(&p)
	}
	if u.Actor != nil {
		u.Actor.print(&p)
	}
	for _, it := range u.Unknown {
		p.add(fmt.Sprintf("X.%02X", it.Tag), hex.EncodeToString(it.Value))
	}
	return strings.Join(p.out, "; ")
}

func (u *UsageUnit) print(p *printer) {
	p.out = append(p.out, u.Kind.word())
	p.time("START_TIME", u.StartTime)
	p.time("END_TIME", u.EndTime)
	p.duration("INTERVAL", u.Interval)
	p.num("PLAY_COUNT", u.PlayCount)
	p.duration("ACCUMULATED", u.Accumulated)
	p.value("OUTPUT_PROTECTION", TagPlayback, itemOutput, uint8(u.Output))
	if u.MaxPixels != 0 {
		p.out = append(p.out, "RESOLUTION<="+formatPixels(u.MaxPixels))
	}
	if len(u.Part) > 0 {
		p.add("PART", hex.EncodeToString(u.Part))
	}
	p.extra(uint8(u.Kind), u.Extra)
}

func (m *ManagementUnit) print(p *printer) {
	before := len(p.out)
	p.value("COPY", TagManagement, itemCopyMode, uint8(m.Copy))
	p.num("COPY_COUNT", m.CopyCount)
	p.num("MAX_GENERATION", m.MaxGeneration)
	p.value("MOVE", TagManagement, itemMove, uint8(m.Move))
	p.num("TRANSFER", m.Transfer)
	p.value("TRANSCODE", TagManagement, itemTranscode, uint8(m.Transcode))
	p.value("ENCRYPTION", TagManagement, itemEncryption, uint8(m.Encryption))
	p.value("TIMELINE", TagManagement, itemTimeline, uint8(m.Timeline))
	p.extra(TagManagement, m.Extra)
	if len(p.out) == before {
		p.out = append(p.out, "MANAGEMENT")
	}
}

func (c *ClassificationUnit) print(p *printer) {
	before := len(p.out)
	p.value("DISCLOSURE", TagClassification, itemDisclosure, c.Disclosure)
	p.value("PURPOSE", TagClassification, itemPurpose, c.Purpose)
	p.value("CHARGE", TagClassification, itemCharge, uint8(c.Charge))
	p.value("BILLING", TagClassification, itemBilling, c.Billing)
	p.value("APPLICATION", TagClassification, itemApplication, c.Application)
	if c.Sponsor != "" {
		p.add("SPONSOR", c.Sponsor)
	}
	if len(c.Territory) > 0 {
		p.add("TERRITORY", strings.Join(c.Territory, ","))
	}
	p.value("USAGE_CLASS", TagClassification, itemUsageClass, c.UsageClass)
	p.extra(TagClassification, c.Extra)
	if len(p.out) == before {
		p.out = append(p.out, "CLASSIFICATION")
	}
}

func (a *ActorUnit) print(p *printer) {
	before := len(p.out)
	if a.Content != "" {
		p.add("CONTENT", idText(string(a.Content)))
	}
	if a.Issuer != "" {
		p.add("ISSUER", idText(string(a.Issuer)))
	}
	if a.Receiver.Kind != 0 {
		p.add("RECEIVER", valueName(TagActor, itemReceiver, uint8(a.Receiver.Kind))+":"+hex.EncodeToString(a.Receiver.ID[:]))
	}
	p.extra(TagActor, a.Extra)
	if len(p.out) == before {
		p.out = append(p.out, "ACTOR")
	}
}

// idText prints an opaque ID as it is, or as 0x and hexadecimal digits where
// it would not read back.
func idText(id string) string {
	if plainText(id) && !strings.HasPrefix(id, "0x") {
		return id
	}
	return "0x" + hex.EncodeToString([]byte(id))
}

// formatTime prints RFC 3339, or @ and the milliseconds beyond its years.
func formatTime(ms int64) string {
	if ms >= year10000 {
		return "@" + strconv.FormatInt(ms, 10)
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// year10000 is the first instant, in Unix ms, that RFC 3339 cannot write.
const year10000 = 253402300800000

// formatDuration prints ms exactly, in the largest whole unit.
func formatDuration(ms int64) string {
	for _, u := range durationUnits {
		if ms%u.ms == 0 && ms/u.ms >= u.least {
			return strconv.FormatInt(ms/u.ms, 10) + u.name
		}
	}
	return strconv.FormatInt(ms, 10) + "ms"
}

// durationUnits: rentals speak of 24 and 48 hours, so days begin at three.
var durationUnits = []struct {
	name  string
	ms    int64
	least int64
}{{"d", 86400000, 3}, {"h", 3600000, 1}, {"m", 60000, 1}, {"s", 1000, 1}, {"ms", 1, 1}}

// pictures are the sizes that people name by their lines, in pixels (16:9).
var pictures = []struct {
	name   string
	pixels uint64
}{{"480p", 854 * 480}, {"576p", 1024 * 576}, {"720p", 1280 * 720}, {"1080p", 1920 * 1080}, {"1440p", 2560 * 1440}, {"2160p", 3840 * 2160}, {"4320p", 7680 * 4320}}

func formatPixels(n uint64) string {
	for _, p := range pictures {
		if p.pixels == n {
			return p.name
		}
	}
	return strconv.FormatUint(n, 10)
}
