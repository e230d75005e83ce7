package permission

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Why a value of the text form cannot be read.
var (
	errZero = errors.New("not above 0")
	errMuch = errors.New("too large")
)

func list(s string) []string {
	out := strings.Split(s, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errMuch
	case err != nil:
		return 0, fmt.Errorf("want a number above 0")
	case n == 0:
		return 0, errZero
	}
	return n, nil
}

// parseValue reads a value's name in the registry, or its number.
func parseValue[T ~uint8](dst *T, unit, item uint8, s string) error {
	if v := valueOf(unit, item, s); v != 0 {
		*dst = T(v)
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	switch {
	case err != nil:
		return fmt.Errorf("no such value")
	case n == 0:
		return errZero
	}
	*dst = T(n)
	return nil
}

func parseTime(s string) (ms int64, err error) {
	if digits, ok := strings.CutPrefix(s, "@"); ok {
		if ms, err = parseInteger(digits, "milliseconds since 1970 behind @"); err != nil {
			return 0, err
		}
		return ms, within(ms, maxTime)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Nanosecond()%1e6 != 0 {
		return 0, fmt.Errorf("want a time such as 2026-11-24T18:00:00Z, in whole milliseconds")
	}
	return t.UnixMilli(), within(t.UnixMilli(), maxTime)
}

func parseDuration(s string) (int64, error) {
	const want = "a duration such as 48h, 30d, 90m, 10s or 250ms"
	i := strings.LastIndexAny(s, "0123456789") + 1
	for _, u := range durationUnits {
		if u.name == s[i:] {
			n, err := parseInteger(s[:i], want)
			if err == nil {
				err = within(n, maxTime/u.ms)
			}
			return n * u.ms, err
		}
	}
	return 0, fmt.Errorf("want %s", want)
}

// parseInteger reads decimal digits, behind a minus at most.
func parseInteger(s, want string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && s[0] == '-':
		return 0, errZero
	case errors.Is(err, strconv.ErrRange):
		return 0, errMuch
	case err != nil || s[0] == '+':
		return 0, fmt.Errorf("want %s", want)
	}
	return n, nil
}

// within says why n is not from 1 to most.
func within(n, most int64) error {
	switch {
	case n <= 0:
		return errZero
	case n > most:
		return errMuch
	}
	return nil
}

func parsePixels(s string) (uint64, error) {
	for _, p := range pictures {
		if p.name == s {
			return p.pixels, nil
		}
	}
	if w, h, ok := strings.Cut(s, "x"); ok {
		a, err1 := parseNumber(w)
		b, err2 := parseNumber(h)
		if err1 == nil && err2 == nil && a < 1<<16 && b < 1<<16 {
			return a * b, nil
		}
	}
	return parseNumber(s)
}
