package cli

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lares-drm/lares/license"
)

// What a house said bounds a device also while it is away: a title that the house rated
// goes by that, another one by its folder, and one that nobody rated is for no child.
func TestPeople_6_ADeviceGoesByWhatItsHouseSaid(t *testing.T) {
	w, err := parseWhose([]byte(`{"person":{"age":9,"hours":"07:00-19:30"},"rated":[{"content":"metropolis","years":12}]}`))
	if err != nil {
		t.Fatal(err)
	}
	now, six := time.Date(2026, 11, 28, 20, 0, 0, 0, time.UTC), uint8(6)
	from, until := time.Date(2026, 11, 29, 7, 0, 0, 0, time.UTC).UnixMilli(), time.Date(2026, 11, 29, 19, 30, 0, 0, time.UTC).UnixMilli()
	for _, tc := range []struct {
		rated uint8
		got   *license.Person
	}{{12, w.Asked("metropolis", &six, now)}, {6, w.Asked("faust", &six, now)}, {100, w.Asked("faust", nil, now)}} {
		if d := cmp.Diff(&license.Person{Age: 9, Rated: tc.rated, From: from, Until: until}, tc.got); d != "" {
			t.Errorf("rated from %d: %s", tc.rated, d)
		}
	}
	if w, err := parseWhose([]byte(`{"person":null}`)); err != nil || w.Asked("metropolis", nil, now) != nil {
		t.Errorf("everybody's: %v", err)
	}
}

// FuzzWhose: what a device takes of its house it reads again as the same.
func FuzzWhose(f *testing.F) {
	f.Add([]byte(`{"person":null}`))
	f.Add([]byte(`{"person":{"age":9,"hours":"07:00-19:30"},"rated":[{"content":"metropolis","years":12}]}`))
	f.Add([]byte(`{"person":{"age":200}}`))
	f.Add([]byte(`{"people":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := parseWhose(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseWhose(text)
		if err != nil || w.Person != nil && cmp.Diff(w.Person, again.Person) != "" || len(w.Rated) != len(again.Rated) {
			t.Errorf("%s is read as %s (%v)", data, text, err)
		}
	})
}
