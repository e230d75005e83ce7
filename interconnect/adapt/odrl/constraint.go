package odrl

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lares-drm/lares/license/permission"
)

// grant is one permission of a policy as it would stand in a permission code.
type grant struct {
	usage     permission.UsageUnit
	territory []string // sorted; nil = everywhere
	counted   bool
}

// apply narrows the grant by a constraint and reports whether it was
// understood. Several constraints hold together.
func (g *grant) apply(c object) bool {
	for name := range c {
		if !slices.Contains([]string{"@id", "uid", "@type", "type", "leftOperand", "operator", "rightOperand", "dataType", "unit"}, name) {
			return false // a logical constraint, a status, a reference to a right operand
		}
	}
	op, right := term(c["operator"]), c["rightOperand"]
	if _, unit := c["unit"]; unit && term(c["leftOperand"]) != "#maxPixels" {
		return false // no operand that is understood has a unit
	}
	switch term(c["leftOperand"]) {
	case "dateTime":
		return g.dateTime(op, right)
	case "count":
		n, ok := atMost(op, right, 1)
		if ok = ok && n <= maxCount; ok {
			g.usage.PlayCount, g.counted = least(g.usage.PlayCount, n), true
		}
		return ok
	case "elapsedTime":
		return g.duration(op, right, &g.usage.Interval)
	case "meteredTime":
		return g.duration(op, right, &g.usage.Accumulated)
	case "spatial":
		return g.spatial(op, right)
	case "#maxPixels":
		n, ok := atMost(op, right, 1)
		if ok = ok && n <= maxCount; ok {
			g.usage.MaxPixels = least(g.usage.MaxPixels, n)
		}
		return ok
	case "#outputProtection":
		p, ok := protection(text(right))
		if ok = ok && op == "gteq"; ok {
			g.usage.Output = max(g.usage.Output, p)
		}
		return ok
	}
	return false
}

// maxCount is the largest count of a permission code. Source: docs/spec/permission.md.
const maxCount = 1<<32 - 1

// least is the smaller limit; 0 is none.
func least[T int64 | uint64](a, b T) T {
	if a == 0 || b < a {
		return b
	}
	return a
}

// atMost reads "at most n" with n > 0, where below is what "less than" takes off.
func atMost(op string, right any, below uint64) (uint64, bool) {
	n, err := strconv.ParseUint(text(right), 10, 53)
	if op == "lt" && n >= below {
		n -= below
	} else if op != "lteq" {
		return 0, false
	}
	return n, err == nil && n > 0
}

func (g *grant) dateTime(op string, right any) bool {
	earliest, latest, ok := instant(text(right))
	if !ok {
		return false
	}
	x := &g.usage
	switch op {
	case "gteq", "gt":
		if op == "gt" {
			latest++
		}
		x.StartTime = max(x.StartTime, latest)
	case "lt", "lteq": // the end itself is not permitted: at most as much as either says
		x.EndTime = least(x.EndTime, earliest)
	default:
		return false
	}
	return true
}

// maxZone is how far, in ms, a time without a zone can lie from UTC: 14 hours
// ahead, 12 behind. Source: XML Schema, the range of time zones in use.
const (
	zoneAhead  = 14 * 3_600_000
	zoneBehind = 12 * 3_600_000
	wholeDay   = 24 * 3_600_000
)

// instant reads an xsd:dateTime or xsd:date as the earliest and the latest
// instant, Unix ms, that it can mean. A date may mean its first or its last
// instant.
func instant(s string) (earliest, latest int64, ok bool) {
	var t time.Time
	var err error
	var span int64
	switch {
	case !strings.Contains(s, "T"):
		t, err = time.Parse("2006-01-02", strings.TrimSuffix(s, "Z"))
		if span = wholeDay; strings.HasSuffix(s, "Z") {
			earliest, latest = t.UnixMilli(), t.UnixMilli()+span
			return earliest, latest, err == nil && inRange(earliest)
		}
	default:
		if t, err = time.Parse(time.RFC3339Nano, s); err == nil {
			ms := t.UnixMilli()
			if t.Nanosecond()%1_000_000 != 0 {
				return ms, ms + 1, inRange(ms)
			}
			return ms, ms, inRange(ms)
		}
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	earliest, latest = t.UnixMilli()-zoneAhead, t.UnixMilli()+zoneBehind+span
	return earliest, latest, err == nil && inRange(earliest)
}

// inRange: a permission code has times from 1970 on, below 2^53 ms. Four digits
// of a year keep below.
func inRange(ms int64) bool { return ms > 0 }

func (g *grant) duration(op string, right any, into *int64) bool {
	ms, ok := duration(text(right))
	if op == "lt" {
		ms--
	} else if op != "lteq" {
		return false
	}
	if ok = ok && ms > 0; ok {
		*into = least(*into, ms)
	}
	return ok
}

// duration reads an xsd:duration in ms. A year has at least 365 days and a month
// at least 28, so that is what they count for.
func duration(s string) (int64, bool) {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" || strings.HasSuffix(rest, "T") {
		return 0, false
	}
	const second, day = int64(1000), int64(86_400_000)
	units := []struct {
		letter byte
		ms     int64
	}{{'Y', 365 * day}, {'M', 28 * day}, {'W', 7 * day}, {'D', day}, {'T', 0}, {'H', 3600 * second}, {'M', 60 * second}, {'S', second}}
	var total int64
	for _, u := range units {
		if u.letter == 'T' {
			if rest == "" {
				break
			}
			if rest, ok = strings.CutPrefix(rest, "T"); !ok {
				return 0, false
			}
			continue
		}
		n := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if n < 0 && rest != "" {
			return 0, false // a number without a unit
		}
		if n < 1 || n > 9 || rest[n] != u.letter {
			continue
		}
		v, err := strconv.ParseInt(rest[:n], 10, 64)
		if err != nil || v > (1<<53)/u.ms {
			return 0, false
		}
		total, rest = total+v*u.ms, rest[n+1:]
	}
	return total, rest == "" && total < 1<<53
}

func (g *grant) spatial(op string, right any) bool {
	values := list(right)
	if op != "isAnyOf" && (op != "eq" && op != "isPartOf" || len(values) != 1) || len(values) == 0 || len(values) > 250 {
		return false
	}
	var in []string
	for _, v := range values {
		c := text(v)
		if len(c) != 2 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return false
		}
		in = append(in, c)
	}
	slices.Sort(in)
	in = slices.Compact(in)
	if g.territory != nil {
		in = slices.DeleteFunc(in, func(c string) bool { return !slices.Contains(g.territory, c) })
	}
	g.territory = in
	return len(in) > 0
}

func protection(word string) (permission.Protection, bool) {
	for p := permission.ProtectHDCP1; p <= permission.ProtectHDCP23; p++ {
		if p.String() == word {
			return p, true
		}
	}
	return 0, false
}
