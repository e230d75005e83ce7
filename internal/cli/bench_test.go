package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/bench"
)

// runBench gives `lares bench` a table of one bench with these rows.
func runBench(t *testing.T, b bench.Bench, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: func() time.Time { return time.Unix(1767225600, 0).In(time.FixedZone("", 3600)) }}
	root := &cobra.Command{Use: "lares", SilenceErrors: true, SilenceUsage: true}
	root.SetOut(&out)
	root.PersistentFlags().Bool("json", false, "")
	root.AddCommand(benchCmd(env, []bench.Bench{b}))
	strict(root)
	root.SetArgs(append([]string{"bench"}, args...))
	code = execute(t.Context(), root, env)
	return out.String(), errs.String(), code
}

func fakeBench(rows ...bench.Row) bench.Bench {
	return bench.Bench{Name: "fake", Short: "Measure nothing", Peers: []string{"other"}, Run: func(context.Context, bench.Config) ([]bench.Row, error) { return rows, nil }}
}

func fakeRows() []bench.Row {
	return []bench.Row{
		bench.AtMost("bytes of it", 565, "bytes", 600),
		bench.Plain("time of it", 12.345, "µs"),
		bench.AtMost("slow thing", 2.001, "µs", 2),
		bench.AtLeast("ratio to other", 1.5, "times", 1),
		bench.Absent("ratio to a third", "times", "third is not installed"),
	}
}

func TestBench_Table(t *testing.T) {
	out, errs, code := runBench(t, fakeBench(fakeRows()...), "fake")
	want := bench.Machine() + "\ncommit " + buildVersion().short() + `, 2026-01-01T00:00:00Z

bytes of it       565 bytes               <= 600  holds
time of it        12.3 µs
slow thing        2.001 µs                <= 2    DOES NOT HOLD
ratio to other    1.500 times             >= 1    holds
ratio to a third  third is not installed          DOES NOT HOLD
`
	if code != statusDone || errs != "" || out != want {
		t.Errorf("status %d, %q\n%s", code, errs, cmp.Diff(want, out))
	}
}

func TestBench_JSON(t *testing.T) {
	out, _, code := runBench(t, fakeBench(fakeRows()...), "fake", "--json")
	want := `{
  "machine": "` + bench.Machine() + `",
  "commit": "` + buildVersion().short() + `",
  "date": "2026-01-01T00:00:00Z",
  "rows": [
    {
      "name": "bytes of it",
      "value": 565,
      "unit": "bytes",
      "bar": "<= 600",
      "holds": true
    },
    {
      "name": "time of it",
      "value": 12.345,
      "unit": "µs",
      "holds": true
    },
    {
      "name": "slow thing",
      "value": 2.001,
      "unit": "µs",
      "bar": "<= 2",
      "holds": false
    },
    {
      "name": "ratio to other",
      "value": 1.5,
      "unit": "times",
      "bar": ">= 1",
      "holds": true
    },
    {
      "name": "ratio to a third",
      "value": 0,
      "unit": "times",
      "holds": false,
      "note": "third is not installed"
    }
  ]
}
`
	if code != statusDone || out != want {
		t.Errorf("status %d\n%s", code, cmp.Diff(want, out))
	}
}

func TestBench_GateFailsForARowThatDoesNotHold(t *testing.T) {
	good, bad := bench.AtMost("one", 1, "µs", 2), bench.AtMost("two", 3, "µs", 2)
	for _, tc := range []struct {
		name   string
		rows   []bench.Row
		args   string
		stderr string
		code   int
	}{
		{"all hold", []bench.Row{good}, "fake --gate", "", statusDone},
		{"one does not", []bench.Row{good, bad}, "fake --gate", "lares: bench fake: 1 of 2 rows do not hold\n", statusCheck},
		{"one was not measured", []bench.Row{bench.Absent("x", "µs", "not installed")}, "fake --gate --json", "lares: bench fake: 1 of 1 rows do not hold\n", statusCheck},
		{"without the gate", []bench.Row{bad}, "fake", "", statusDone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, errs, code := runBench(t, fakeBench(tc.rows...), strings.Fields(tc.args)...)
			if code != tc.code || errs != tc.stderr {
				t.Errorf("status %d, %q; want %d, %q", code, errs, tc.code, tc.stderr)
			}
			if !strings.Contains(out, tc.rows[0].Name) {
				t.Errorf("the report is not printed: %q", out)
			}
		})
	}
}

func TestBench_FlagsReachTheBench(t *testing.T) {
	var got bench.Config
	var limited bool
	b := fakeBench()
	b.Run = func(ctx context.Context, cfg bench.Config) ([]bench.Row, error) {
		got = cfg
		_, limited = ctx.Deadline()
		return nil, nil
	}
	if _, errs, code := runBench(t, b, "fake"); code != statusDone || got.Full || got.Quick || !limited {
		t.Errorf("status %d, %q: got %+v, with a limit %v; want the default form and a limit", code, errs, got, limited)
	}
	_, errs, code := runBench(t, b, "fake", "--full", "--peer", "other=/bin/other")
	if got.Start == nil {
		t.Error("a bench cannot start the module")
	}
	if self, err := os.Executable(); err != nil || got.Program != self {
		t.Errorf("the program is %q, want %q (%v)", got.Program, self, err)
	}
	if got.Say == nil {
		t.Error("a bench cannot say what it needs")
	}
	got.Start, got.Program, got.Say = nil, "", nil // functions do not compare
	if want := (bench.Config{Full: true, Peers: map[string]string{"other": "/bin/other"}}); code != statusDone || limited || !cmp.Equal(got, want) {
		t.Errorf("status %d, %q: got %+v, with a limit %v; want %+v and none", code, errs, got, limited, want)
	}
	if _, errs, code := runBench(t, b, "fake", "--peer", "else=/bin/else"); code != statusUsage || !strings.Contains(errs, `not with "else"`) {
		t.Errorf("unknown peer: status %d, %q", code, errs)
	}
}

func TestBench_ErrorIsNotAReport(t *testing.T) {
	b := fakeBench()
	b.Run = func(context.Context, bench.Config) ([]bench.Row, error) { return fakeRows(), errors.New("no clock") }
	if out, errs, code := runBench(t, b, "fake"); out != "" || errs != "lares: bench fake: no clock\n" || code != statusError {
		t.Errorf("status %d, %q, %q", code, out, errs)
	}
}

func TestBench_NamesAreListedAndSuggested(t *testing.T) {
	out, _, code := run(t, "bench")
	if code != statusDone {
		t.Errorf("without a name: status %d", code)
	}
	for _, b := range bench.All() {
		if !strings.Contains(out, "  "+b.Name+" ") || !strings.Contains(out, b.Short) {
			t.Errorf("%s is not in\n%s", b.Name, out)
		}
	}
	if out, errs, code := run(t, "bench", "--gate"); code != statusUsage || out != "" || !strings.Contains(errs, "give the name of a bench") {
		t.Errorf("a gate without a name: status %d, %q, %q", code, errs, out)
	}
	_, errs, code := run(t, "bench", "licence")
	want := `lares: unknown command "licence" for "lares bench"; did you mean license? (see 'lares bench --help')` + "\n"
	if code != statusUsage || errs != want {
		t.Errorf("status %d, %q; want %q", code, errs, want)
	}
}

func TestBench_StoreIsOneOfTheBenchs(t *testing.T) {
	var got string
	b := fakeBench()
	b.Stores = []string{"one", "two"}
	b.Run = func(_ context.Context, cfg bench.Config) ([]bench.Row, error) {
		got = cfg.Store
		return nil, nil
	}
	for args, want := range map[string]string{"fake": "one", "fake --store=two": "two"} {
		if _, errs, code := runBench(t, b, strings.Fields(args)...); code != statusDone || got != want {
			t.Errorf("%s: status %d, %q, store %q, want %q", args, code, errs, got, want)
		}
	}
	if _, errs, code := runBench(t, b, "fake", "--store=three"); code != statusUsage || !strings.Contains(errs, "one or two") {
		t.Errorf("status %d, %q", code, errs)
	}
}
