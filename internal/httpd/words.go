package httpd

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/security/sltp"
	"github.com/lares-drm/lares/security/trem"
	"github.com/lares-drm/lares/service/home"
)

// Everything that pages and commands say to people is here, in
// simulator_words.go or in templates/.

const (
	wordsNotAllowed = "This is not possible now."
	wordsEnded      = "This playback has ended."
	wordsNotReady   = "The secure player of the house is not ready yet."
	wordsWrongCode  = "No waiting device shows this code. Compare it once more; after five wrong codes the device has to ask again."
)

// Why is one reason for people: what is the matter, and what helps.
type Why struct {
	Sentence string `json:"sentence"`
	Help     string `json:"help,omitempty"`
	Warning  bool   `json:"warning,omitempty"` // does not stop anything
}

// reasonWords maps each code of a decision to a sentence.
var reasonWords = map[license.Code]string{
	license.NoGrant:            "You do not have this yet.",
	license.NotYet:             "It cannot be watched yet.",
	license.Expired:            "The time for watching it is over.",
	license.IntervalOver:       "The viewing time that began with the first play is over.",
	license.CountExhausted:     "All plays are used.",
	license.TimeExhausted:      "The whole viewing time is used.",
	license.ClockStale:         "I do not know the time: connect to the house once.",
	license.ClockBehind:        "The clock of this machine is behind; the proven time is used.",
	license.StateClockConflict: "What was noted about earlier plays does not fit the time.",
	license.StateRolledBack:    "This player was set back to an older state, so what is counted waits until it has healed from the copy that its house keeps; lares device heal says why it does not.",
	license.Region:             "It may not be watched in this region.",
	license.OutputCode:         "It may not be shown this way.",
	license.KeyNotGranted:      "This quality is not part of what you have.",
	license.TREMLevel:          "This player is not secure enough for it.",
	license.SlotFull:           "It is being watched on as many screens as allowed.",
	license.StatusStale:        "The shop has not been heard from for a while.",
	license.RevokedCode:        "It is on the safety list and may not be used.",
	license.LockedInMove:       "It is just being moved to another device.",
	license.LentOut:            "It is lent.",
	license.MovedAway:          "It was moved to another device.",
	license.Generation:         "No further copy may be made of this copy.",
	license.DestNotAllowed:     "It may not go there.",
	license.NeedsConfirm:       "It needs your yes first.",
	license.UnknownCritical:    "It has a condition that this version does not know.",
	license.BadSignature:       "It cannot be proven that this comes from the shop.",
	license.SubjectMismatch:    "It belongs to another house or device.",
	license.SunsetCode:         "The shop has announced its end for this title.",
	license.PersonCode:         "Your house does not allow you this.",
}

// constraintWords says it more exactly for a code with one constraint.
var constraintWords = map[string]string{
	"OUTPUT/EXPORT":                "It may not be played in a browser.",
	"OUTPUT/OVERLAY":               "It wants a visible mark on the picture, and this player draws none.",
	"NO_GRANT/PART":                "This part is not in what you have.",
	"NO_GRANT/TIMELINE":            "What was not seen yet cannot be skipped.",
	"NO_GRANT/LEND_TIME":           "It may not be lent for so long.",
	"NO_GRANT/MOVE":                "It may not be moved.",
	"NO_GRANT/COPY":                "It may not be copied.",
	"NO_GRANT/LEND":                "It may not be lent.",
	"NO_GRANT/TRANSFER":            "It may not be given away.",
	"EXPIRED/RENEWAL":              "The shop has said that it does not go on.",
	"NOT_YET/TRANSFER_COOLDOWN":    "It was given away a short while ago.",
	"COUNT_EXHAUSTED/COPY_COUNT":   "All copies were made.",
	"COUNT_EXHAUSTED/TRANSFER":     "It was given away as often as it may be.",
	"TREM_LEVEL/DEST_LEVEL":        "The other device is not secure enough for it.",
	"TREM_LEVEL/DEST_ANCHOR":       "The other device cannot keep it safely enough.",
	"DEST_NOT_ALLOWED/ALLOWANCE":   "Devices of the house still have it (lares device return).",
	"DEST_NOT_ALLOWED/COUNTERSIGN": "The house or the shop must agree to it first.",
	"DEST_NOT_ALLOWED/ENCRYPTION":  "It may not leave without protection.",
	"DEST_NOT_ALLOWED/RENDERER":    "Say where or how it is to be shown.",
	"SUBJECT_MISMATCH/MEMBERSHIP":  "This device has not been with the house for too long.",
	"REGION/UNKNOWN":               "It is not proven in which country this is.",
	"REGION/ROAM_DAYS":             "It was used abroad on as many days as it may be.",
	"NEEDS_CONFIRM/METERED":        "The shop wants to be told that you watch it: it needs your yes first.",
	"LENT_OUT/LEND_COUNT":          "It is lent already.",
	"PERSON/RATING":                "It is for older people.",
	"PERSON/HOURS":                 "It is not your time for films.",
	"PERSON/HANDLING":              "Only an adult of the house may do that.",
}

// remedyWords maps each remedy to what one can do.
var remedyWords = map[license.Remedy]string{
	license.SyncTime:       "Connect the home server to the Internet for a moment.",
	license.Renew:          "Fetch it again from the shop.",
	license.ConnectDisplay: "Connect a screen with the protection it asks for.",
	license.Takeover:       "Stop it on the other screen.",
	license.MoveInstead:    "Move it instead of copying it.",
	license.ReturnFirst:    "Give back what is out first.",
	license.ResumeMove:     "Let the move finish.",
	license.WaitUntil:      "Wait until then.",
	license.Buy:            "Get it from a shop or library.",
	license.Contact:        "Ask the shop or library.",
	license.AskAdult:       "Ask an adult of the house.",
}

// sourceWords maps each code with which a shop, or the house towards a device,
// answers a request to a sentence.
var sourceWords = map[sltp.ErrorCode]string{
	sltp.ErrorRefused:     "It is not given.",
	sltp.ErrorBadRequest:  "The request was not understood; one side may need an update.",
	sltp.ErrorUnknown:     "There is no such title.",
	sltp.ErrorNoGrant:     "Nothing was bought, rented or borrowed for this house.",
	sltp.ErrorExhausted:   "All of it was given out or used already.",
	sltp.ErrorNotMember:   "This device does not belong to the house, or no longer: pair it again.",
	sltp.ErrorRevoked:     "It is on the safety list and may not be used.",
	sltp.ErrorStaleEpoch:  "The safety list here is old: connect once, then ask again.",
	sltp.ErrorSuiteFloor:  "It needs a stronger protection on the way.",
	sltp.ErrorLevel:       "This player is not secure enough for it.",
	sltp.ErrorTryLater:    "Ask again a little later.",
	sltp.ErrorConflict:    "The request was used for something else.",
	sltp.ErrorDomainFull:  "It is on as many devices of your house as its shop or library allows: remove one that you do not use any more (lares home remove), or give the title back there.",
	sltp.ErrorDomainRate:  "Its shop or library allows so many new devices a year, and this would be one more: play it on a device that has something of it already.",
	sltp.ErrorUnavailable: "The other side failed; nothing was given or counted.",
}

// SourceWords says why a shop, or the house towards a device, gave nothing.
func SourceWords(code string) string {
	c, _ := sltp.ErrorCodeOf(code)
	return cmp.Or(sourceWords[c], "It is not given.")
}

// confirmWords maps each thing that wants a yes to its sentence.
var confirmWords = map[license.ConfirmKind]string{
	license.StartsInterval: "Starting it begins your viewing time.",
	license.LastPlay:       "This is the last play.",
	license.Metered:        "The shop wants to be told that you watch it.",
}

// WordsOf puts one reason into words for people, and what would help. It is the
// one table for pages and commands.
func WordsOf(r license.Reason) Why {
	w := Why{Sentence: cmp.Or(constraintWords[string(r.Code)+"/"+r.Constraint], reasonWords[r.Code], wordsNotAllowed), Help: remedyWords[r.Remedy], Warning: !r.Closed}
	switch {
	case r.Code == license.OutputCode && r.Constraint == "EXPORT":
		w.Help = "Play it on a paired device."
	case r.Earliest != 0 && r.Code == license.NotYet && r.Constraint == "START_TIME":
		w.Sentence = "It can be watched from " + moment(r.Earliest) + "."
	case r.Earliest != 0:
		w.Help = strings.TrimSpace(w.Help + " It works again from " + moment(r.Earliest) + ".")
	}
	return w
}

// reasonsOf puts a decision's reasons into words, those that stop it first.
func reasonsOf(d *license.Decision) []Why {
	var out []Why
	for _, r := range d.Reasons {
		if w := WordsOf(r); !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(a, b Why) int { return b2i(a.Warning) - b2i(b.Warning) })
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sentences(why []Why) []string {
	var out []string
	for _, w := range why {
		out = append(out, strings.TrimSpace(w.Sentence+" "+w.Help))
	}
	return out
}

// onlyConfirm reports whether a yes is all that is missing.
func onlyConfirm(d *license.Decision) bool {
	for _, r := range d.Reasons {
		if r.Closed && r.Code != license.NeedsConfirm {
			return false
		}
	}
	return d.Has(license.NeedsConfirm)
}

// ConfirmsOf says what one should know before the use.
func ConfirmsOf(d *license.Decision) []string {
	var out []string
	for _, c := range d.Confirm {
		s := cmp.Or(confirmWords[c.Kind], "It needs your yes first.")
		if c.Kind == license.Metered {
			out = append(out, s+" "+reportWords(c))
			continue
		}
		if c.Until != 0 {
			s += " You can watch it until " + moment(c.Until) + "."
		}
		out = append(out, s)
	}
	return out
}

// reportWords says what is told to whom, and until when.
func reportWords(c license.Confirm) string {
	what := "that you began it"
	if c.What == license.ReportMinutes.String() {
		what = "how many minutes you watch"
	}
	s := fmt.Sprintf("It is told %s: %s", cmp.Or(c.To, "the shop"), what)
	if c.Until != 0 {
		s += ", until " + moment(c.Until)
	}
	return s + "."
}

// leftOf says what is left: plays, minutes, and until when.
func leftOf(d *license.Decision) []string {
	var out []string
	if n := d.Counters.PlaysLeft; n != nil {
		out = append(out, count(*n, "play", "plays")+" left")
	}
	if ms := d.Counters.MSLeft; ms != nil {
		out = append(out, count(uint64(max(*ms, 0)/60_000), "minute", "minutes")+" left") // not negative
	}
	if d.Allow && d.ValidUntil != 0 {
		out = append(out, "until "+moment(d.ValidUntil))
	}
	return out
}

// KindOf says what is held, in one word for people.
func KindOf(h trem.Held) string {
	switch h.Kind {
	case 2:
		return "Loan"
	case 3:
		return "Plays set aside for this device"
	}
	units, err := permission.ParseText(h.Terms)
	if err != nil {
		return "Your copy"
	}
	for i := range units.Usage {
		u := &units.Usage[i]
		if u.PlayCount != 0 || u.Interval != 0 || u.EndTime != 0 || u.Accumulated != 0 {
			return "Rental"
		}
	}
	return "Your copy"
}

// stopWords says why a playback ended.
func stopWords(s *home.Stopped) string {
	switch s.Reason {
	case home.StopOwner:
		return "Somebody in the house stopped this."
	case home.StopPlayer:
		return "The player was left."
	case home.StopIdle:
		return "It was stopped because nobody seemed to watch."
	case home.StopShutdown:
		return "The home server was switched off."
	case home.StopRefused:
		if s.Decision != nil {
			if why := sentences(reasonsOf(s.Decision)); len(why) > 0 {
				return why[0]
			}
		}
		return wordsNotAllowed
	default: // below
	}
	return "The stream failed. Try again."
}

// shopWords says why a shop gave nothing.
func shopWords(e *home.ShopError) string {
	s := "The shop or library gave nothing. " + SourceWords(e.Code)
	if e.RetryMS > 0 {
		s += " Ask again in " + span(e.RetryMS) + "."
	}
	return s
}

// accountLaterWords says why an account is not looked at, and what helps.
func accountLaterWords(l home.AccountLater) string {
	return "The shop or library looks at no account from here for " + span(l.RetryMS) + ", because wrong ones were shown. Check this house's account (lares home account), and ask again then."
}

// clockWords says how well the secure player knows the time.
func clockWords(c trem.ClockStatus) string {
	switch c.Quality {
	case "SECURE":
		return "The time is proven."
	case "ANCHORED":
		return "The time was proven before the last restart."
	case "FREE":
		return "The time since the last proof is counted, not proven."
	}
	return "I do not know the time: connect to the house once."
}

func tierWords(t content.Tier) string {
	switch t {
	case content.Audio:
		return "Sound"
	case content.SD:
		return "SD"
	case content.HD:
		return "HD"
	case content.UHD:
		return "4K"
	}
	return "Other"
}

// moment prints a time of a license in the home server's time zone.
func moment(ms int64) string { return stamp(time.UnixMilli(ms)) }

func stamp(t time.Time) string { return t.Local().Format("2 Jan 2006, 15:04") }

// span prints a duration in the largest sensible unit.
func span(ms int64) string {
	switch s := uint64(max(ms, 0)) / 1000; { // not negative
	case s < 90:
		return count(max(s, 1), "second", "seconds")
	case s < 90*60:
		return count((s+30)/60, "minute", "minutes")
	default:
		return count((s+1800)/3600, "hour", "hours")
	}
}

// length prints the length of a film.
func length(ms int64) string {
	m := (ms + 30_000) / 60_000
	switch {
	case ms < 90_000:
		return fmt.Sprintf("%d s", ms/1000)
	case m < 60:
		return fmt.Sprintf("%d min", m)
	}
	return fmt.Sprintf("%d h %02d min", m/60, m%60)
}

func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(n, 10) + " " + many
}
