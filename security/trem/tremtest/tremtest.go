// Package tremtest implements the conformance suite of trusted modules as Go
// tests: security/trem/conform, a subtest for each check.
//
// It is for tests. The promise: a module passes when every check of
// docs/spec/trem.md that can be made from outside was made and holds.
package tremtest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/lares-drm/lares/security/trem/conform"
)

// Run judges a new module, which dial gives a stream to.
func Run(t *testing.T, dial func(context.Context) (io.ReadWriteCloser, error)) {
	t.Helper()
	made := 0
	err := conform.Run(t.Context(), conform.Config{Dial: dial, Dir: t.TempDir(), Now: time.Now}, func(r conform.Result) {
		made++
		t.Run(r.Name, func(t *testing.T) {
			if r.Note != "" {
				t.Log(r.Note)
			}
			if r.Err != nil {
				t.Error(r.Err)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(conform.Checks()); made != want {
		t.Errorf("%d of %d checks were made", made, want)
	}
}
