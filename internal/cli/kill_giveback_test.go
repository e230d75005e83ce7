package cli

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// killGiveBack kills devices and the house while plays go back and forth between them.
// One device has them all, another one asks: whoever is killed when, the first gives
// some back when it meets the house, the other gets them, and the sum is what it was.
func killGiveBack(t *testing.T, d *demo, house string) {
	all := d.counted(t) + 24 // devices have plays of other titles, too
	d.buy(t, house, boughtCBCS, 24)
	get := func(device, plays string) answer {
		return d.say(t, new(gotten), "device", "get", string(boughtCBCS), "--plays", plays, "--dir", d.path(device))
	}
	has, wants, came := "tablet", "phone", 0
	if a := get(has, "24"); a.code != statusDone {
		t.Fatalf("the first gets nothing: %s", a.stderr)
	}
	for round := range 6 {
		if a := get(wants, "4"); a.code != statusRefused && round == 0 {
			t.Fatalf("the house gives what it has not: %+v", a)
		}
		cmd := exec.CommandContext(t.Context(), d.program, "device", "transfers", "--dir", d.path(has)) //nolint:gosec // this repository's own program
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		soon()
		modules := children(t, cmd.Process.Pid)
		switch round % 3 {
		case 0:
			kill9(t, cmd.Process.Pid)
		case 1:
			for _, m := range modules {
				kill9(t, m)
			}
		default:
			d.crash(t, "home")
		}
		_ = cmd.Wait()
		gone(t, modules...)
		var said answer
		for range 3 {
			said = d.say(t, new(json.RawMessage), "device", "transfers", "--dir", d.path(has))
		}
		if a := get(wants, "4"); a.code == statusDone {
			came++
		} else if round == 0 {
			t.Fatalf("the one who waits gets nothing: status %d %s%s; the other one said status %d %s%s", a.code, a.stdout, a.stderr, said.code, said.stdout, said.stderr)
		}
		if got := d.counted(t); got != all {
			t.Fatalf("%d plays in all, want %d", got, all)
		}
		if round%2 == 1 { // the other way round; of one play that is left nobody gives half
			has, wants = wants, has
		}
	}
	if came < 3 {
		t.Errorf("the one who waited got something in %d of 6 rounds", came)
	}
}

// counted is how many plays the devices have, and the house of the title that goes
// back and forth.
func (d *demo) counted(t *testing.T) uint64 {
	t.Helper()
	return sum(d.heldAtHome(t, boughtCBCS)) + sum(d.heldBy(t, "tablet")) + sum(d.heldBy(t, "phone"))
}
