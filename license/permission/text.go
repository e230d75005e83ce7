package permission

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/license/ident"
)

// maxText is the longest text form, in bytes: no code of MaxCode prints longer.
// Source: local.
const maxText = 8192

// ParseText reads the text form: statements separated by ';', KEY, KEY=value
// or RESOLUTION<=value. PLAY, RENDER, EXECUTE and LEND begin a unit, and the
// conditions behind one belong to it, each once. Units come back in the order of
// Encode. What has no code is ErrText, which names the statement or the field.
func ParseText(s string) (*Units, error) {
	if len(s) > maxText {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrText, maxText)
	}
	u := &Units{Profile: Profile1, Version: 1}
	seen := map[place]bool{}
	for i, part := range strings.Split(s, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		if k := strings.TrimSpace(strings.TrimSuffix(key, "<")); k == "RESOLUTION" {
			key = k
		}
		at := u.place(key)
		if seen[at] && !strings.HasPrefix(key, "X.") {
			return nil, fmt.Errorf("%w: statement %d (%s): repeated", ErrText, i+1, part)
		}
		seen[at] = true
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

// place is where a keyword may stand once: in the nth unit that repeats, or
// (n = 0) in the code.
type place struct {
	key string
	n   int
}

// place is the place of the next statement. Words that begin a unit that
// repeats have a new place each time.
func (u *Units) place(key string) place {
	switch {
	case key == "PLAY", key == "RENDER", key == "EXECUTE", slices.Contains(usageWords, key):
		return place{key, len(u.Usage)}
	case key == "LEND", key == "LEND_TIME", key == "LEND_COUNT":
		return place{key, len(u.Extended)}
	}
	return place{key, 0}
}

// usageWords are the conditions of PLAY, RENDER and EXECUTE.
var usageWords = []string{"START_TIME", "END_TIME", "INTERVAL", "PLAY_COUNT", "ACCUMULATED", "OUTPUT_PROTECTION", "RESOLUTION", "PART"}

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
	if !slices.Contains(usageWords, key) {
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
		err = parseValue(&x.Output, TagPlayback, itemOutput, value)
	case "RESOLUTION":
		x.MaxPixels, err = parsePixels(value)
	case "PART":
		x.Part, err = hex.DecodeString(value)
	}
	return true, err
}

func (u *Units) managementText(key, value string) (done bool, err error) {
	m := u.Management
	if m == nil {
		m = new(ManagementUnit)
	}
	switch key {
	case "COPY":
		err = parseValue(&m.Copy, TagManagement, itemCopyMode, value)
	case "COPY_COUNT":
		m.CopyCount, err = parseNumber(value)
	case "MAX_GENERATION":
		m.MaxGeneration, err = parseNumber(value)
	case "MOVE":
		err = parseValue(&m.Move, TagManagement, itemMove, value)
	case "TRANSFER":
		m.Transfer, err = parseNumber(value)
	case "TRANSCODE":
		err = parseValue(&m.Transcode, TagManagement, itemTranscode, value)
	case "ENCRYPTION":
		err = parseValue(&m.Encryption, TagManagement, itemEncryption, value)
	case "TIMELINE":
		err = parseValue(&m.Timeline, TagManagement, itemTimeline, value)
	default:
		return false, nil
	}
	u.Management = m
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
	c := u.Classification
	if c == nil {
		c = new(ClassificationUnit)
	}
	switch key {
	case "DISCLOSURE":
		err = parseValue(&c.Disclosure, TagClassification, itemDisclosure, value)
	case "PURPOSE":
		err = parseValue(&c.Purpose, TagClassification, itemPurpose, value)
	case "CHARGE":
		err = parseValue(&c.Charge, TagClassification, itemCharge, value)
	case "BILLING":
		err = parseValue(&c.Billing, TagClassification, itemBilling, value)
	case "APPLICATION":
		err = parseValue(&c.Application, TagClassification, itemApplication, value)
	case "SPONSOR":
		c.Sponsor = value
	case "TERRITORY":
		c.Territory = list(value)
		slices.Sort(c.Territory)
	case "USAGE_CLASS":
		err = parseValue(&c.UsageClass, TagClassification, itemUsageClass, value)
	default:
		return false, nil
	}
	u.Classification = c
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
