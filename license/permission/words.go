package permission

import (
	"fmt"
	"strings"
)

// Words says in sentences what the code permits and under which conditions, one
// sentence an element. They are for people and may change; programs use Units.
func (u *Units) Words() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for i := range u.Usage {
		u.Usage[i].words(say)
	}
	if m := u.Management; m != nil {
		m.words(say)
	}
	for i := range u.Extended {
		e := &u.Extended[i]
		longest := e.MaxDuration
		if longest == 0 {
			longest = 14 * 86400_000
		}
		say("May be lent for up to %s, %s at a time.", formatDuration(longest), number(max(e.MaxLoans, 1), "loan"))
	}
	if u.Export != nil && len(u.Export.Systems) > 0 {
		say("May be relayed to: %s.", strings.Join(u.Export.Systems, ", "))
		if u.Export.Names(SystemClearKey) {
			say("May be watched in a browser of the household.")
		}
	}
	if c := u.Classification; c != nil {
		c.words(say)
	}
	if len(u.Usage) == 0 && len(out) == 0 {
		say("Permits nothing.")
	}
	for _, name := range u.UnknownCritical(0) {
		say("Has a condition that this version does not know (%s): what it stands at is refused.", name)
	}
	return out
}

func number(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (u *UsageUnit) words(say func(string, ...any)) {
	verb := map[UsageKind]string{Playback: "played", Print: "rendered", Execute: "executed"}[u.Kind]
	what := "May be " + verb
	if len(u.Part) > 0 {
		what = fmt.Sprintf("Part %x may be %s", u.Part, verb)
	}
	var conditions []string
	add := func(format string, args ...any) { conditions = append(conditions, fmt.Sprintf(format, args...)) }
	if u.StartTime != 0 {
		add("from %s", formatTime(u.StartTime))
	}
	if u.EndTime != 0 {
		add("until before %s", formatTime(u.EndTime))
	}
	if u.Interval != 0 {
		add("for %s after the first use", formatDuration(u.Interval))
	}
	if u.PlayCount != 0 {
		add("%s in all", number(u.PlayCount, "time"))
	}
	if u.Accumulated != 0 {
		add("%s in total", formatDuration(u.Accumulated))
	}
	if u.MaxPixels != 0 {
		add("in pictures of up to %s", formatPixels(u.MaxPixels))
	}
	if u.Output != ProtectNone {
		add("on outputs protected by %s or better", u.Output)
	}
	if len(conditions) == 0 {
		say("%s without limit.", what)
		return
	}
	say("%s %s.", what, strings.Join(conditions, ", "))
}

func (m *ManagementUnit) words(say func(string, ...any)) {
	switch m.Copy {
	case CopyFree:
		say("May be copied freely.")
	case CopyCounted:
		say("May be copied %s.", number(m.CopyCount, "time"))
	case CopyOnce:
		say("May be copied once; the copy may not be copied.")
	case CopyNoMore, CopyNever:
		say("May not be copied.")
	default: // nothing is said
	}
	switch m.Move {
	case MoveDomain:
		say("May be moved between the devices of the household.")
	case MoveAny:
		say("May be moved to another device.")
	default: // nothing is said
	}
	if m.Transfer != 0 {
		say("May be given away %s.", number(m.Transfer, "time"))
	}
	switch m.Transcode {
	case TranscodeDeny:
		say("May not be converted to another format.")
	case TranscodeLower:
		say("May be converted to smaller pictures only.")
	case TranscodeFree:
		say("May be converted to other formats.")
	default: // nothing is said
	}
	switch m.Encryption {
	case EncryptionKeep:
		say("Stays protected where it leaves for another system.")
	case EncryptionRelease:
		say("May leave for another system without protection.")
	default: // nothing is said
	}
	switch m.Timeline {
	case TimelineNoSkip:
		say("What has not been seen may not be skipped.")
	case TimelineFree:
		say("May be skipped through.")
	default: // nothing is said
	}
}

func (c *ClassificationUnit) words(say func(string, ...any)) {
	if n := valueName(TagClassification, itemCharge, uint8(c.Charge)); n != "" {
		say("Charge model: %s.", strings.ToLower(n))
	}
	if c.Sponsor != "" {
		say("Paid for by %s.", c.Sponsor)
	}
	if len(c.Territory) > 0 {
		say("Issued for: %s.", strings.Join(c.Territory, ", "))
	}
	if c.UsageClass == UsageClassLive {
		say("Live content.")
	}
}
