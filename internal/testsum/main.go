// Command testsum runs go test, shows what failed in full, lists every test
// that could not run with its reason, and ends with one line of totals.
//
//	testsum -- -race ./service/... -- ./...
//
// Each -- begins one run of `go test`. -skip-dirs "PATTERNS" takes the packages
// of these patterns out of a run. The exit status is 1 when anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	s := newSummary(os.Stdout)
	for _, args := range runs(os.Args[1:]) {
		if err := s.run(args); err != nil {
			fmt.Fprintln(os.Stderr, "testsum:", err)
			s.failed++
		}
	}
	s.close()
	if s.failed > 0 {
		os.Exit(1)
	}
}

// runs splits the command line at each --.
func runs(args []string) [][]string {
	var all [][]string
	for _, a := range args {
		if a == "--" {
			all = append(all, nil)
		} else if len(all) > 0 {
			all[len(all)-1] = append(all[len(all)-1], a)
		}
	}
	return all
}

// without replaces -skip-dirs "PATTERNS" and the patterns of packages by a
// list of packages.
func without(args []string) ([]string, error) {
	i := slices.Index(args, "-skip-dirs")
	if i < 0 {
		return args, nil
	}
	skip, err := list(strings.Fields(args[i+1]))
	if err != nil {
		return nil, err
	}
	isPackage := func(a string) bool { return strings.HasPrefix(a, ".") }
	all, err := list(slices.DeleteFunc(slices.Clone(args[i+2:]), func(a string) bool { return !isPackage(a) }))
	if err != nil {
		return nil, err
	}
	flags := slices.DeleteFunc(slices.Concat(args[:i], args[i+2:]), isPackage)
	all = slices.DeleteFunc(all, func(p string) bool { return slices.Contains(skip, p) })
	return append(flags, all...), nil
}

func list(patterns []string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, patterns...)...) //nolint:noctx // a build step, ended by Ctrl-C
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// event is a line of `go test -json` (cmd/test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
	Elapsed    float64
}

type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string][]string // by package and test
	notRun                  map[string]bool
	blamed                  map[string]bool // packages with a failed test
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, output: map[string][]string{}, notRun: map[string]bool{}, blamed: map[string]bool{}}
}

func (s *summary) run(args []string) error {
	args, err := without(args)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...) //nolint:noctx // a build step, ended by Ctrl-C
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	failed := s.failed
	s.read(out)
	if err := cmd.Wait(); err != nil && s.failed == failed {
		return fmt.Errorf("go test %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// read takes one stream of events and prints packages as they end.
func (s *summary) read(in io.Reader) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(s.out, lines.Text())
			continue
		}
		s.event(e)
	}
	clear(s.output)
	clear(s.blamed)
}

func (s *summary) event(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		s.output[key] = append(s.output[key], e.Output)
		if _, reason, ok := strings.Cut(e.Output, "NOT RUN: "); ok {
			s.notRun[strings.TrimSpace(reason)] = true
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
			return
		}
		s.endTest(e, key)
	}
}

func (s *summary) endTest(e event, key string) {
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
		if text := strings.Join(s.output[key], ""); !strings.Contains(text, "NOT RUN: ") {
			s.notRun[e.Test+": skipped without a reason in "+e.Package] = true
		}
	case "fail":
		s.failed++
		s.blamed[e.Package] = true
		fmt.Fprint(s.out, strings.Join(s.output[key], ""))
	}
	delete(s.output, key)
}

// endPackage prints one line a package, and everything a package said that
// failed without a failed test: it did not build, or it ended in the middle.
func (s *summary) endPackage(e event) {
	switch {
	case e.Action == "fail":
		if !s.blamed[e.Package] {
			s.failed++
			for _, key := range slices.Sorted(maps.Keys(s.output)) {
				if strings.HasPrefix(key, e.Package+" ") {
					fmt.Fprint(s.out, strings.Join(s.output[key], ""))
				}
			}
		}
		fmt.Fprintf(s.out, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
	case e.Action == "pass":
		fmt.Fprintf(s.out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
	}
	delete(s.output, e.Package+" ")
}

func (s *summary) close() {
	if len(s.notRun) > 0 {
		fmt.Fprintln(s.out, "\nNOT RUN:")
		for _, reason := range slices.Sorted(maps.Keys(s.notRun)) {
			fmt.Fprintln(s.out, "  "+reason)
		}
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
}
