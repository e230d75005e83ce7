package license_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// mutant is a fault that is put into one file: the tests that run must see it.
type mutant struct {
	name     string
	file     string
	old, new string // old stands once in the file
	run      string // the one test that must fail; "" stands for all that are written down
}

// invariants are the faults of the properties of evaluation.md E16.
func invariants() []mutant {
	return []mutant{
		{"a decision keeps what it said before", "evaluate.go", "Confirm: o.Confirm[:0]", "Confirm: o.Confirm", "TestEvaluator_E16_I1_SameInputSameBytes"},
		{"what has no time needs a clock", "times.go", "if !e.terms.timed() || e.q == Secure {", "if e.terms.timed() || e.q == Secure {", "TestEvaluator_E16_I2_FewerConstraintsAllowMore"},
		{"a slice says that more is reserved", "slice.go", "ahead = ses.accTaken - t.accUsed(used, ses.tracks, x.l)", "ahead = max(ahead, ses.accTaken)", "TestEvaluator_E16_I3_CountedNeverDecreases"},
		{"a play is charged with each slice", "slice.go", "p.Charged, st.Uncharged = true, 0", "p.Charged, st.Uncharged = false, 0", "TestEvaluator_E16_I4_CrashesCostASlice"},
		{"End keeps what was reserved", "session.go", "st.Acc = max(st.Acc-back, 0)", "_ = back", "TestEvaluator_E16_I4_CrashesCostASlice"},
		{"a copy that is made is not counted", "reserve.go", "next.Consumed = add1(next.Consumed, p)", "_ = p", "TestEvaluator_E16_I5_CopiesAreAtMostTheCount"},
		{"an instance in escrow plays", "standing.go", `e.out.refuse(LockedInMove, "PHASE", have, Held.String(), ResumeMove)`, "_ = have", "TestEvaluator_E16_I5_NoUseWhileItMoves"},
		{"a loan keeps its lender's end", "derive.go", "x.EndTime = min(orNever(x.EndTime), until)", "x.EndTime = until + 1", "TestEvaluator_E16_I6_DerivedIsNarrower"},
		{"a child may start earlier", "narrower.go", "c.StartTime >= p.StartTime", "c.StartTime <= p.StartTime", "TestEvaluator_E16_I6_NarrowerAllowsLess"},
		{"what is given replaces what was", "settle.go", "s.Given[p] += n", "s.Given[p] = n", "TestEvaluator_E16_I7_PartsAreTheWhole"},
		{"what a loan spent is not counted", "settle.go", "if next.Acc += ms; plays > 0 {", "if next.Acc += ms; false {", "TestLicense_3_Settle"},
		{"what a loan spent is doubled", "settle.go", "next.Acc += ms", "next.Acc += ms + ms", "TestEvaluator_E16_I7_PartsAreTheWhole"},
		{"a play that goes on outlives a release of none", "settle.go", "s.OpenPlay = nil", "_ = s.OpenPlay", "TestEvaluator_E16_I7_PartsAreTheWhole"},
		{"the first use is when the threshold is passed", "slice.go", "st.FirstUse, st.Pending = ses.Start, 0", "st.FirstUse, st.Pending = x.est+1, 0", "TestEvaluator_E16_I8_FirstUseIsWrittenOnce"},
		{"an end is not listed", "times.go", `e.out.change(e.est, end, "END")`, "_ = end", "TestEvaluator_E16_I9_FlipsAreListed"},
		{"an end belongs to the window", "times.go", "if e.est < end || e.inTail(end) {", "if e.est <= end || e.inTail(end) {", "TestEvaluator_E16_I10_HalfOpenBoundaries"},
	}
}

// faults are such that the tests that are written down must see.
func faults() []mutant {
	return []mutant{
		{"a child watches what is for its elders", "person.go", "if p.Rated > p.Age {", "if p.Rated > p.Age+3 {", ""},
		{"a child hands on", "person.go", "if !p.Handles {", "if false {", ""},
		{"a relayed clock counts for every level", "evaluate.go", "e.q = Anchored", "_ = Anchored", ""},
		{"the first unit is used", "evaluate.go", "if best < 0 || s < score {", "if best < 0 || s < score && false {", ""},
		{"notes are not taken", "evaluate.go", "range e.l.units.UnknownOther() {", "range e.l.units.UnknownOther()[:0] {", ""},
		{"a removed device is a member", "standing.go", "if m.Removed {", "if false && m.Removed {", ""},
		{"a refusal to renew ends nothing that runs", "standing.go", "if e.est < stop {", "if e.est <= stop || true {", ""},
		{"the skew is forgotten", "times.go", "from = max(start-startSkew, 1)", "from = start", ""},
		{"a loan has grace", "terms.go", "if t.loan() || t.live {", "if t.live {", ""},
		{"recovery outlives a refusal", "terms.go", "r != nil && !t.denied && end != never", "r != nil && end != never", ""},
		{"a play resumes for ever", "counts.go", "|| e.est-p.Touched >= t.resumeWindow()", "", ""},
		{"an area denied is permitted", "where.go", "if slices.ContainsFunc(r.Deny, in) {", "if slices.Contains(r.Deny, country) {", ""},
		{"a slot lapses late", "where.go", "e.est-s.Seen < slotTTL", "e.est-s.Seen <= slotTTL", ""},
		{"a copy may be copied", "handle.go", "g >= most {", "g > most {", ""},
		{"a key's level is not asked for", "outputs.go", "if uint64(env.Level) < rule.MinLevel {", "if false && uint64(env.Level) < rule.MinLevel {", ""},
		{"settling takes no time", "outputs.go", "if o.Plugged == 0 || e.est >= settled {", "if o.Plugged == 0 || e.est >= o.Plugged {", ""},
		{"Begin needs no confirmation", "session.go", "c.Kind == StartsInterval && !r.Confirm", "false && !r.Confirm", ""},
		{"sound is added to the picture", "session.go", "other = max(other, ms)", "picture = add(picture, ms)", ""},
		{"RENDER time charges a play", "session.go", "st.OpenPlay != nil && t.usage.Kind == permission.Playback && t.usage.PlayCount != 0", "st.OpenPlay != nil", ""},
		{"the advance is not given", "slice.go", "take = max(take, min(advance, left))", "_ = advance", ""},
		{"an end that is seen is not durable", "slice.go", "if x.terms.nearEnd(at) && !x.terms.nearEnd(p.Seen) {", "if false {", ""},
		{"a renewal keeps the refusal", "reserve.go", "s.Denied = 0", "_ = s.Denied", ""},
		{"the loan is used first", "choose.go", "return 2", "return 0", ""},
		{"an ancestor's first unit decides", "choose.go", "if n := e.out.closed(); best < 0 || n < least {", "if n := e.out.closed(); best < 0 || n < least && false {", ""},
		{"a loan runs on behind its end", "derive.go", "= until, ExpiryStop,", "= until, ExpiryFinish,", ""},
		{"INTERVAL is not lost", "relay.go", `lost = append(lost, "INTERVAL")`, "_ = lost", ""},
		{"a child need not keep a rate", "narrower.go", "|| c.BPS != 0 && p.BPS == 0 ", "", ""},
		{"a child may take over where its parent asks", "narrower_policy.go", "(asks(r) || !asks(p)) && ", "(asks(r) || true) && ", ""},
		{"a child may stop less", "narrower.go", "x.OnViolation.rank() >= y.OnViolation.rank() && ", "", ""},
		{"days of use elsewhere have no order", "state.go", "!slices.IsSorted(r.Away)", "!slices.IsSorted(r.Away[:0])", ""},
	}
}

// overlay writes a mutant and what tells go test to take it.
func overlay(t *testing.T, m mutant) string {
	t.Helper()
	path, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(path) //nolint:gosec // a file of this package
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), m.old); n != 1 {
		t.Fatalf("%s has %q %d times", m.file, m.old, n)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, m.file)
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{changed: strings.Replace(string(src), m.old, m.new, 1), filepath.Join(dir, "overlay.json"): string(list)} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "overlay.json")
}

// tried runs the tests of this package and returns what they say, and whether
// they failed by themselves: a build that fails proves nothing. The seed makes
// the random ones draw the same each time.
func tried(t *testing.T, checks string, args ...string) (string, bool) {
	t.Helper()
	all := append([]string{"test", "-vet=off", "-failfast", "-ldflags=-s -w"}, args...)
	out, err := exec.CommandContext(t.Context(), needs.Tool(t, "go"), append(all, ".", "-rapid.nofailfile", "-rapid.shrinktime=1ms", "-rapid.seed=1", "-rapid.checks="+checks)...).CombinedOutput() //nolint:gosec // the tests of this package
	var status *exec.ExitError
	if err != nil && (!errors.As(err, &status) || !strings.Contains(string(out), "--- FAIL") && !strings.Contains(string(out), "panic:")) {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out), err != nil
}

// Each property of E16 sees the fault that is seeded for it, and the written
// tests see theirs: a test of the tests.
func TestMutants(t *testing.T) {
	needs.Long(t)
	two := make(chan struct{}, 2) // builds at a time
	for _, m := range append(invariants(), faults()...) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			two <- struct{}{}
			defer func() { <-two }()
			args := []string{"-short", "-skip=_E16_|TR62636"}
			if m.run != "" {
				args = []string{"-run=^" + m.run + "$"}
			}
			if out, failed := tried(t, "10000", append(args, "-overlay="+overlay(t, m))...); !failed {
				t.Errorf("%s: %q for %q is not seen\n%s", m.file, m.new, m.old, out)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if out, failed := tried(t, "300", "-run=_E16_"); failed {
			t.Error(out)
		}
	})
}
