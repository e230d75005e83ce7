package sim

import (
	"errors"
	"testing"
)

func TestFirst(t *testing.T) {
	p, err := NewParties()
	if err != nil {
		t.Fatal(err)
	}
	var c Counts
	tr, pl := 0, 0
	for seed := uint64(1); seed <= 300; seed++ {
		w, err := New(Config{Parties: p, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.Run()
		if err != nil {
			t.Error(err)
		}
		c.Add(r.Faults)
		tr += r.Transfers
		pl += r.Plays
	}
	t.Logf("%d: %v; %d transfers, %d plays", c.Total(), c, tr, pl)
}

func TestMut(t *testing.T) {
	p, err := NewParties()
	if err != nil {
		t.Fatal(err)
	}
	for _, lenient := range []bool{false, true} {
		for _, m := range Mutants() {
			var at uint64
			for seed := uint64(1); seed <= 60 && at == 0; seed++ {
				w, err := New(Config{Parties: p, Seed: seed, Mutant: m, Lenient: lenient})
				if err != nil {
					t.Fatal(err)
				}
				_, err = w.Run()
				var b *BrokenError
				if errors.As(err, &b) {
					at = seed
					t.Logf("%v %v: %v", lenient, m, b)
				} else if err != nil {
					t.Errorf("%v %v: %v", lenient, m, err)
					break
				}
			}
			if at == 0 {
				t.Errorf("%v: %v not found", lenient, m)
			}
		}
	}
}
