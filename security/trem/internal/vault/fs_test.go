package vault

import (
	"os"
	"path/filepath"
	"testing"
)

// TestVault_3_WhatWasReadIsWrittenAgain: a sync that comes after one that has
// failed proves nothing, so the file is made anew.
func TestVault_3_WhatWasReadIsWrittenAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	d, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // read only by then
	name := filepath.Join(dir, "a.seg")
	if err := os.WriteFile(name, []byte("what was read"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SyncFile("a.seg"); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if os.SameFile(before, after) || string(data) != "what was read" || after.Mode() != before.Mode() || err != nil {
		t.Errorf("the same file %v, %q, mode %v: %v", os.SameFile(before, after), data, after.Mode(), err)
	}
	if left, err := d.List(); err != nil || len(left) != 1 {
		t.Errorf("%q is left, %v", left, err)
	}
	if err := d.SyncFile("b.seg"); err == nil {
		t.Error("a file that is not there was synced")
	}
}
