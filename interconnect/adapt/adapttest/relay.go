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
	Fail  error // when set, Release debits and then fails, as a module that loses power
	Calls int
}

// Release debits the share and signs the child.
func (s *Source) Release(_ context.Context, parent *license.License, child *license.Info, share license.Share) (*license.License, error) {
	s.Calls++
	next, err := parent.Give(s.State, share)
	if err != nil {
		return nil, err
	}
	if s.State = next; s.Fail != nil {
		return nil, s.Fail
	}
	return sign(nil, child)
}

// derivation is what leaves of a license that the source holds.
func (s *Source) derivation(now int64, plays uint64) license.Derivation {
	return license.Derivation{Now: now, State: s.State, Index: s.State.NextIndex, Plays: plays}
}

var errPower = errors.New("the power was cut")

// debits: three plays are handed over one by one; a fourth is refused, a source
// that fails lets nothing out, and a refusal costs nothing.
func debits(t *testing.T, cfg Config) {
	s := cfg.Adapter.System()
	src := &Source{}
	relay := func(text string) (*adapt.Relayed, error) {
		return adapt.Relay(t.Context(), cfg.Adapter, src, License(t, text), src.derivation(day0+day, 1))
	}
	if out, err := relay("PLAY; PLAY_COUNT=3"); !errors.Is(err, adapt.ErrNotExportable) || out != nil || src.Calls != 0 {
		t.Errorf("without the export condition: %v, %v after %d debits", out, err, src.Calls)
	}
	counted := "PLAY; PLAY_COUNT=3; END_TIME=2027-01-01T00:00:00Z; EXPORT=" + s.Name
	if s.Live {
		if out, err := relay(counted); err != nil || src.Calls != 0 || out.Artifact.Body == nil {
			t.Errorf("a live system: %v after %d debits; the module debits while it plays", err, src.Calls)
		}
		return
	}
	if !s.Keeps("END_TIME") {
		if out, err := relay(counted); !errors.Is(err, license.ErrNoRight) || out != nil || src.Calls != 0 {
			t.Errorf("%s keeps no end, and got %v, %v after %d debits", s.Name, out, err, src.Calls)
		}
		return
	}
	src.Fail = errPower
	if out, err := relay(counted); !errors.Is(err, errPower) || out != nil {
		t.Errorf("the source failed, and %v left (%v)", out, err)
	}
	src.Fail = nil
	for range 2 {
		if out, err := relay(counted); err != nil || len(out.Artifact.Body) == 0 {
			t.Fatalf("relay: %v", err)
		}
	}
	if n := src.State.Given[permission.Play]; n != 3 {
		t.Errorf("%d plays debited for two that left and one that was cut off", n)
	}
	calls := src.Calls
	if out, err := relay(counted); !errors.Is(err, license.ErrNoRight) || out != nil || src.Calls != calls {
		t.Errorf("a fourth play of three: %v, %v", out, err)
	}
}

// narrows: what a relay hands over is a license that is narrower by Narrower,
// and allows nothing that its parent does not, by Evaluate.
func narrows(t *testing.T, cfg Config) {
	left := 0
	rapid.Check(t, func(rt *rapid.T) {
		parent := draw(rt, cfg.Adapter.System().Name)
		src := &Source{State: license.State{FirstUse: some(rt, "first use", rapid.Int64Range(day0+hour, day0+9*hour))}}
		now := day0 + rapid.Int64Range(10, 100).Draw(rt, "relayed")*hour
		out, err := adapt.Relay(t.Context(), cfg.Adapter, src, parent, src.derivation(now, 1))
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
	if left == 0 {
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
