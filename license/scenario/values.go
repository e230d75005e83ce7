package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// expectTime is until, earliest, end or hard-end: a time, or none.
func expectTime(what, value string) (func(*run, *outcome) string, error) {
	m, err := parseMoment(value)
	if value == "none" {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return func(r *run, out *outcome) string {
		have, problem := timeOf(what, out)
		want := m.in(r.zero, r.began)
		if value == "none" {
			want = 0
		}
		switch {
		case problem != "":
			return problem
		case have != want:
			return dayText(r.zero, have)
		}
		return ""
	}, nil
}

// timeOf finds a time that a step came to.
func timeOf(what string, out *outcome) (int64, string) {
	switch what {
	case "until", "earliest":
		if out.decision == nil {
			return 0, "no decision: this step gives none"
		}
		if what == "until" {
			return out.decision.ValidUntil, ""
		}
		for _, r := range out.decision.Reasons {
			if r.Earliest != 0 {
				return r.Earliest, ""
			}
		}
		return 0, ""
	}
	if out.child == nil {
		return 0, fmt.Sprintf("no license: %v", out.err)
	}
	if what == "hard-end" {
		return out.child.Info().Policy.HardEnd, ""
	}
	var end int64
	for _, x := range out.child.Units().Usage {
		end = max(end, x.EndTime)
	}
	return end, ""
}

// stateValues are the members of a state that a story can expect, as the words
// that it writes.
func stateValues() map[string]func(s *license.State) any {
	return map[string]func(s *license.State) any{
		"ver":             func(s *license.State) any { return s.Ver },
		"phase":           func(s *license.State) any { return s.Phase.String() },
		"first_use":       func(s *license.State) any { return point(s.FirstUse) },
		"last_use":        func(s *license.State) any { return point(s.LastUse) },
		"denied":          func(s *license.State) any { return point(s.Denied) },
		"last_transfer":   func(s *license.State) any { return point(s.LastTransfer) },
		"lo_lic":          func(s *license.State) any { return point(s.LoLic) },
		"consumed":        func(s *license.State) any { return s.Consumed },
		"given":           func(s *license.State) any { return s.Given },
		"reserved":        func(s *license.State) any { return s.Reserved },
		"acc":             func(s *license.State) any { return length(s.Acc) },
		"given_ms":        func(s *license.State) any { return length(s.GivenMS) },
		"pending":         func(s *license.State) any { return length(s.Pending) },
		"uncharged":       func(s *license.State) any { return length(s.Uncharged) },
		"seen":            func(s *license.State) any { return length(max(s.Seen, play(s).Seen)) },
		"index":           func(s *license.State) any { return s.NextIndex },
		"copy_generation": func(s *license.State) any { return s.CopyGeneration },
		"consented":       func(s *license.State) any { return s.Consented },
		"play":            func(s *license.State) any { return play(s).ID },
		"charged":         func(s *license.State) any { return play(s).Charged },
		"rendered":        func(s *license.State) any { return length(play(s).Rendered) },
		"home":            func(s *license.State) any { return region(s).Home },
		"sealed":          func(s *license.State) any { return region(s).Sealed },
		"away":            func(s *license.State) any { return uint64(len(region(s).Away)) },
	}
}

type (
	point  int64 // Unix ms
	length int64 // ms
)

func play(s *license.State) license.OpenPlay {
	if s.OpenPlay == nil {
		return license.OpenPlay{}
	}
	return *s.OpenPlay
}

func region(s *license.State) license.RegionState {
	if s.Region == nil {
		return license.RegionState{}
	}
	return *s.Region
}

// expectValue is key=value: a counter, what was watched, the choice, or a
// member of the state.
func expectValue(key, value string) (func(*run, *outcome) string, error) {
	f := stateValues()[key]
	if f != nil {
		want, err := valueOf(f(new(license.State)), value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return func(r *run, out *outcome) string {
			if out.in == nil {
				return "no state: this step is about several licenses"
			}
			return compare(r, f(&out.in.mem), want(r))
		}, nil
	}
	var zero any
	switch key {
	case "plays_left", "copies_left":
		zero = uint64(0)
	case "ms_left", "watched":
		zero = length(0)
	case "choice":
		zero = ""
	default:
		return nil, fmt.Errorf("%q is nothing to expect; there are plays_left, copies_left, ms_left, watched, choice and of the state %s",
			key, strings.Join(slices.Sorted(maps.Keys(stateValues())), ", "))
	}
	want, err := valueOf(zero, value)
	none := value == "none"
	if err != nil && !none {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return func(r *run, out *outcome) string {
		have := counterOf(key, out)
		switch {
		case none && have == nil:
			return ""
		case have == nil:
			return "none: it is not limited"
		case none:
			return show(r, have)
		}
		return compare(r, have, want(r))
	}, nil
}

// counterOf is what a step says beside the state; nil where it says nothing.
func counterOf(key string, out *outcome) any {
	switch key {
	case "watched":
		return length(out.watched)
	case "choice":
		return out.choice
	}
	d := out.decision
	if d == nil {
		return nil
	}
	c := d.Counters
	switch {
	case key == "plays_left" && c.PlaysLeft != nil:
		return *c.PlaysLeft
	case key == "copies_left" && c.CopiesLeft != nil:
		return *c.CopiesLeft
	case key == "ms_left" && c.MSLeft != nil:
		return length(*c.MSLeft)
	}
	return nil
}

// valueOf reads a value of the kind that like has.
func valueOf(like any, s string) (func(r *run) any, error) {
	fixed := func(v any) func(*run) any { return func(*run) any { return v } }
	switch like.(type) {
	case uint64:
		n, err := parseNumber(s)
		return fixed(n), err
	case bool:
		on, err := parseYes(s)
		return fixed(on), err
	case length:
		ms, err := parseDuration(s)
		return fixed(length(ms)), err
	case point:
		if s == "none" {
			return fixed(point(0)), nil
		}
		m, err := parseMoment(s)
		return func(r *run) any { return point(m.in(r.zero, r.began)) }, err
	case map[permission.Permission]uint64:
		e := &editor{opts: opts{}}
		var got map[permission.Permission]uint64
		e.count("x", func(*license.State) *map[permission.Permission]uint64 { return &got })
		if err := e.opts["x"](s); err != nil {
			return nil, err
		}
		e.edits[0](nil, nil)
		return fixed(got), nil
	}
	if s == "none" {
		s = ""
	}
	return fixed(s), nil
}

// compare says what was had instead of what is wanted, or nothing. Of a map
// only the permissions that are named are compared.
func compare(r *run, have, want any) string {
	if w, ok := want.(map[permission.Permission]uint64); ok {
		h, _ := have.(map[permission.Permission]uint64)
		for p, n := range w {
			if h[p] != n {
				return show(r, have)
			}
		}
		return ""
	}
	if have == want {
		return ""
	}
	return show(r, have)
}

// show prints a value as a story writes it; it is never empty.
func show(r *run, v any) string { return cmp.Or(text(r, v), "none") }

func text(r *run, v any) string {
	switch v := v.(type) {
	case point:
		return dayText(r.zero, int64(v))
	case length:
		return span(int64(v))
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case map[permission.Permission]uint64:
		var out []string
		for _, p := range slices.Sorted(maps.Keys(v)) {
			out = append(out, p.String()+":"+strconv.FormatUint(v[p], 10))
		}
		return strings.Join(out, "+")
	}
	return fmt.Sprint(v)
}
