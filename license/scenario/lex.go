package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// Limits of a story. Source: local, docs/spec/scenario.md.
const (
	MaxSize  = 64 << 10 // bytes
	MaxSteps = 500
	maxLine  = 1024 // bytes
	maxTime  = 1<<53 - 1
)

// Error is a line of a story that cannot be understood, or not be done.
type Error struct {
	Line   int    // from 1
	Reason string // the word, what is wrong with it, and what would be right
}

// Error gives the line and the reason.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Units of time, in ms.
const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// tokens splits a line into words at spaces, commas and semicolons outside of
// parentheses. What stands in parentheses belongs to the word before; "day 29
// 23:00" is one word.
func tokens(line string) []string {
	var out []string
	depth, start := 0, -1
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		}
		space := depth == 0 && strings.IndexByte(" \t,;", c) >= 0
		switch {
		case space && start >= 0:
			out, start = append(out, line[start:i]), -1
		case !space && start < 0:
			start = i
		}
	}
	if start >= 0 {
		out = append(out, line[start:])
	}
	for i := range out {
		out[i] = strings.Join(strings.Fields(out[i]), " ")
	}
	return days(out)
}

// days joins "day", its number and a time of day behind it to one word.
func days(in []string) []string {
	var out []string
	for i := 0; i < len(in); i++ {
		w := in[i]
		if w != "day" && !strings.HasSuffix(w, "=day") || i+1 == len(in) || !isInt(in[i+1]) {
			out = append(out, w)
			continue
		}
		i++
		w += " " + in[i]
		if i+1 < len(in) {
			if _, ok := clockTime(in[i+1]); ok {
				i++
				w += " " + in[i]
			}
		}
		out = append(out, w)
	}
	return out
}

func isInt(s string) bool {
	_, err := strconv.ParseInt(s, 10, 32)
	return err == nil && s[0] != '+'
}

// clockTime reads HH:MM, HH:MM:SS or HH:MM:SS.mmm as ms of the day.
func clockTime(s string) (int64, bool) {
	for _, form := range []string{"15:04", "15:04:05", "15:04:05.000"} {
		if t, err := time.Parse(form, s); err == nil && len(s) == len(form) {
			return int64(t.Hour())*hour + int64(t.Minute())*minute + int64(t.Second())*second + int64(t.Nanosecond()/1e6), true
		}
	}
	return 0, false
}

// moment is a time of a story: absolute, or relative to the story's day 0 or to
// the step it stands in.
type moment struct {
	kind byte // '@' absolute, 'd' ms since day 0, 'h' ms of the same day, '+' from now
	ms   int64
}

const wantMoment = `want a time such as "day 29 23:00", "23:00", "+90s", "then" or 2026-01-30T23:00:00Z`

// moments reads a time.
func parseMoment(s string) (moment, error) {
	if rest, ok := strings.CutPrefix(s, "day "); ok {
		n, clock, _ := strings.Cut(rest, " ")
		d, err := strconv.ParseInt(n, 10, 32)
		ms, ok := clockTime(clock)
		if err != nil || clock != "" && !ok || d < -36500 || d > 3_650_000 {
			return moment{}, fmt.Errorf("%q is no time: %s", s, wantMoment)
		}
		return moment{'d', d*day + ms}, nil
	}
	if ms, ok := clockTime(s); ok {
		return moment{'h', ms}, nil
	}
	switch {
	case s == "then" || s == "now":
		return moment{'+', 0}, nil
	case strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-"):
		ms, err := parseDuration(s[1:])
		if err != nil {
			return moment{}, err
		}
		if s[0] == '-' {
			ms = -ms
		}
		return moment{'+', ms}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Nanosecond()%1e6 != 0 || t.UnixMilli() <= 0 {
		return moment{}, fmt.Errorf("%q is no time: %s", s, wantMoment)
	}
	return moment{'@', t.UnixMilli()}, nil
}

// in resolves the moment; zero is day 0, now the time of the step.
func (m moment) in(zero, now int64) int64 {
	var at int64
	switch m.kind {
	case 'd':
		at = zero + m.ms
	case 'h':
		at = now - mod(now-zero, day) + m.ms
	case '+':
		at = now + m.ms
	default:
		at = m.ms
	}
	return min(max(at, 0), maxTime)
}

func mod(a, b int64) int64 { return (a%b + b) % b }

// parseDuration reads 48h, 1h30m, 10s, 250ms, 30d or 0s.
func parseDuration(s string) (int64, error) {
	bad := fmt.Errorf("%q is no duration: want one such as 48h, 1h30m, 10s, 250ms or 30d", s)
	var sum int64
	last := day + 1
	for rest := s; rest != "" || s == ""; {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		n, err := strconv.ParseInt(rest[:i], 10, 64)
		j := i
		for j < len(rest) && rest[j] >= 'a' && rest[j] <= 'z' {
			j++
		}
		unit := map[string]int64{"d": day, "h": hour, "m": minute, "s": second, "ms": 1}[rest[i:j]]
		if err != nil || unit == 0 || unit >= last || n > (maxTime-sum)/unit {
			return 0, bad
		}
		sum, last, rest = sum+n*unit, unit, rest[j:]
	}
	return sum, nil
}

// span prints a duration exactly, as parseDuration reads it.
func span(ms int64) string {
	if ms == 0 {
		return "0s"
	}
	var out strings.Builder
	if ms < 0 {
		out.WriteByte('-')
		ms = -ms
	}
	for _, u := range []struct {
		name string
		ms   int64
	}{{"d", day}, {"h", hour}, {"m", minute}, {"s", second}, {"ms", 1}} {
		if n := ms / u.ms; n > 0 {
			fmt.Fprintf(&out, "%d%s", n, u.name)
			ms -= n * u.ms
		}
	}
	return out.String()
}

// dayText prints a time as a story writes it.
func dayText(zero, ms int64) string {
	if ms == 0 {
		return "none"
	}
	off := ms - zero
	t := time.UnixMilli(mod(off, day)).UTC()
	form := "15:04"
	switch {
	case t.Nanosecond() != 0:
		form = "15:04:05.000"
	case t.Second() != 0:
		form = "15:04:05"
	}
	return fmt.Sprintf("day %d %s", (off-mod(off, day))/day, t.Format(form))
}

// parseNumber reads a decimal number below 2^53.
func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxTime {
		return 0, fmt.Errorf("%q is no number from 0 to 2^53 - 1", s)
	}
	return n, nil
}

// parseID reads 32 hexadecimal digits, or a name: its letters, filled with zeros.
func parseID(s string) (id [ident.Size]byte, err error) {
	var dev ident.Device
	if len(s) == 2*ident.Size && dev.UnmarshalText([]byte(s)) == nil && dev != (ident.Device{}) {
		return dev, nil
	}
	if !isName(s) || len(s) > ident.Size {
		return id, fmt.Errorf("%q is no ID: want a name of at most 16 letters a-z, digits and '-', or 32 hexadecimal digits", s)
	}
	copy(id[:], s)
	return id, nil
}

// isName reports whether s is a name of a story.
func isName(s string) bool {
	return s != "" && len(s) <= 32 && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}

// parseYes reads yes or no; a word without a value is yes.
func parseYes(s string) (bool, error) {
	switch s {
	case "yes", "":
		return true, nil
	case "no":
		return false, nil
	}
	return false, fmt.Errorf("%q: want yes or no", s)
}
