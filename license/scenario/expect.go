package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// expectation is one thing that must come of a step: check says what came
// instead, or nothing.
type expectation struct {
	text  string
	check func(r *run, out *outcome) string
}

// reader reads the words behind =>.
type reader struct {
	words []string
	at    int
}

func (x *reader) peek() string {
	if x.at < len(x.words) {
		return x.words[x.at]
	}
	return ""
}

func (x *reader) next() string {
	w := x.peek()
	x.at++
	return w
}

// upper takes the words in capitals that follow.
func (x *reader) upper() []string {
	var out []string
	for w := x.peek(); w != "" && w[0] >= 'A' && w[0] <= 'Z'; w = x.peek() {
		out = append(out, x.next())
	}
	return out
}

// wanted is what stands behind =>, for the error.
const wanted = "allow [TIER], refuse CODE(CONSTRAINT) …, warn, until, next, earliest, remedy, confirm, note, unlock, blocked, keys, fails, code(…), lost, end, choice, and key=value of the counters and the state"

func parseExpect(words []string) ([]expectation, error) {
	x := &reader{words: words}
	var out []expectation
	for x.at < len(words) {
		from := x.at
		check, err := x.one()
		if err != nil {
			return nil, err
		}
		out = append(out, expectation{strings.Join(words[from:min(x.at, len(words))], " "), check})
	}
	return out, nil
}

// one reads one expectation.
func (x *reader) one() (func(*run, *outcome) string, error) {
	w := x.next()
	if inner, ok := strings.CutPrefix(w, "code("); ok && strings.HasSuffix(inner, ")") {
		return expectCode(inner[:len(inner)-1])
	}
	if inner, ok := strings.CutPrefix(w, "note("); ok && strings.HasSuffix(inner, ")") {
		return expectNote(inner[:len(inner)-1]), nil
	}
	if inner, ok := strings.CutPrefix(w, "next("); ok && strings.HasSuffix(inner, ")") {
		return expectNext(inner[:len(inner)-1])
	}
	if key, value, ok := strings.Cut(w, "="); ok {
		return expectValue(key, value)
	}
	switch w {
	case "allow":
		return x.allow()
	case "refuse":
		return x.refuse()
	case "warn":
		return x.warn()
	case "until", "earliest", "end", "hard-end":
		return expectTime(w, x.next())
	case "remedy":
		return x.remedy()
	case "confirm":
		return x.confirm()
	case "note":
		return expectNote(x.next()), nil
	case "unlock", "blocked", "keys", "lost":
		return x.list(w)
	case "fails":
		return func(_ *run, out *outcome) string {
			if out.err != nil {
				return ""
			}
			return "it was done"
		}, nil
	}
	return nil, fmt.Errorf("%q is nothing to expect; behind => stand %s", w, wanted)
}

// decided wraps a check that needs a decision.
func decided(f func(r *run, d *license.Decision) string) func(*run, *outcome) string {
	return func(r *run, out *outcome) string {
		if out.decision == nil {
			return "no decision: this step gives none"
		}
		return f(r, out.decision)
	}
}

func (x *reader) allow() (func(*run, *outcome) string, error) {
	var tier license.Tier
	if w := x.peek(); w != "" && (&tier).UnmarshalText([]byte(w)) == nil {
		x.next()
	}
	return decided(func(_ *run, d *license.Decision) string {
		switch {
		case !d.Allow:
			return "refused: " + reasons(d, true)
		case tier != 0 && d.Tier != tier:
			return "allow " + d.Tier.String()
		}
		return ""
	}), nil
}

// reasons lists reasons as a story writes them.
func reasons(d *license.Decision, closed bool) string {
	var out []string
	for _, r := range d.Reasons {
		if r.Closed == closed {
			out = append(out, string(r.Code)+"("+r.Constraint+")")
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, " ")
}

// named reports whether a reason is what CODE or CODE(CONSTRAINT) says.
func named(r license.Reason, word string) bool {
	code, constraint, ok := strings.Cut(strings.TrimSuffix(word, ")"), "(")
	return string(r.Code) == code && (!ok || r.Constraint == constraint)
}

// knownCodes refuses a code that no decision carries.
func knownCodes(words []string) error {
	codes := []license.Code{
		license.NoGrant, license.NotYet, license.Expired, license.IntervalOver, license.CountExhausted, license.TimeExhausted, license.ClockStale, license.ClockBehind, license.ClockAhead,
		license.StateClockConflict, license.StateRolledBack, license.Region, license.OutputCode, license.KeyNotGranted, license.TREMLevel, license.SlotFull, license.StatusStale,
		license.RevokedCode, license.LockedInMove, license.LentOut, license.MovedAway, license.Generation, license.DestNotAllowed, license.NeedsConfirm, license.UnknownCritical,
		license.BadSignature, license.SubjectMismatch, license.SunsetCode, license.PersonCode,
	}
	for _, w := range words {
		if !slices.ContainsFunc(codes, func(c license.Code) bool { return named(license.Reason{Code: c}, strings.SplitN(w, "(", 2)[0]) }) {
			return fmt.Errorf("%q is no code of a reason, such as EXPIRED or EXPIRED(END_TIME)", w)
		}
	}
	return nil
}

// refuse: exactly these closed reasons, and no others.
func (x *reader) refuse() (func(*run, *outcome) string, error) {
	words := x.upper()
	if err := knownCodes(words); err != nil {
		return nil, err
	}
	return decided(func(_ *run, d *license.Decision) string {
		if d.Allow {
			return "allow " + d.Tier.String()
		}
		if len(words) == 0 {
			return ""
		}
		met := make([]bool, len(words))
		for _, r := range d.Reasons {
			ok := !r.Closed
			for i, w := range words {
				if r.Closed && named(r, w) {
					ok, met[i] = true, true
				}
			}
			if !ok {
				return "refused: " + reasons(d, true)
			}
		}
		if slices.Contains(met, false) {
			return "refused: " + reasons(d, true)
		}
		return ""
	}), nil
}

func (x *reader) warn() (func(*run, *outcome) string, error) {
	none := x.peek() == "none"
	if none {
		x.next()
	}
	words := x.upper()
	if err := knownCodes(words); err != nil {
		return nil, err
	}
	if len(words) == 0 && !none {
		return nil, fmt.Errorf("warn: want codes, or none")
	}
	return decided(func(_ *run, d *license.Decision) string {
		for _, w := range words {
			if !slices.ContainsFunc(d.Reasons, func(r license.Reason) bool { return !r.Closed && named(r, w) }) {
				return "warned: " + reasons(d, false)
			}
		}
		if none && reasons(d, false) != "nothing" {
			return "warned: " + reasons(d, false)
		}
		return ""
	}), nil
}

func (x *reader) remedy() (func(*run, *outcome) string, error) {
	words := x.upper()
	none := len(words) == 0 && x.peek() == "none"
	if none {
		x.next()
	}
	if len(words) == 0 && !none {
		return nil, fmt.Errorf("remedy: want one such as BUY, or none")
	}
	return decided(func(_ *run, d *license.Decision) string {
		var have []string
		for _, r := range d.Reasons {
			if r.Remedy != "" {
				have = append(have, string(r.Remedy))
			}
		}
		missing := slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(have, w) })
		if missing || none && len(have) > 0 {
			return "remedies: " + strings.Join(have, " ")
		}
		return ""
	}), nil
}

// confirm: exactly these confirms, or none.
func (x *reader) confirm() (func(*run, *outcome) string, error) {
	words := x.upper()
	if len(words) == 0 && x.next() != "none" {
		return nil, fmt.Errorf("confirm: want STARTS_INTERVAL, LAST_PLAY, METERED or none")
	}
	slices.Sort(words)
	return decided(func(_ *run, d *license.Decision) string {
		have := each(d.Confirm, func(c license.Confirm) string { return string(c.Kind) })
		slices.Sort(have)
		if !slices.Equal(have, words) {
			return fmt.Sprintf("confirms: %v", have)
		}
		return ""
	}), nil
}

// expectNote: a note that is, or begins with, the text.
func expectNote(text string) func(*run, *outcome) string {
	return decided(func(_ *run, d *license.Decision) string {
		if text == "none" && len(d.Notes) == 0 || slices.ContainsFunc(d.Notes, func(n string) bool { return strings.HasPrefix(n, text) }) {
			return ""
		}
		return fmt.Sprintf("notes: %q", d.Notes)
	})
}

// expectNext is next(CHANGE TIME): an entry of the decision's future.
func expectNext(text string) (func(*run, *outcome) string, error) {
	name, when, has := strings.Cut(text, " ")
	m, err := parseMoment(when)
	if !has {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("next: %w", err)
	}
	return decided(func(r *run, d *license.Decision) string {
		var have []string
		for _, c := range d.Next {
			if c.Change == name && (!has || c.At == m.in(r.zero, r.began)) {
				return ""
			}
			have = append(have, c.Change+" "+dayText(r.zero, c.At))
		}
		if name == "none" && len(d.Next) == 0 {
			return ""
		}
		return "next: " + strings.Join(have, ", ")
	}), nil
}

// list: exactly these, or none, of what the decision lists.
func (x *reader) list(what string) (func(*run, *outcome) string, error) {
	var words []string
	for _, w := range x.upper() {
		words = append(words, strings.Split(w, "+")...)
	}
	if len(words) == 0 && x.next() != "none" {
		return nil, fmt.Errorf("%s: want names in capitals, or none", what)
	}
	return func(r *run, out *outcome) string {
		var have []string
		switch d := out.decision; {
		case what == "lost":
			have = out.lost
		case d == nil:
			return "no decision: this step gives none"
		case what == "unlock":
			have = each(d.WouldUnlock, func(u license.Unlock) string { return u.Tier.String() })
		case what == "blocked":
			have = each(d.Blocked, func(c license.OutputClass) string { return string(c) })
		case out.in != nil:
			for i := range out.in.lic.Info().Keys {
				if k := &out.in.lic.Info().Keys[i]; slices.Contains(d.KIDs, k.KID) {
					have = append(have, k.Tier.String())
				}
			}
		}
		a, b := slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(words))
		if !slices.Equal(a, b) {
			return fmt.Sprintf("%s %v", what, have)
		}
		return ""
	}, nil
}

// expectCode is the permission code of a derived license.
func expectCode(text string) (func(*run, *outcome) string, error) {
	u, err := permission.ParseText(text)
	if err != nil {
		return nil, err
	}
	return func(_ *run, out *outcome) string {
		if out.child == nil {
			return fmt.Sprintf("no license: %v", out.err)
		}
		if got := out.child.Units().Text(); got != u.Text() {
			return got
		}
		return ""
	}, nil
}
