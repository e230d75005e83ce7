package home

import (
	"fmt"
	"time"
)

// Hours are those of a day in which somebody may watch, on the house's clock: from From
// up to Until, on the next day where that is not later. The zero value is at any time.
type Hours struct {
	From, Until uint16 // minutes after midnight; Until at most 1,440
}

const day = 24 * 60 // minutes

// String is the text form, such as 07:00-19:30; "" at any time.
func (h Hours) String() string {
	if h == (Hours{}) {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", h.From/60, h.From%60, h.Until/60, h.Until%60)
}

// MarshalText is String.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText prints, and nothing else.
func (h *Hours) UnmarshalText(text []byte) error {
	got, err := ParseHours(string(text))
	if err == nil {
		*h = got
	}
	return err
}

// ParseHours reads HH:MM-HH:MM: from 00:00 to 23:59, until 00:01 to 24:00, and not the
// same. Nothing is at any time.
func ParseHours(text string) (Hours, error) {
	if text == "" {
		return Hours{}, nil
	}
	bad := fmt.Errorf("%w: hours are written 07:00-19:30", ErrPersonKind)
	if len(text) != len("07:00-19:30") || text[2] != ':' || text[5] != '-' || text[8] != ':' {
		return Hours{}, bad
	}
	two := func(at int) uint16 {
		a, b := text[at]-'0', text[at+1]-'0'
		if a > 9 || b > 9 {
			return day // more than any hour or minute
		}
		return uint16(a)*10 + uint16(b)
	}
	fh, fm, uh, um := two(0), two(3), two(6), two(9)
	if fh > 23 || fm > 59 || uh > 24 || um > 59 {
		return Hours{}, bad
	}
	h := Hours{From: fh*60 + fm, Until: uh*60 + um}
	if h.Until == 0 || h.Until > day || h.From == h.Until {
		return Hours{}, bad
	}
	return h, nil
}

// and is the one of two hours of a day that decides now whether both are on, and until
// when: one that is not on, else the one that ends first.
func (h Hours) and(o Hours, now time.Time) Hours {
	if h == (Hours{}) {
		return o
	}
	if o == (Hours{}) {
		return h
	}
	from, until := h.Window(now)
	otherFrom, otherUntil := o.Window(now)
	if from.After(now) || !otherFrom.After(now) && !until.After(otherUntil) {
		return h
	}
	return o
}

// Window is the stretch of these hours that now is in, or the next one: two points in
// time, of which the evaluator knows no calendar. A day on which the clock jumps over
// both is passed over.
func (h Hours) Window(now time.Time) (from, until time.Time) {
	y, m, d := now.Date()
	for i := -1; i <= 2; i++ {
		from = time.Date(y, m, d+i, 0, int(h.From), 0, 0, now.Location())
		last := d + i
		if h.Until <= h.From {
			last++
		}
		until = time.Date(y, m, last, 0, int(h.Until), 0, 0, now.Location())
		if now.Before(until) && from.Before(until) {
			break
		}
	}
	return from, until
}
