package httpd

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/content"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
	"github.com/lares-drm/lares/license/scenario"
)

// What the simulator says to people; times are the story's.

// saying is what a decision about an action comes to.
type saying struct{ yes, less, no string }

var actionWords = map[permission.Permission]saying{
	permission.Play:     {"It plays.", "It plays, with less than it could.", "It does not play."},
	permission.Render:   {"It may be shown.", "It may be shown, with less than it could.", "It may not be shown."},
	permission.Copy:     {"It may be copied.", "", "It may not be copied."},
	permission.Move:     {"It may be moved.", "", "It may not be moved."},
	permission.Transfer: {"It may be given away.", "", "It may not be given away."},
	permission.Lend:     {"It may be lent.", "", "It may not be lent."},
	permission.Export:   {"It may go to another system.", "", "It may not go to another system."},
}

// stepWords says what a step of a story does, by its verb, and more exactly by
// its verb and the word behind it.
var stepWords = map[string]string{
	"ask": "Somebody asks whether it plays", "start": "Somebody starts it", "watch": "It is watched", "read": "It is read at full speed",
	"stop": "It is stopped", "crash": "The player crashes", "wait": "Time passes", "choose": "What they have is compared, and the best is taken",
	"use": "From here on it is about another title", "reserve": "One is set aside", "commit": "It is done for good", "release": "It is undone",
	"give": "Some of it is set aside for a device", "take-back": "What was set aside comes back", "derive": "A smaller right is made from it",
	"renew": "A new one takes its place", "deny": "The shop says that it does not go on", "state": "What is noted about it is set",
	"clock": "The clock changes", "clock secure": "The time is proven again", "clock lost": "The time is no longer proven",
	"clock free": "The time is counted, not proven", "clock unset": "The time is not known", "clock back": "The clock is set back", "clock ahead": "The clock is set ahead",
	"issuer-time": "The shop has signed a time", "display": "It is watched on another screen", "plug": "A further screen is plugged in", "unplug": "A screen is unplugged",
	"device": "The device changes", "member": "The device joins the house", "leave": "The device leaves the house", "users": "Other people are there",
	"accepted": "Where it comes from is judged", "compromised": "A key of the shop has leaked", "status": "The safety list changes", "revoke": "Something is put on the safety list",
	"region none": "Nobody knows in which country it is", "slot": "It is watched on another screen too",
	"offline": "The Internet is away", "online": "The Internet is back", "sunset": "The shop announces its end for the title", "grace": "The device is patient for another time",
	"ask COPY": "Somebody asks whether it may be copied", "ask MOVE": "Somebody asks whether it may be moved", "ask TRANSFER": "Somebody asks whether it may be given away",
	"ask LEND": "Somebody asks whether it may be lent", "ask EXPORT": "Somebody asks whether it may go to another system", "ask RENDER": "Somebody asks whether it may be shown",
	"derive loan": "It is lent", "derive copy": "A copy is made", "derive allowance": "Some of it is set aside for a device", "derive export": "It goes to another system",
}

// noteWords says what a note of a decision means.
var noteWords = map[string]string{
	"SETTLING":          "A screen has just been plugged in; what it can do is found out.",
	"ROAMING":           "It is used abroad; such days are counted.",
	"REGION_UNKNOWN":    "It is not proven in which country this is.",
	"MIN_OVER_OUTPUTS":  "Every screen that shows it must be good enough.",
	"TAKES_OVER_OLDEST": "It stops where it was started first.",
}

// stepSays puts one step of a story into words.
func stepSays(e *scenario.Event) string {
	words := strings.Fields(e.Text)
	s := stepWords[words[0]]
	if len(words) > 1 {
		first, _, _ := strings.Cut(words[1], "=")
		s = cmp.Or(stepWords[words[0]+" "+first], s)
	}
	if words[0] == "region" && len(words) > 1 && len(words[1]) == 2 {
		s = "It is now in " + words[1]
	}
	if e.Watched > 0 {
		s += " for " + span(e.Watched)
	}
	return cmp.Or(s, "Something happens") + "."
}

// kindOf is yes, less or no: less is a use that would show more elsewhere.
func kindOf(d *license.Decision) string {
	switch {
	case !d.Allow:
		return "no"
	case len(d.WouldUnlock) > 0 || len(d.Blocked) > 0 || slices.Contains(d.Notes, "SETTLING"):
		return "less"
	}
	return "yes"
}

func says(p permission.Permission, kind string) string {
	s := actionWords[p]
	switch kind {
	case "yes":
		return s.yes
	case "less":
		return cmp.Or(s.less, s.yes)
	}
	return s.no
}

// storyWhy puts the reasons into words; a time in them is said as the story
// writes it, and a reason about one quality names it.
func storyWhy(d *license.Decision, when func(int64) string) []Why {
	var out []Why
	for _, r := range d.Reasons {
		at := r.Earliest
		r.Earliest = 0
		w := WordsOf(r)
		switch {
		case at != 0 && r.Code == license.NotYet && r.Constraint == "START_TIME":
			w = Why{Sentence: "It can be watched from " + when(at) + ".", Warning: w.Warning}
		case at != 0 && r.Remedy == license.WaitUntil:
			w.Help = "Wait until " + when(at) + "."
		case at != 0:
			w.Help = strings.TrimSpace(w.Help + " It works again from " + when(at) + ".")
		}
		var tier license.Tier
		if r.Code == license.OutputCode && r.Constraint != "" && tier.UnmarshalText([]byte(r.Constraint)) == nil {
			c, n := utf8.DecodeRuneInString(w.Sentence)
			w.Sentence = qualityWords(tier) + ": " + string(unicode.ToLower(c)) + w.Sentence[n:]
		}
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(a, b Why) int { return b2i(a.Warning) - b2i(b.Warning) })
	return out
}

func qualityWords(t license.Tier) string {
	if t > license.Tier(content.UHD) {
		return "Other"
	}
	return tierWords(content.Tier(t))
}

// storyFacts says what there is to know besides: quality, what is left, what
// needs a yes, notes.
func storyFacts(d *license.Decision) []string {
	out := []string{}
	if d.Allow && d.Tier != 0 {
		out = append(out, "Best quality: "+qualityWords(d.Tier)+".")
	}
	c := *d
	c.ValidUntil = 0 // the story's time is said apart
	for _, s := range leftOf(&c, time.Time{}) {
		out = append(out, s+".")
	}
	if n := d.Counters.CopiesLeft; n != nil {
		out = append(out, count(*n, "copy", "copies")+" left.")
	}
	c.Confirm = slices.Clone(d.Confirm)
	for i := range c.Confirm {
		c.Confirm[i].Until = 0
	}
	out = append(out, ConfirmsOf(&c)...)
	for _, n := range d.Notes {
		if s := noteWords[n]; s != "" {
			out = append(out, s)
		}
	}
	if len(d.Blocked) > 0 {
		out = append(out, "A further screen stays dark.")
	}
	return out
}

// storyUntil says how long a segment holds.
func storyUntil(x *scenario.Segment, when func(int64) string) string {
	switch {
	case x.Holds == 0:
		return "Nothing in sight changes this by itself."
	case x.Holds > x.Until:
		return "Until " + when(x.Holds) + ", if nothing else happened."
	}
	return "Until " + when(x.Holds) + "."
}
