package scenario_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license/scenario"
)

// What Parse accepts prints as a story that reads back to the same print and
// compiles to the same steps, and nothing panics. The corpus is in
// testdata/fuzz.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := scenario.Parse(text)
		if err != nil {
			return
		}
		back, err := scenario.Parse([]byte(s.Text()))
		if err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		if a, b := s.Text(), back.Text(); a != b {
			t.Fatalf("%q prints as %q", a, b)
		}
		one, err := scenario.Run(s)
		two, err2 := scenario.Run(back)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%v and %v", err, err2)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(len(one.Failures()), len(two.Failures())); diff != "" {
			t.Error(diff)
		}
		a, err := one.JSON()
		if err != nil {
			t.Fatal(err)
		}
		b, err := two.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bare(t, a), bare(t, b)); diff != "" {
			t.Error(diff)
		}
	})
}
