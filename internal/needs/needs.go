// Package needs implements the rule that a test which lacks a tool is seen:
// it is listed as NOT RUN with its reason, and under CI=true it fails.
//
// It also says how much of a long test a slow binary runs.
//
// It is for tests only and installs nothing; `make setup` does. The promise:
// no test of this project is skipped in any other way.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program, or ends the test as NOT RUN.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		NotRun(t, name+" is not installed (make setup installs it)")
	}
	return path
}

// File returns name when the file exists, or ends the test as NOT RUN.
func File(t testing.TB, name, reason string) string {
	t.Helper()
	if _, err := os.Stat(name); err != nil {
		NotRun(t, reason)
	}
	return name
}

// NotRun ends the test: as NOT RUN with the reason, or as failed under CI=true.
func NotRun(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("NOT RUN: %s: %s", t.Name(), reason)
	}
	t.Skipf("NOT RUN: %s: %s", t.Name(), reason)
}

// Long ends a test of more than a few seconds as NOT RUN under -short, which is
// for `make check`; the whole suite runs it.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skipf("NOT RUN: %s: it is long, and these are the short tests", t.Name())
	}
}
