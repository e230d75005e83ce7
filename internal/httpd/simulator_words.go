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

// stepSays puts one step of a story into words: by its verb, and more exactly by its
// verb and the word behind it.
func stepSays(e *scenario.Event) string {
	words := strings.Fields(e.Text)
	s := maybe("sim.step." + words[0])
	if len(words) > 1 {
		first, _, _ := strings.Cut(words[1], "=")
		s = cmp.Or(maybe("sim.step."+words[0]+"/"+first), s)
	}
	if words[0] == "region" && len(words) > 1 && len(words[1]) == 2 {
		s = say("sim.country", words[1])
	}
	s = cmp.Or(s, say("sim.something"))
	if e.Watched > 0 {
		return say("sim.step.for", s, span(e.Watched))
	}
	return say("sim.sentence", s)
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
	action := "sim.action." + p.String()
	return cmp.Or(maybe(action+"."+kind), say(action+".yes"))
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
			w = Why{Sentence: say("why.from", when(at)), Warning: w.Warning}
		case at != 0 && r.Remedy == license.WaitUntil:
			w.Help = say("sim.wait", when(at))
		case at != 0:
			w.Help = strings.TrimSpace(w.Help + " " + say("why.again", when(at)))
		}
		var tier license.Tier
		if r.Code == license.OutputCode && r.Constraint != "" && tier.UnmarshalText([]byte(r.Constraint)) == nil {
			c, n := utf8.DecodeRuneInString(w.Sentence)
			w.Sentence = say("sim.of-quality", qualityWords(tier), string(unicode.ToLower(c))+w.Sentence[n:])
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
		return say("tier.other")
	}
	return tierWords(content.Tier(t))
}

// storyFacts says what there is to know besides: quality, what is left, what
// needs a yes, notes.
func storyFacts(d *license.Decision) []string {
	out := []string{}
	if d.Allow && d.Tier != 0 {
		out = append(out, say("sim.best", qualityWords(d.Tier)))
	}
	c := *d
	c.ValidUntil = 0 // the story's time is said apart
	for _, s := range leftOf(&c, time.Time{}) {
		out = append(out, say("sim.sentence", s))
	}
	if n := d.Counters.CopiesLeft; n != nil {
		out = append(out, many("sim.copies", *n))
	}
	c.Confirm = slices.Clone(d.Confirm)
	for i := range c.Confirm {
		c.Confirm[i].Until = 0
	}
	out = append(out, ConfirmsOf(&c)...)
	for _, n := range d.Notes {
		if s := maybe("sim.note." + n); s != "" {
			out = append(out, s)
		}
	}
	if len(d.Blocked) > 0 {
		out = append(out, say("sim.dark"))
	}
	return out
}

// storyUntil says how long a segment holds.
func storyUntil(x *scenario.Segment, when func(int64) string) string {
	switch {
	case x.Holds == 0:
		return say("sim.lasts")
	case x.Holds > x.Until:
		return say("sim.until-else", when(x.Holds))
	}
	return say("sim.until", when(x.Holds))
}
