package license_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

// mutant is a fault that is put into a function: the tests that run must see it.
type mutant struct {
	name     string
	file     string
	old, new string // old stands once in the file, in a function
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
		{"a slot lapses late", "where.go", "e.est-s.Seen < SlotLife", "e.est-s.Seen <= SlotLife", ""},
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

// chosen is the variable of the environment by which a program with every fault in it
// has one of them: its number, or none.
const chosen = "LARES_MUTANT"

// seeded returns a file with every fault of it. A function with faults begins with a block
// for each, which is the function's body with the fault, and is taken where the fault is chosen.
func seeded(t *testing.T, name string, all []mutant) []byte {
	t.Helper()
	src, err := os.ReadFile(name) //nolint:gosec // a file of this package
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	done := 0
	put := make([]int, len(all)) // how often each fault stands in it
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		from, to := files.Position(f.Body.Lbrace).Offset+1, files.Position(f.Body.Rbrace).Offset
		body, end := string(src[from:to]), ""
		if f.Type.Results == nil {
			end = "\nreturn"
		}
		out.Write(src[done:from])
		done = from
		for n, m := range all {
			if m.file == name && strings.Contains(body, m.old) {
				put[n]++
				fmt.Fprintf(&out, "\nif chosenFault == \"%d\" {%s%s\n}\n", n, strings.Replace(body, m.old, m.new, 1), end)
			}
		}
	}
	out.Write(src[done:])
	for n, m := range all {
		if times := strings.Count(string(src), m.old); m.file == name && (times != 1 || put[n] != 1) {
			t.Fatalf("%s has %q %d times, %d of its functions have it", name, m.old, times, put[n])
		}
	}
	return out.Bytes()
}

// tests builds the tests of this package with every fault in it, and returns the program:
// one build, for what takes longest is to build.
func tests(t *testing.T, all []mutant) string {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	write := func(name string, src []byte) {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, name)
		if err := os.WriteFile(replace[path], src, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("chosen.go", []byte("package license\n\nimport \"os\"\n\nvar chosenFault = os.Getenv(\""+chosen+"\")\n"))
	for n, m := range all {
		if !slices.ContainsFunc(all[:n], func(o mutant) bool { return o.file == m.file }) {
			write(m.file, seeded(t, m.file, all))
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "license.test")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), needs.Tool(t, "go"), "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay, "-o", program, ".").CombinedOutput(); err != nil { //nolint:gosec // the tests of this package
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// tried runs tests with a fault, or "" for none, and returns what they say, and whether
// they failed; that they took too long says nothing of the fault. The seed makes the
// random ones draw the same each time.
func tried(t *testing.T, program, fault string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(args, "-test.failfast", "-test.timeout=5m", "-rapid.nofailfile", "-rapid.shrinktime=1ms", "-rapid.seed=1")...) //nolint:gosec // the tests of this package
	cmd.Env = append(os.Environ(), chosen+"="+fault)
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if bytes.Contains(out, []byte("panic: test timed out")) {
		t.Fatalf("the tests took too long, and say neither that the fault is seen nor that it is not\n%s", out)
	}
	if err != nil && (!errors.As(err, &status) || !strings.Contains(string(out), "--- FAIL") && !strings.Contains(string(out), "panic:")) {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out), err != nil
}

// arguments are those of the tests that must see a fault.
func (m *mutant) arguments() []string {
	if m.run == "" {
		return []string{"-test.short", "-test.skip=_E16_|_E19_NarrowsOnly|TR62636"}
	}
	return []string{"-test.run=^" + m.run + "$", "-rapid.checks=10000"}
}

// Each property of E16 sees the fault that is seeded for it, and the written
// tests see theirs: a test of the tests. The same tests in the same program pass where
// no fault is chosen, else their failing would say nothing.
func TestMutants(t *testing.T) {
	needs.Long(t)
	all := append(invariants(), faults()...)
	program := tests(t, all)
	if !t.Run("none", func(t *testing.T) {
		ran := map[string]bool{}
		for _, m := range all {
			if ran[m.run] {
				continue
			}
			ran[m.run] = true
			t.Run(cmp.Or(m.run, "written down"), func(t *testing.T) {
				t.Parallel()
				if out, failed := tried(t, program, "", m.arguments()...); failed {
					t.Error(out)
				}
			})
		}
	}) {
		return
	}
	for n, m := range all {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if out, failed := tried(t, program, strconv.Itoa(n), m.arguments()...); !failed {
				t.Errorf("%s: %q for %q is not seen\n%s", m.file, m.new, m.old, out)
			}
		})
	}
}
