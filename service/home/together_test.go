package home

import (
	"testing"
	"time"
)

// Where devices of several children are on one link, the youngest's age counts, and
// nothing plays unless all of them may watch at this time; it ends when the first may not.
func TestPeople_SeveralOnOneLink(t *testing.T) {
	hours := func(text string) Hours {
		h, err := ParseHours(text)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	for _, tc := range []struct {
		elder, younger string // 16 and 9 years old
		at, want       string
	}{
		{"", "", "12:00", ""},
		{"07:00-19:30", "", "12:00", "07:00-19:30"},
		{"", "07:00-19:30", "12:00", "07:00-19:30"},
		{"07:00-22:00", "08:00-19:30", "12:00", "08:00-19:30"},
		{"14:00-16:00", "07:00-19:30", "12:00", "14:00-16:00"}, // the elder may not yet
		{"07:00-22:00", "14:00-16:00", "12:00", "14:00-16:00"}, // the younger may not yet
		{"14:00-16:00", "07:00-19:30", "15:00", "14:00-16:00"}, // both may, until the elder's end
		{"07:00-10:00", "20:00-22:00", "08:00", "20:00-22:00"}, // never both
		{"07:00-10:00", "20:00-22:00", "21:00", "07:00-10:00"},
		{"20:00-02:00", "21:00-01:00", "00:30", "21:00-01:00"}, // over midnight
	} {
		now, err := time.Parse("15:04", tc.at)
		if err != nil {
			t.Fatal(err)
		}
		now = now.AddDate(2026, 0, 0)
		elder := &Person{ID: "elder", Kind: Child, Age: 16, Hours: hours(tc.elder)}
		younger := &Person{ID: "younger", Kind: Child, Age: 9, Hours: hours(tc.younger)}
		for _, all := range [][]*Person{{elder, younger}, {younger, elder}} {
			if got := together(all, now); got.ID != "younger" || got.Age != 9 || got.Hours != hours(tc.want) {
				t.Errorf("%q and %q at %s: %s of %d years, %q, want %q", tc.elder, tc.younger, tc.at, got.ID, got.Age, got.Hours, tc.want)
			}
		}
		if elder.Hours != hours(tc.elder) || younger.Hours != hours(tc.younger) {
			t.Error("a person was changed")
		}
	}
}
