package adapttest

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/lares-drm/lares/interconnect/adapt"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Source is a trusted module of one license, without its keys: it debits and
// signs. Its state is what a module would have on disk.
type Source struct {
	State license.State
	Now   int64 // its clock, Unix ms
	Fail  error // when set, Release debits and then fails, as a module that loses power
	Calls int   // orders that were no repetition

	given map[ident.Request]*license.License
}

// Propose derives the child, or shows the one that was given, and debits nothing.
func (s *Source) Propose(_ context.Context, parent *license.License, o adapt.Order) (*license.Info, []string, error) {
	if had, ok := s.given[o.Request]; ok {
		return had.Info(), nil, nil
	}
	d := license.Derivation{Now: s.Now, State: s.State, Index: s.State.NextIndex, Plays: o.Plays}
	return license.Export(parent, d, license.Target{System: o.System, Holds: o.Holds})
}

// Release debits what goes and signs the child.
func (s *Source) Release(ctx context.Context, parent *license.License, o adapt.Order) (*license.License, error) {
	if had, ok := s.given[o.Request]; ok {
		return had, s.Fail
	}
	s.Calls++
	info, _, err := s.Propose(ctx, parent, o)
	if err != nil {
		return nil, err
	}
	share, err := info.ExportShare()
	if err != nil {
		return nil, err
	}
	next, err := parent.Give(s.State, share)
	if err != nil {
		return nil, err
	}
	child, err := sign(nil, info)
	if err != nil {
		return nil, err
	}
	if s.given == nil {
		s.given = map[ident.Request]*license.License{}
	}
	if s.State, s.given[o.Request] = next, child; s.Fail != nil {
		return nil, s.Fail
	}
	return child, nil
}

var errPower = errors.New("the power was cut")

// debits: three plays are handed over one by one; a fourth is refused, a source
// that fails lets nothing out and gives what it debited when it is asked again,
// and neither a repetition nor a refusal costs anything.
func debits(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	src := &Source{Now: day0 + day}
	relay := func(text string, request byte) (*adapt.Relayed, error) {
		return adapt.Relay(t.Context(), cfg.Adapter, src, License(t, text), adapt.Order{Request: ident.Request{request}, Plays: 1})
	}
	if out, err := relay("PLAY; PLAY_COUNT=3", 1); !errors.Is(err, adapt.ErrNotExportable) || out != nil || src.Calls != 0 {
		t.Errorf("without the export condition: %v, %v after %d debits", out, err, src.Calls)
	}
	counted := "PLAY; PLAY_COUNT=3; END_TIME=2027-01-01T00:00:00Z; EXPORT=" + s.Name
	if s.Live {
		if out, err := relay(counted, 1); err != nil || src.Calls != 0 || out.Artifact.Body == nil {
			t.Errorf("a live system: %v after %d debits; the module debits while it plays", err, src.Calls)
		}
		return
	}
	if !s.Keeps("END_TIME") {
		if out, err := relay(counted, 1); !errors.Is(err, license.ErrNoRight) || out != nil || src.Calls != 0 {
			t.Errorf("%s keeps no end, and got %v, %v after %d debits", s.Name, out, err, src.Calls)
		}
		return
	}
	src.Fail = errPower
	if out, err := relay(counted, 1); !errors.Is(err, errPower) || out != nil {
		t.Errorf("the source failed, and %v left (%v)", out, err)
	}
	src.Fail = nil
	for _, request := range []byte{1, 1, 2, 3, 2} { // the first one again, two more, and one of them once more
		if out, err := relay(counted, request); err != nil || len(out.Artifact.Body) == 0 {
			t.Fatalf("relay: %v", err)
		}
	}
	if n := src.State.Given[permission.Play]; n != 3 {
		t.Errorf("%d plays debited for three requests", n)
	}
	if out, err := relay(counted, 4); !errors.Is(err, license.ErrNoRight) || out != nil || src.Calls != 3 {
		t.Errorf("a fourth play of three: %v, %v after %d debits", out, err, src.Calls)
	}
}

// narrows: what a relay hands over is a license that is narrower by Narrower,
// and allows nothing that its parent does not, by Evaluate.
func narrows(t *testing.T, cfg Config) {
	left := 0
	rapid.Check(t, func(rt *rapid.T) {
		parent := draw(rt, cfg.Adapter.System().Name)
		now := day0 + rapid.Int64Range(10, 100).Draw(rt, "relayed")*hour
		src := &Source{Now: now, State: license.State{FirstUse: some(rt, "first use", rapid.Int64Range(day0+hour, day0+9*hour))}}
		out, err := adapt.Relay(t.Context(), cfg.Adapter, src, parent, adapt.Order{Request: ident.NewRequest(), Plays: 1})
		if err != nil {
			if out != nil || src.Calls != 0 {
				rt.Fatalf("a refusal (%v) with %v and %d debits", err, out, src.Calls)
			}
			return
		}
		left++
		if out.Child == parent {
			return // live: nothing left the module's sight
		}
		if err := license.Narrower(out.Child.Info(), parent.Info()); err != nil {
			rt.Fatal(err)
		}
		if n := parent.Whole().Plays; n != 0 && src.State.Given[permission.Play] == 0 && out.Child.Whole().Plays != 0 {
			rt.Fatalf("a counted license left without a debit: %s", parent.Units().Text())
		}
		compare(rt, out.Child, parent, now, []int64{0, src.State.FirstUse, now})
	})
	if left == 0 && !testing.Short() { // twenty draws, as in the short run, may be twenty refusals
		t.Error("no drawn license was relayed: the property says nothing")
	}
}

// roundTrip: what Import reads of what Export wrote permits at most what the
// license did, for the same household, with the same keys, by Evaluate.
func roundTrip(t *testing.T, cfg Config) {
	if !cfg.Adapter.System().Imports {
		return
	}
	back := 0
	rapid.Check(t, func(rt *rapid.T) {
		parent := draw(rt, cfg.Adapter.System().Name)
		artifact, _, err := cfg.Adapter.Export(t.Context(), parent)
		if err != nil {
			return
		}
		p, err := cfg.Adapter.Import(t.Context(), artifact.Body)
		if err != nil {
			rt.Fatalf("its own document is refused: %v\n%s", err, artifact.Body)
		}
		of := parent.Info()
		child, err := sign(nil, &license.Info{Code: p.Code, Policy: p.Policy, Keys: of.Keys, IssuedAt: of.IssuedAt})
		if err != nil {
			rt.Fatalf("%v\n%s", err, artifact.Body)
		}
		back++
		compare(rt, child, parent, day0, nil)
	})
	if back == 0 {
		t.Error("no drawn license went out and came back: the property says nothing")
	}
}

// counted: of a counted license that is handed over until nothing is left, what
// Import reads of the artifacts permits at most what the license did: all the
// plays together are not more than its own, and each is at most the child that
// was debited. A system that does not count has one sitting a play.
func counted(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	if s.Live || !s.Imports {
		return
	}
	back := 0
	rapid.Check(t, func(rt *rapid.T) {
		parent := draw(rt, s.Name)
		n := parent.Whole().Plays
		now := day0 + rapid.Int64Range(10, 100).Draw(rt, "relayed")*hour
		src := &Source{Now: now, State: license.State{Consumed: map[permission.Permission]uint64{permission.Play: rapid.Uint64Range(0, 1).Draw(rt, "used")}}}
		total := src.State.Consumed[permission.Play]
		for n > 0 {
			out, err := adapt.Relay(t.Context(), cfg.Adapter, src, parent, adapt.Order{Request: ident.NewRequest(), Plays: rapid.Uint64Range(1, 2).Draw(rt, "plays")})
			if err != nil {
				break
			}
			p, err := cfg.Adapter.Import(t.Context(), out.Artifact.Body)
			if err != nil {
				rt.Fatalf("its own document is refused: %v\n%s", err, out.Artifact.Body)
			}
			of := out.Child.Info()
			child, err := sign(nil, &license.Info{Code: p.Code, Policy: p.Policy, Keys: of.Keys, IssuedAt: of.IssuedAt})
			if err != nil {
				rt.Fatalf("%v\n%s", err, out.Artifact.Body)
			}
			plays := child.Whole().Plays
			if plays == 0 { // nobody counts there: it is over when the sitting is
				if end := child.LoanEnd(license.State{}, now, 1000*day); plays == 0 && end-now > of.Sitting() {
					rt.Fatalf("uncounted for %d h: %s", (end-now)/hour, child.Units().Text())
				}
				plays = 1
			} else {
				compare(rt, child, out.Child, now, nil)
			}
			back++
			if total += plays; total > n || total > n-min(n, left(parent, &src.State)) {
				rt.Fatalf("%d plays of %d are used or gone, and %d are left: %s", total, n, left(parent, &src.State), parent.Units().Text())
			}
		}
	})
	if back == 0 {
		t.Error("no drawn license was counted, went out and came back: the property says nothing")
	}
}

// left is how many plays of a counted license its source still has.
func left(lic *license.License, s *license.State) (n uint64) {
	for ; ; n++ {
		if _, err := lic.Give(*s, license.Share{Plays: n + 1}); err != nil {
			return n
		}
	}
}

// compare asks both licenses the same, at random times, with random states and
// outputs. A child may begin where its parent did.
func compare(rt *rapid.T, child, parent *license.License, from int64, firsts []int64) {
	for range 6 {
		in := drawInput(rt, from)
		for _, k := range child.Info().Keys {
			in.Request.KID = k.KID
			if !child.Evaluate(in).Allow {
				continue
			}
			allowed := false
			for _, first := range append(firsts, in.State.FirstUse) {
				of := in
				of.State.FirstUse = first
				d := parent.Evaluate(of)
				allowed = allowed || d.Allow
			}
			if allowed && len(firsts) == 0 {
				follow(rt, child, parent, in)
			}
			if !allowed {
				rt.Fatalf("allowed to the child only, %d h in, first use %d h in\nchild  %s %+v\nparent %s %+v\n%+v", (in.Clock.Est-day0)/hour, (in.State.FirstUse-day0)/hour,
					child.Units().Text(), child.Info().Policy, parent.Units().Text(), parent.Info().Policy, parent.Evaluate(in).Reasons)
			}
		}
	}
}

// follow plays on under both licenses, over the end of windows too: what the
// child still releases, the parent does.
func follow(rt *rapid.T, child, parent *license.License, in license.Input) {
	c, p := child.Begin(in), parent.Begin(in)
	if !c.Decision.Allow {
		return
	}
	ours, theirs, media := in, in, int64(0)
	ours.State, theirs.State = c.State, p.State
	for range 3 {
		wall := media + rapid.SampledFrom([]int64{2000, 60_000, 3 * hour}).Draw(rt, "goes on")
		at := in.After(wall)
		ours.Clock, theirs.Clock = at.Clock, at.Clock
		f := license.Fragment{KID: in.Request.KID, Bytes: 1000, MediaMS: media, DurMS: 2000, WallMS: wall}
		c, p = child.Extend(c.Session, ours, f), parent.Extend(p.Session, theirs, f)
		if !c.Decision.Allow {
			return
		}
		if !p.Decision.Allow {
			rt.Fatalf("released to the child only, %d ms after its begin\nchild  %s %+v\nparent %s %+v\n%+v", wall, child.Units().Text(), child.Info().Policy, parent.Units().Text(), parent.Info().Policy, p.Decision.Reasons)
		}
		ours.State, theirs.State, media = c.State, p.State, wall
	}
}

// home is the household of the suite's licenses.
var home = ident.Domain{2}
