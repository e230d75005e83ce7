package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestSummary_CountsShowsFailuresAndListsWhatDidNotRun(t *testing.T) {
	var out bytes.Buffer
	s := newSummary(&out)
	s.read(strings.NewReader(`
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    needs.go:1: NOT RUN: TestC: spin is not installed\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"skip","Package":"p","Test":"TestD"}
{"Action":"fail","Package":"p","Elapsed":1.5}
{"Action":"build-output","ImportPath":"q","Output":"q.go:1: syntax error\n"}
{"Action":"fail","Package":"q"}
{"Action":"output","Package":"r","Test":"TestE","Output":"panic: gone\n"}
{"Action":"fail","Package":"r"}
`))
	s.close()
	got := out.String()
	for _, want := range []string{
		"got 1, want 2", "q.go:1: syntax error", "panic: gone", "FAIL p 1.5s",
		"  TestC: spin is not installed\n", "  TestD: skipped without a reason in p\n",
		"\n1 passed, 3 failed, 2 skipped\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "chatter") {
		t.Error("a test that passed must stay silent")
	}
}

func TestRuns_EachDashDashBeginsARun(t *testing.T) {
	got := runs([]string{"--", "-race", "./a/...", "--", "./..."})
	if len(got) != 2 || strings.Join(got[0], " ") != "-race ./a/..." || strings.Join(got[1], " ") != "./..." {
		t.Errorf("got %q", got)
	}
}
