package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A restore that is done is not reported as failed because the list of watched folders
// cannot be read afterwards.
func TestRestore_UnreadableFoldersAreAWarning(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "films.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	if got := watchedAgain(&Env{Stderr: &errs}, dir); got == nil || len(got) != 0 || !strings.Contains(errs.String(), "the house is restored, but") {
		t.Errorf("%v, %q", got, errs.String())
	}
}
