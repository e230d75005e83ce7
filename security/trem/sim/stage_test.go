package sim

import (
	"testing"
)

func stage(t *testing.T, m Mutant) *Stage {
	t.Helper()
	s, err := NewStage(parties(t))
	if err != nil {
		t.Fatal(err)
	}
	do(t, s, Command{Do: "reset", Name: m.String()})
	return s
}

func do(t *testing.T, s *Stage, c Command) *View {
	t.Helper()
	v, err := s.Do(c)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	return v
}

// send finds the letter of a kind that is on the way, and does something with it.
func send(t *testing.T, s *Stage, what, kind string) *View {
	t.Helper()
	v := do(t, s, Command{Do: "look"})
	for _, l := range append(v.Letters, v.Old...) {
		if l.Kind == kind {
			return do(t, s, Command{Do: what, Letter: l.ID})
		}
	}
	t.Fatalf("no %s in %+v and %+v", kind, v.Letters, v.Old)
	return nil
}

// TestStage_4_ByHand hands the film over, with the plug pulled at each moment
// of each write, and lets it arrive.
func TestStage_4_ByHand(t *testing.T) {
	for _, moment := range []string{"", "before", "middle", "unsafe", "after"} {
		for box := 1; box <= 2; box++ {
			s := stage(t, None)
			do(t, s, Command{Do: "arm", Box: box, Name: moment})
			do(t, s, Command{Do: "hand", Box: 1})
			v := do(t, s, Command{Do: "through"})
			if moment == "" && (v.Boxes[1].Tickets != Tickets || v.Boxes[0].Tickets != 0) {
				t.Errorf("it did not arrive: %+v", v.Boxes)
			}
			if v.Lost+v.Doubled > 0 || v.Boxes[0].Tickets+v.Boxes[1].Tickets != Tickets || v.Boxes[0].Out+v.Boxes[1].Out > 0 {
				t.Errorf("%s at box %d: %+v", moment, box, v)
			}
		}
	}
}

// TestStage_4_StepByStep: each letter, each reply, and what a box shows on the way.
func TestStage_4_StepByStep(t *testing.T) {
	s := stage(t, None)
	if v := do(t, s, Command{Do: "hand", Box: 1, Count: 1}); v.Boxes[0].Tickets != 2 || v.Boxes[0].Out != 1 || len(v.Letters) != 1 || v.Letters[0].Tickets != 1 {
		t.Fatalf("%+v", v)
	}
	if v := send(t, s, "double", "XFER"); v.Boxes[1].Tickets != 1 || v.Boxes[1].Fresh != 1 || v.Faults != 0 || len(v.Letters) != 2 {
		t.Fatalf("%+v", v)
	}
	if v := send(t, s, "deliver", "XFER"); v.Boxes[1].Tickets != 1 || v.Faults != 1 {
		t.Fatalf("twice: %+v", v)
	}
	if v := do(t, s, Command{Do: "hand", Box: 2}); v.Boxes[1].Tickets != 1 {
		t.Fatalf("what is not yet confirmed goes on: %+v", v)
	}
	do(t, s, Command{Do: "unplug", Box: 1})
	if v := send(t, s, "deliver", "RECEIPT INSTALLED"); v.Boxes[0].On || v.Boxes[0].Out != 1 || v.Events[0].What != "nobody" {
		t.Fatalf("nobody is there: %+v", v)
	}
	do(t, s, Command{Do: "plug", Box: 1})
	if v := send(t, s, "lose", "RECEIPT INSTALLED"); v.Boxes[0].Out != 1 {
		t.Fatalf("%+v", v)
	}
	if v := send(t, s, "deliver", "RECEIPT INSTALLED"); v.Boxes[0].Out != 0 { // the second one
		t.Fatalf("%+v", v)
	}
	if v := send(t, s, "deliver", "DONE"); v.Boxes[1].Fresh != 0 || v.Lost+v.Doubled != 0 {
		t.Fatalf("%+v", v)
	}
	if v := do(t, s, Command{Do: "watch", Box: 2}); v.Watched != 1 || v.Boxes[1].Tickets != 0 || v.Lost != 0 {
		t.Fatalf("%+v", v)
	}
	for _, bad := range []Command{{Do: "fly", Box: 1}, {Do: "hand", Box: 3}, {Do: "arm", Box: 1, Name: "never"}, {Do: "reset", Name: "perfect"}} {
		if _, err := s.Do(bad); err == nil {
			t.Errorf("%+v is done", bad)
		}
	}
}

// TestStage_4_OneMistakeIsEnough breaks a box that forgets that it has said no, by hand.
func TestStage_4_OneMistakeIsEnough(t *testing.T) {
	for _, m := range []Mutant{None, NoTombstone} {
		s := stage(t, m)
		do(t, s, Command{Do: "hand", Box: 1})
		do(t, s, Command{Do: "cancel", Box: 1})
		send(t, s, "deliver", "CANCEL")
		if v := send(t, s, "deliver", "RECEIPT REFUSED"); v.Boxes[0].Tickets != Tickets {
			t.Fatalf("%v: %+v", m, v)
		}
		v := send(t, s, "replay", "XFER")
		if want := map[Mutant]int{NoTombstone: Tickets}[m]; v.Doubled != want || (v.Broken != "") != (want > 0) || v.Lost != 0 {
			t.Errorf("%v: %+v", m, v)
		}
	}
}

// TestStage_4_Surprise: at random nothing breaks, and each of the page's
// mistakes does.
func TestStage_4_Surprise(t *testing.T) {
	s := stage(t, None)
	for range 10 {
		if v := do(t, s, Command{Do: "surprise", Count: 100}); v.Lost+v.Doubled > 0 || v.Broken != "" {
			t.Fatalf("%+v", v)
		}
	}
	if v := do(t, s, Command{Do: "through"}); v.Faults < 1000 || v.Broken != "" || v.Boxes[0].Tickets+v.Boxes[1].Tickets != Tickets {
		t.Errorf("%+v", v)
	}
	for _, m := range []Mutant{SendFirst, NoTombstone, Timeout, NoDedup} {
		s := stage(t, m)
		var v *View
		for i := 0; i < 30 && (v == nil || v.Broken == ""); i++ {
			v = do(t, s, Command{Do: "surprise", Count: 100})
		}
		if v.Broken == "" || v.Lost+v.Doubled == 0 {
			t.Errorf("%v: %d faults, %q, %d lost, %d doubled", m, v.Faults, v.Broken, v.Lost, v.Doubled)
		}
		t.Logf("%v: after %d faults: %d lost, %d doubled", m, v.Faults, v.Lost, v.Doubled)
	}
}
