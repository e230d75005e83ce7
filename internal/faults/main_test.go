package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// TestFaults_Summary: the line that people look for, and the command that
// repeats a failure.
func TestFaults_Summary(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-n", "200"}, &out); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^faults: \d{3,} in \d+ runs with .*: 0 lost, 0 doubled$`).MatchString(out.String()) {
		t.Errorf("%s", out.String())
	}
	err := run([]string{"-n", "100000", "-mutant", "no-dedup"}, &out)
	if err == nil {
		t.Fatal("a destination that installs twice passes")
	}
	again := regexp.MustCompile(`seed (\d+), step \d+: doubled: .* \(again: make faults SEED=\d+ MUTANT=no-dedup\)`).FindStringSubmatch(err.Error())
	if again == nil {
		t.Fatalf("no command: %v", err)
	}
	out.Reset()
	if err := run([]string{"-seed", again[1], "-mutant", "no-dedup"}, &out); err == nil || !strings.Contains(out.String(), "BROKEN: doubled") {
		t.Errorf("again: %v", err)
	}
	out.Reset()
	if err := run([]string{"-seed", again[1]}, &out); err != nil || !strings.HasSuffix(out.String(), ": 0 lost, 0 doubled\n") {
		t.Errorf("without the mutant: %v", err)
	}
	for _, bad := range [][]string{{"-mutant", "perfect"}, {"-seed", "x"}} {
		if err := run(bad, &out); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
