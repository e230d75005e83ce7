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

// What is said of a license, a device or a transfer is chosen here; its words are in
// messages/.

// Why is one reason for people: what is the matter, and what helps.
type Why struct {
	Sentence string `json:"sentence"`
	Help     string `json:"help,omitempty"`
	Warning  bool   `json:"warning,omitempty"` // does not stop anything
}

// SourceWords says why a shop, or the house towards a device, gave nothing.
func SourceWords(code string) string {
	c, _ := sltp.ErrorCodeOf(code)
	return cmp.Or(maybe("source."+c.String()), say("source.REFUSED"))
}

// WordsOf puts one reason into words for people, and what would help. It is the
// one table for pages and commands.
func WordsOf(r license.Reason) Why {
	code := "reason." + string(r.Code)
	w := Why{Sentence: cmp.Or(maybe(code+"/"+r.Constraint), maybe(code), say("not-now")), Help: maybe("remedy." + string(r.Remedy)), Warning: !r.Closed}
	switch {
	case r.Code == license.PersonCode:
		personWords(r, &w)
	case r.Code == license.OutputCode && r.Constraint == "EXPORT":
		w.Help = say("remedy.device")
	case r.Earliest != 0 && r.Code == license.NotYet && r.Constraint == "START_TIME":
		w.Sentence = say("why.from", moment(r.Earliest))
	case r.Earliest != 0 && r.Remedy == license.WaitUntil:
		w.Help = say("why.again", moment(r.Earliest))
	case r.Earliest != 0:
		w.Help = strings.TrimSpace(w.Help + " " + say("why.again", moment(r.Earliest)))
	}
	return w
}

// personWords says from which age a title is, or until when it is not somebody's time.
func personWords(r license.Reason, w *Why) {
	var rated, age int
	_, err := fmt.Sscanf(r.Have+"; "+r.Need, "rated from %d; rated from at most %d", &rated, &age)
	switch {
	case r.Constraint == "HOURS" && r.Earliest != 0:
		w.Sentence, w.Help = say("why.bedtime", moment(r.Earliest)), say("why.once")
	case r.Constraint == "RATING" && err == nil && rated > content.MaxRated:
		w.Sentence, w.Help = say("why.unrated"), say("why.rate")
	case r.Constraint == "RATING" && err == nil:
		w.Sentence, w.Help = say("why.rated", rated, age), say("why.once")
	}
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
		s := cmp.Or(maybe("confirm."+string(c.Kind)), say("reason.NEEDS_CONFIRM"))
		if c.Kind == license.Metered {
			out = append(out, s+" "+reportWords(c))
			continue
		}
		if c.Until != 0 {
			s += " " + say("confirm.until", moment(c.Until))
		}
		out = append(out, s)
	}
	return out
}

// reportWords says what is told to whom, and until when.
func reportWords(c license.Confirm) string {
	what := say("report.began")
	if c.What == license.ReportMinutes.String() {
		what = say("report.minutes")
	}
	to := cmp.Or(c.To, say("the-shop"))
	if c.Until != 0 {
		return say("report.until", to, what, moment(c.Until))
	}
	return say("report", to, what)
}

// leftOf says what is left: plays, minutes, and until when.
func leftOf(d *license.Decision, now time.Time) []string {
	var out []string
	if n := d.Counters.PlaysLeft; n != nil {
		out = append(out, many("plays-left", *n))
	}
	if ms := d.Counters.MSLeft; ms != nil {
		out = append(out, many("minutes-left", uint64(max(*ms, 0)/60_000))) // not negative
	}
	if d.Allow && d.ValidUntil != 0 {
		out = append(out, say("until", near(d.ValidUntil, now)))
	}
	return out
}

// KindOf says what is held, in one word for people.
func KindOf(h trem.Held) string {
	switch h.Kind {
	case 2:
		return say("kind.loan")
	case 3:
		return say("kind.aside")
	}
	if h.House {
		return say("kind.own")
	}
	units, err := permission.ParseText(h.Terms)
	if err != nil {
		return say("kind.copy")
	}
	if isLoan(h) {
		return say("kind.loan")
	}
	for i := range units.Usage {
		u := &units.Usage[i]
		if u.PlayCount != 0 || u.Interval != 0 || u.EndTime != 0 || u.Accumulated != 0 {
			return say("kind.rental")
		}
	}
	return say("kind.copy")
}

// stopWords says why a playback ended.
func stopWords(s *home.Stopped) string {
	switch s.Reason {
	case home.StopOwner:
		return say("stop.owner")
	case home.StopPlayer:
		return say("stop.player")
	case home.StopIdle:
		return say("stop.idle")
	case home.StopTaken:
		if s.By == "" {
			return say("stop.taken.somewhere")
		}
		return say("stop.taken", s.By)
	case home.StopShutdown:
		return say("stop.shutdown")
	case home.StopRefused:
		if s.Decision != nil {
			if why := sentences(reasonsOf(s.Decision)); len(why) > 0 {
				return why[0]
			}
		}
		return say("not-now")
	default: // below
	}
	return say("stop.failed")
}

// shopWords says why a shop gave nothing.
func shopWords(e *home.ShopError) string {
	s := say("shop.nothing") + " " + SourceWords(e.Code)
	if e.RetryMS > 0 {
		s += " " + say("shop.again", span(e.RetryMS))
	}
	return s
}

// accountLaterWords says why an account is not looked at, and what helps.
func accountLaterWords(l home.AccountLater) string {
	return say("account.later", span(l.RetryMS))
}

// clockWords says how well the secure player knows the time.
func clockWords(c trem.ClockStatus) string {
	return cmp.Or(maybe("clock."+c.Quality), say("reason.CLOCK_STALE"))
}

func tierWords(t content.Tier) string {
	return cmp.Or(maybe("tier."+t.String()), say("tier.other"))
}

// moment prints a time of a license in the home server's time zone.
func moment(ms int64) string { return stamp(time.UnixMilli(ms)) }

func stamp(t time.Time) string { return stampOf(t.Local()) }

// stampOf is a time in its own zone.
func stampOf(t time.Time) string { return say("moment", dayOf(t), t.Format("15:04")) }

// dayOf is its day.
func dayOf(t time.Time) string {
	return say("day", t.Day(), say("month."+strconv.Itoa(int(t.Month()))), t.Year())
}

// near is moment, shorter within a week: Sunday 21:00.
func near(ms int64, now time.Time) string {
	t, now := time.UnixMilli(ms).Local(), now.Local()
	midnight := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }
	switch days := int(midnight(t).Sub(midnight(now)) / (24 * time.Hour)); {
	case days == 0:
		return say("near.today", t.Format("15:04"))
	case days == 1:
		return say("near.tomorrow", t.Format("15:04"))
	case days == -1:
		return say("near.yesterday", t.Format("15:04"))
	case days > -7 && days < 7:
		return say("near.day", say("weekday."+strconv.Itoa(int(t.Weekday()))), t.Format("15:04"))
	}
	return stamp(t)
}

// span prints a duration in the largest sensible unit.
func span(ms int64) string {
	switch s := uint64(max(ms, 0)) / 1000; { // not negative
	case s < 90:
		return many("seconds", max(s, 1))
	case s < 90*60:
		return many("minutes", (s+30)/60)
	default:
		return many("hours", (s+1800)/3600)
	}
}

// length prints the length of a film.
func length(ms int64) string {
	m := (ms + 30_000) / 60_000
	switch {
	case ms < 90_000:
		return say("length.s", ms/1000)
	case m < 60:
		return say("length.m", m)
	}
	return say("length.h", m/60, fmt.Sprintf("%02d", m%60))
}
