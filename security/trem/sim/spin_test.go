package sim

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lares-drm/lares/internal/needs"
)

var update = flag.Bool("update", false, "write the traces in testdata anew, with spin")

// modelDir holds the models whose traces are replayed.
const modelDir = "../../../docs/model"

// action is one step of a model: who made it, and what it changed.
type action struct {
	who string // the process and what it does: "Node 1", "sync 1", "Env 3"
	set map[string]int
}

func (a action) String() string {
	out := a.who
	for _, name := range slices.Sorted(maps.Keys(a.set)) {
		out += fmt.Sprintf(" %s=%d", name, a.set[name])
	}
	return out
}

// parseTrace reads the lines that String writes; # begins a comment.
func parseTrace(text string) (out []action, err error) {
	for line := range strings.Lines(text) {
		if line, _, _ = strings.Cut(strings.TrimSpace(line), "#"); line == "" {
			continue
		}
		f := strings.Fields(line)
		a := action{who: f[0] + " " + f[1], set: map[string]int{}}
		for _, s := range f[2:] {
			name, value, _ := strings.Cut(s, "=")
			if a.set[name], err = strconv.Atoi(value); err != nil {
				return nil, err
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// layout is where in a model's text an atomic step begins.
type layout struct {
	starts      map[int]bool
	sync, crash [2]int // the lines of the two inlines
	play        int
}

func layoutOf(t *testing.T, model string) layout {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(modelDir, model))
	if err != nil {
		t.Fatal(err)
	}
	l := layout{starts: map[int]bool{}}
	var in *[2]int
	for i, line := range strings.Split(string(data), "\n") {
		n := i + 1
		switch {
		case strings.Contains(line, ":: atomic {"), strings.Contains(line, ":: d_step {"):
			l.starts[n] = true
			if strings.Contains(line, "MAYPLAY(n) ->") {
				l.play = n
			}
		case strings.HasPrefix(line, "inline sync("):
			in = &l.sync
			in[0] = n
		case strings.HasPrefix(line, "inline crash("):
			in = &l.crash
			in[0] = n
		case in != nil && strings.HasPrefix(line, "}"):
			in[1], in = n, nil
		}
	}
	return l
}

func inside(n int, lines [2]int) bool { return n > lines[0] && n <= lines[1] }

var (
	stepLine = regexp.MustCompile(`proc +(\d+) \(([A-Za-z:]+):\d+\) \S*:(\d+) \(state \d+\)(?:\s+\[(\w+)(?:\[.*)? = )?`)
	setLine  = regexp.MustCompile(`^\t\t(\w+(?:\[\d+\])?) = (-?\d+)`)
)

// actionsOf reads the output of spin -p -g.
func (l layout) actionsOf(output []byte) (out []action) {
	state, next := map[string]int{"awake": 1}, map[string]int{} // as lend.pml begins
	proc, left, last := "", "", ""
	for s := bufio.NewScanner(bytes.NewReader(output)); s.Scan(); {
		if m := stepLine.FindStringSubmatch(s.Text()); m != nil {
			if left = m[4]; !l.goesOn(out, proc, last, m) {
				out = append(out, l.begin(m))
				maps.Copy(out[len(out)-1].set, next)
				clear(next)
			}
			proc, last = m[1], m[3]
			continue
		}
		m := setLine.FindStringSubmatch(s.Text())
		if m == nil || len(out) == 0 {
			continue
		}
		v, _ := strconv.Atoi(m[2]) //nolint:errcheck // digits
		if name, _, _ := strings.Cut(m[1], "["); state[m[1]] != v && name == left {
			out[len(out)-1].set[m[1]] = v
		} else if state[m[1]] != v {
			next[m[1]] = v // of a d_step, whose line comes after what it changed
		}
		state[m[1]] = v
	}
	return slices.DeleteFunc(out, func(a action) bool { return len(a.set) == 0 && !strings.HasPrefix(a.who, "sync") })
}

// goesOn reports whether a line of spin's output is a further one of the step before it.
func (l layout) goesOn(out []action, proc, last string, m []string) bool {
	if len(out) == 0 || proc != m[1] {
		return false
	}
	if _, done := out[len(out)-1].set["played"]; strings.HasPrefix(out[len(out)-1].who, "play") && !done {
		return true // with a sync in it
	}
	line, _ := strconv.Atoi(m[3]) //nolint:errcheck // digits
	return (!l.starts[line] || last == m[3]) && !inside(line, l.sync) && !inside(line, l.crash)
}

// begin is the step that a line begins.
func (l layout) begin(m []string) action {
	line, _ := strconv.Atoi(m[3]) //nolint:errcheck // digits
	who := strings.Trim(m[2], ":") + " " + m[1]
	switch {
	case line == l.play:
		who = "play " + m[1]
	case inside(line, l.sync):
		who = "sync " + m[1]
	case inside(line, l.crash):
		who = "crash 0" // of whom, the change says
	}
	return action{who: who, set: map[string]int{}}
}

// spin makes a random simulation of a model.
func spin(t *testing.T, model string, seed, steps int, defines ...string) []action {
	t.Helper()
	tool := needs.Tool(t, "spin")
	args := append([]string{"-p", "-g", fmt.Sprintf("-n%d", seed), fmt.Sprintf("-u%d", steps)}, defines...)
	abs, err := filepath.Abs(filepath.Join(modelDir, model))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, append(args, abs)...)
	cmd.Dir = t.TempDir() // it writes a file of its own
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("spin: %v", err)
	}
	return squeeze(layoutOf(t, model).actionsOf(data))
}

// squeeze leaves out syncs after which nothing else has happened.
func squeeze(all []action) (out []action) {
	idle := map[string]bool{}
	for _, a := range all {
		if strings.HasPrefix(a.who, "sync") {
			if idle[a.who] && len(a.set) == 0 {
				continue
			}
			idle[a.who] = true
		} else {
			clear(idle)
		}
		out = append(out, a)
	}
	return out
}

// traces are what is committed, and what spin makes of it.
var traces = []struct {
	model   string
	defines []string
	steps   int
	replay  func(*testing.T, []action)
}{
	{"move.pml", []string{"-DNN=2", "-DNQ=2", "-DUNITS=2", "-DPLAY"}, 300_000, moves(2, 2)},
	{"move.pml", []string{"-DNN=2", "-DNQ=1", "-DUNITS=1"}, 100_000, moves(1, 1)},
	{"lend.pml", []string{"-DFIX"}, 2_000, replayLend},
}

// TestSim_2_TracesOfTheModels replays random traces of the models, which are
// committed, against the machines: each step is possible there, and leads to
// the same state.
func TestSim_2_TracesOfTheModels(t *testing.T) {
	if *update {
		for _, x := range traces {
			for seed := 1; seed <= 8; seed++ {
				writeTrace(t, x.model, x.defines, seed, spin(t, x.model, seed, x.steps, x.defines...))
			}
		}
	}
	seen := map[string]bool{}
	for _, x := range traces {
		files, err := filepath.Glob("testdata/" + traceName(x.model, x.defines) + "-*.trace")
		if err != nil || len(files) < 8 {
			t.Fatalf("%d traces of %s, %v", len(files), x.model, err)
		}
		for _, name := range files {
			t.Run(filepath.Base(name), func(t *testing.T) {
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				steps, err := parseTrace(string(data))
				if err != nil {
					t.Fatal(err)
				}
				x.replay(t, steps)
				for _, a := range steps {
					for name, v := range a.set {
						name, _, _ = strings.Cut(name, "[")
						seen[fmt.Sprintf("%s=%d", name, v)] = true
					}
				}
			})
		}
	}
	for what := range strings.FieldsSeq("r_s=1 r_s=2 r_s=3 r_s=0 r_d=1 r_d=2 r_d=3 r_d=0 m_xfer=1 m_cancel=1 m_inst=1 m_ref=1 m_done=1 played=1 aseq=2 bseq=2 ret1=1 ret2=1 awake=1 bhas=1") {
		if !seen[what] {
			t.Errorf("no trace has %s", what)
		}
	}
}

// TestSim_2_TracesFromSpin replays traces that spin makes now, of the models as they are.
func TestSim_2_TracesFromSpin(t *testing.T) {
	needs.Long(t)
	for _, x := range traces {
		t.Run(traceName(x.model, x.defines), func(t *testing.T) {
			n := 0
			for seed := 1; seed <= 25; seed++ {
				steps := spin(t, x.model, seed, x.steps, x.defines...)
				x.replay(t, steps)
				n += len(steps)
			}
			t.Logf("%d steps", n)
		})
	}
}

func traceName(model string, defines []string) string {
	return strings.TrimSuffix(model, ".pml") + strings.NewReplacer("-d", "-", "=", "").Replace(strings.ToLower(strings.Join(defines, "")))
}

func writeTrace(t *testing.T, model string, defines []string, seed int, steps []action) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# spin %s -p -g -n%d %s: what each step changed\n", model, seed, strings.Join(defines, " "))
	for _, a := range steps {
		fmt.Fprintln(&b, a)
	}
	if err := os.WriteFile(fmt.Sprintf("testdata/%s-%d.trace", traceName(model, defines), seed), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
