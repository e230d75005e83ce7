package trembench

import (
	"testing"
	"time"
)

func house(t *testing.T) House {
	start := time.Now()
	return House{Dir: t.TempDir(), Now: time.Now, CPU: func() (time.Duration, error) { return time.Since(start), nil }}
}

func TestX(t *testing.T) {
	a, err := house(t).MovesInSession(t.Context(), 4)
	for _, x := range a {
		t.Logf("%+v", x)
	}
	if err != nil {
		t.Error(err)
	}
	a, err = house(t).MovesByLetter(t.Context(), 4)
	for _, x := range a {
		t.Logf("%+v", x)
	}
	if err != nil {
		t.Error(err)
	}
	l, err := house(t).Loans(t.Context(), 3)
	for _, x := range l {
		t.Logf("%+v", x)
	}
	if err != nil {
		t.Error(err)
	}
}
