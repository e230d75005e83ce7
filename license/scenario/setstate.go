package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// edit changes a state in the step that is being told.
type edit func(r *run, s *license.State)

// editor collects edits from the words of a state step.
type editor struct {
	opts
	edits []edit
}

func (e *editor) do(f edit) { e.edits = append(e.edits, f) }

// time is an option whose value is a time.
func (e *editor) time(name string, set func(s *license.State, at int64)) {
	e.add(name, func(v string) error {
		m, err := parseMoment(v)
		e.do(func(r *run, s *license.State) { set(s, m.in(r.zero, r.now)) })
		return err
	})
}

// ms is an option whose value is a duration.
func (e *editor) ms(name string, set func(s *license.State, ms int64)) {
	e.add(name, func(v string) error {
		ms, err := parseDuration(v)
		e.do(func(_ *run, s *license.State) { set(s, ms) })
		return err
	})
}

// count is an option whose value is a number, for PLAY, or ACTION:n+ACTION:n.
func (e *editor) count(name string, of func(s *license.State) *map[permission.Permission]uint64) {
	e.add(name, func(v string) error {
		next := map[permission.Permission]uint64{}
		for part := range strings.SplitSeq(v, "+") {
			word, n, ok := strings.Cut(part, ":")
			if !ok {
				word, n = permission.Play.String(), part
			}
			p, err := parseAction(word)
			if err != nil {
				return err
			}
			if next[p], err = parseNumber(n); err != nil {
				return err
			}
		}
		e.do(func(_ *run, s *license.State) { *of(s) = next })
		return nil
	})
}

func (e *editor) num(name string, set func(s *license.State, n uint64)) {
	e.add(name, func(v string) error {
		n, err := parseNumber(v)
		e.do(func(_ *run, s *license.State) { set(s, n) })
		return err
	})
}

func (e *editor) flag(name string, set func(s *license.State, on bool)) {
	e.add(name, func(v string) error {
		on, err := parseYes(v)
		e.do(func(_ *run, s *license.State) { set(s, on) })
		return err
	})
}

// readState sets the state by hand: "new" first clears it.
func readState(words []string) (action, error) {
	names, words, err := pairs(words, "with")
	if err != nil {
		return nil, err
	}
	e := &editor{opts: opts{}}
	e.add("new", func(string) error {
		e.do(func(_ *run, s *license.State) { *s = license.State{} })
		return nil
	})
	e.plain()
	e.deep()
	if err := e.read(words); err != nil {
		return nil, err
	}
	return func(r *run, out *outcome) error {
		in, err := r.instance(names["with"])
		if err != nil {
			return err
		}
		b, err := in.mem.Encode() // a copy of its own
		if err != nil {
			return err
		}
		s, err := license.ParseState(b)
		if err != nil {
			return err
		}
		for _, f := range e.edits {
			f(r, &s)
		}
		if b, err = s.Encode(); err != nil {
			return err
		}
		if _, err := license.ParseState(b); err != nil {
			return err
		}
		in.keep(s)
		in.ses = nil
		out.in, out.vec = in, r.vec("set", in)
		return nil
	}, nil
}

// plain are the members of a state that stand by themselves.
func (e *editor) plain() {
	e.num("ver", func(s *license.State, n uint64) { s.Ver = n })
	e.add("phase", func(v string) error {
		i := slices.Index([]string{"HELD", "ESCROW", "LENT_OUT", "CLOSED"}, v)
		if i < 0 {
			return fmt.Errorf("%q: want HELD, ESCROW, LENT_OUT or CLOSED", v)
		}
		e.do(func(_ *run, s *license.State) { s.Phase = license.Phase(i) }) //nolint:gosec // one of four
		return nil
	})
	e.time("first_use", func(s *license.State, at int64) { s.FirstUse = at })
	e.time("last_use", func(s *license.State, at int64) { s.LastUse = at })
	e.time("lo_lic", func(s *license.State, at int64) { s.LoLic = at })
	e.time("denied", func(s *license.State, at int64) { s.Denied = at })
	e.time("last_transfer", func(s *license.State, at int64) { s.LastTransfer = at })
	e.count("consumed", func(s *license.State) *map[permission.Permission]uint64 { return &s.Consumed })
	e.count("given", func(s *license.State) *map[permission.Permission]uint64 { return &s.Given })
	e.count("reserved", func(s *license.State) *map[permission.Permission]uint64 { return &s.Reserved })
	e.ms("acc", func(s *license.State, ms int64) { s.Acc = ms })
	e.ms("uncharged", func(s *license.State, ms int64) { s.Uncharged = ms })
	e.ms("pending", func(s *license.State, ms int64) { s.Pending = ms })
	e.ms("given_ms", func(s *license.State, ms int64) { s.GivenMS = ms })
	e.ms("seen", func(s *license.State, ms int64) { s.Seen = ms })
	e.num("index", func(s *license.State, n uint64) { s.NextIndex = n })
	e.num("copy_generation", func(s *license.State, n uint64) { s.CopyGeneration = n })
	e.flag("consented", func(s *license.State, on bool) { s.Consented = on })
}

// deep are the members that are maps of their own: play, slice, tx, loan, region.
func (e *editor) deep() {
	e.num("play", func(s *license.State, n uint64) { rule(&s.OpenPlay).ID = n })
	e.ms("play.rendered", func(s *license.State, ms int64) { rule(&s.OpenPlay).Rendered = ms })
	e.flag("play.charged", func(s *license.State, on bool) { rule(&s.OpenPlay).Charged = on })
	e.time("play.touched", func(s *license.State, at int64) { rule(&s.OpenPlay).Touched = at })
	e.ms("play.seen", func(s *license.State, ms int64) { rule(&s.OpenPlay).Seen = ms })
	e.ms("slice.ms", func(s *license.State, ms int64) { rule(&s.Slice).MS = ms })
	e.time("slice.until", func(s *license.State, at int64) { rule(&s.Slice).Until = at })
	tx := func(s *license.State) *license.Tx {
		t := rule(&s.Tx)
		if t.ID.Seq == 0 {
			t.ID = ident.Transfer{Src: ident.Device{1}, Dst: ident.Device{2}, Seq: 1}
		}
		return t
	}
	e.time("hold", func(s *license.State, at int64) { tx(s).HoldUntil = at })
	e.flag("unconfirmed", func(s *license.State, on bool) { tx(s).Unconfirmed = on })
	e.time("loan", func(s *license.State, at int64) { s.Loan = &license.Loan{Child: ident.License{2}, Seq: 1, Until: at} })
	e.flag("sealed", func(s *license.State, on bool) { rule(&s.Region).Sealed = on })
	e.add("home", func(v string) error {
		if len(v) != 2 {
			return fmt.Errorf("%q: want a country of two letters", v)
		}
		e.do(func(_ *run, s *license.State) { rule(&s.Region).Home = v })
		return nil
	})
	e.add("away", e.away)
}

// away is so many days of use elsewhere, the last ones before today, or days of
// the story joined by "+".
func (e *editor) away(v string) error {
	if n, err := parseNumber(v); err == nil && n <= 90 {
		e.do(func(r *run, s *license.State) {
			today := uint64(max(r.now/day, 90))
			rule(&s.Region).Away = nil
			for i := range n {
				s.Region.Away = append(s.Region.Away, today-n+i)
			}
		})
		return nil
	}
	var list []moment
	for part := range strings.SplitSeq(v, "+") {
		m, err := parseMoment(strings.Replace(part, "day", "day ", 1))
		if err != nil {
			return fmt.Errorf("%q: want a number of days before today, at most 90, or days such as day3+day4", v)
		}
		list = append(list, m)
	}
	e.do(func(r *run, s *license.State) {
		rule(&s.Region).Away = nil
		for _, m := range list {
			s.Region.Away = append(s.Region.Away, uint64(m.in(r.zero, r.now)/day)) //nolint:gosec // not negative
		}
		slices.Sort(s.Region.Away)
		s.Region.Away = slices.Compact(s.Region.Away)
	})
	return nil
}
