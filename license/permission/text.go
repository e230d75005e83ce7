package permission

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// maxText is the longest text form, in bytes. Source: local.
const maxText = 4096

// ParseText reads the text form: statements separated by ';', KEY, KEY=value
// or RESOLUTION<=value. PLAY, RENDER, EXECUTE and LEND begin a unit, and the
// conditions behind one belong to it. Units come back in the order of Encode.
func ParseText(s string) (*Units, error) {
	if len(s) > maxText {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrText, maxText)
	}
	u := &Units{Profile: Profile1, Version: 1}
	for i, part := range strings.Split(s, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		key = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(key), "<"))
		if err := u.statement(key, strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("%w: statement %d (%s): %w", ErrText, i+1, part, err)
		}
	}
	code, err := u.Encode()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrText, err)
	}
	return Parse(code)
}

func (u *Units) statement(key, value string) error {
	if done, err := u.begin(key, value); done || err != nil {
		return err
	}
	if done, err := u.unknownText(key, value); done || err != nil {
		return err
	}
	if value == "" {
		return fmt.Errorf("no such keyword, or without its value")
	}
	for _, try := range []func(key, value string) (bool, error){u.usageText, u.managementText, u.lendText, u.classText, u.actorText} {
		if done, err := try(key, value); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("no such keyword")
}

// begin handles the words that only begin a unit.
func (u *Units) begin(key, value string) (bool, error) {
	switch key {
	case "PLAY", "RENDER", "EXECUTE":
		kind := map[string]UsageKind{"PLAY": Playback, "RENDER": Print, "EXECUTE": Execute}[key]
		u.Usage = append(u.Usage, UsageUnit{Kind: kind})
	case "LEND":
		u.Extended = append(u.Extended, ExtendedUnit{Kind: TagLend})
	case "MANAGEMENT":
		u.management()
	case "CLASSIFICATION":
		u.classification()
	case "ACTOR":
		u.actor()
	case "EXPORT":
		if u.Export == nil {
			u.Export = new(ExportUnit)
		}
		if value != "" {
			u.Export.Systems = append(u.Export.Systems, list(value)...)
			slices.Sort(u.Export.Systems)
		}
		return true, nil
	default:
		return false, nil
	}
	if value != "" {
		return true, fmt.Errorf("takes no value")
	}
	return true, nil
}

func (u *Units) management() *ManagementUnit {
	if u.Management == nil {
		u.Management = new(ManagementUnit)
	}
	return u.Management
}

func (u *Units) classification() *ClassificationUnit {
	if u.Classification == nil {
		u.Classification = new(ClassificationUnit)
	}
	return u.Classification
}

func (u *Units) actor() *ActorUnit {
	if u.Actor == nil {
		u.Actor = new(ActorUnit)
	}
	return u.Actor
}

func (u *Units) usageText(key, value string) (done bool, err error) {
	if !slices.Contains([]string{"START_TIME", "END_TIME", "INTERVAL", "PLAY_COUNT", "ACCUMULATED", "OUTPUT_PROTECTION", "RESOLUTION", "PART"}, key) {
		return false, nil
	}
	if len(u.Usage) == 0 {
		return true, fmt.Errorf("stands before PLAY, RENDER and EXECUTE")
	}
	x := &u.Usage[len(u.Usage)-1]
	switch key {
	case "START_TIME":
		x.StartTime, err = parseTime(value)
	case "END_TIME":
		x.EndTime, err = parseTime(value)
	case "INTERVAL":
		x.Interval, err = parseDuration(value)
	case "PLAY_COUNT":
		x.PlayCount, err = parseNumber(value)
	case "ACCUMULATED":
		x.Accumulated, err = parseDuration(value)
	case "OUTPUT_PROTECTION":
		var v uint8
		v, err = parseValue(TagPlayback, itemOutput, value)
		x.Output = Protection(v)
	case "RESOLUTION":
		x.MaxPixels, err = parsePixels(value)
	case "PART":
		x.Part, err = hex.DecodeString(value)
	}
	return true, err
}

func (u *Units) managementText(key, value string) (done bool, err error) {
	var v uint8
	switch key {
	case "COPY":
		v, err = parseValue(TagManagement, itemCopyMode, value)
		u.management().Copy = CopyMode(v)
	case "COPY_COUNT":
		u.management().CopyCount, err = parseNumber(value)
	case "MAX_GENERATION":
		u.management().MaxGeneration, err = parseNumber(value)
	case "MOVE":
		v, err = parseValue(TagManagement, itemMove, value)
		u.management().Move = MoveScope(v)
	case "TRANSFER":
		u.management().Transfer, err = parseNumber(value)
	default:
		return false, nil
	}
	return true, err
}

func (u *Units) lendText(key, value string) (done bool, err error) {
	if key != "LEND_TIME" && key != "LEND_COUNT" {
		return false, nil
	}
	if len(u.Extended) == 0 {
		return true, fmt.Errorf("stands before LEND")
	}
	e := &u.Extended[len(u.Extended)-1]
	if key == "LEND_TIME" {
		e.MaxDuration, err = parseDuration(value)
	} else {
		e.MaxLoans, err = parseNumber(value)
	}
	return true, err
}

func (u *Units) classText(key, value string) (done bool, err error) {
	var v uint8
	switch key {
	case "DISCLOSURE":
		u.classification().Disclosure, err = parseValue(TagClassification, itemDisclosure, value)
	case "PURPOSE":
		u.classification().Purpose, err = parseValue(TagClassification, itemPurpose, value)
	case "CHARGE":
		v, err = parseValue(TagClassification, itemCharge, value)
		u.classification().Charge = Charge(v)
	case "BILLING":
		u.classification().Billing, err = parseValue(TagClassification, itemBilling, value)
	case "APPLICATION":
		u.classification().Application, err = parseValue(TagClassification, itemApplication, value)
	case "SPONSOR":
		u.classification().Sponsor = value
	case "TERRITORY":
		u.classification().Territory = list(value)
		slices.Sort(u.Classification.Territory)
	case "USAGE_CLASS":
		u.classification().UsageClass, err = parseValue(TagClassification, itemUsageClass, value)
	default:
		return false, nil
	}
	return true, err
}

func (u *Units) actorText(key, value string) (done bool, err error) {
	switch key {
	case "CONTENT":
		err = u.actor().Content.UnmarshalText([]byte(value))
	case "ISSUER":
		err = u.actor().Issuer.UnmarshalText([]byte(value))
	case "RECEIVER":
		kind, id, _ := strings.Cut(value, ":")
		b, bad := hex.DecodeString(id)
		k := valueOf(TagActor, itemReceiver, kind)
		if bad != nil || len(b) != ident.Size || k == 0 {
			return true, fmt.Errorf("want domain:, device: or user: and 32 hexadecimal digits")
		}
		u.actor().Receiver = Receiver{ReceiverKind(k), [ident.Size]byte(b)}
	default:
		return false, nil
	}
	return true, err
}

// unknownText reads X.<unit>=<hex> and X.<unit>.<item>=<hex>.
func (u *Units) unknownText(key, value string) (bool, error) {
	tags, ok := strings.CutPrefix(key, "X.")
	if !ok {
		return false, nil
	}
	unitHex, itemHex, inner := strings.Cut(tags, ".")
	unit, err := strconv.ParseUint(unitHex, 16, 8)
	if err != nil {
		return true, fmt.Errorf("unit tag")
	}
	data, err := hex.DecodeString(value)
	if err != nil {
		return true, fmt.Errorf("value is not hexadecimal")
	}
	if !inner {
		if known(uint8(unit)) {
			return true, fmt.Errorf("unit has a keyword")
		}
		u.Unknown = append(u.Unknown, Item{uint8(unit), data})
		return true, nil
	}
	item, err := strconv.ParseUint(itemHex, 16, 8)
	if err != nil {
		return true, fmt.Errorf("item tag")
	}
	extra := u.extraOf(uint8(unit))
	if extra == nil {
		return true, fmt.Errorf("stands before its unit")
	}
	*extra = append(*extra, Item{uint8(item), data})
	return true, nil
}

// extraOf is the place for unknown items of the newest unit with this tag.
func (u *Units) extraOf(unit uint8) *[]Item {
	switch unit {
	case TagActor:
		return &u.actor().Extra
	case TagClassification:
		return &u.classification().Extra
	case TagManagement:
		return &u.management().Extra
	case TagExport:
		if u.Export == nil {
			u.Export = new(ExportUnit)
		}
		return &u.Export.Extra
	case TagLend:
		if n := len(u.Extended); n > 0 {
			return &u.Extended[n-1].Extra
		}
	}
	if n := len(u.Usage); n > 0 && uint8(u.Usage[n-1].Kind) == unit {
		return &u.Usage[n-1].Extra
	}
	return nil
}

func list(s string) []string {
	out := strings.Split(s, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("want a number above 0")
	}
	return n, nil
}

func parseValue(unit, item uint8, s string) (uint8, error) {
	if v := valueOf(unit, item, s); v != 0 {
		return v, nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("no such value")
	}
	return uint8(n), nil
}

func parseTime(s string) (int64, error) {
	if digits, ok := strings.CutPrefix(s, "@"); ok {
		ms, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || ms <= 0 || ms > maxTime {
			return 0, fmt.Errorf("want milliseconds since 1970 behind @")
		}
		return ms, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.UnixMilli() <= 0 || t.UnixMilli() > maxTime || t.Nanosecond()%1e6 != 0 {
		return 0, fmt.Errorf("want a time such as 2026-11-24T18:00:00Z, in whole milliseconds")
	}
	return t.UnixMilli(), nil
}

func parseDuration(s string) (int64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i > 0 {
		n, err := strconv.ParseInt(s[:i], 10, 64)
		for _, u := range durationUnits {
			if err == nil && u.name == s[i:] && n > 0 && n <= maxTime/u.ms {
				return n * u.ms, nil
			}
		}
	}
	return 0, fmt.Errorf("want a duration such as 48h, 30d, 90m, 10s or 250ms")
}

func parsePixels(s string) (uint64, error) {
	for _, p := range pictures {
		if p.name == s {
			return p.pixels, nil
		}
	}
	if w, h, ok := strings.Cut(s, "x"); ok {
		a, err1 := parseNumber(w)
		b, err2 := parseNumber(h)
		if err1 == nil && err2 == nil && a < 1<<16 && b < 1<<16 {
			return a * b, nil
		}
	}
	return parseNumber(s)
}
