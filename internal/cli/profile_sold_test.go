package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// soldProfile: the tablet plays the part of a car that is sold. A film goes to the
// buyer's house by TRANSFER. Nothing is destroyed while the house is away, or while
// something is here that is nowhere else; then what was set aside goes back, the keys
// are destroyed, and an old copy of the folder gets nothing from the house.
func soldProfile(t *testing.T, d *world) {
	here, car := d.here, d.car
	car.off(0)
	car.set(atOffset, clockAt(here.clocks, atOffset)) // its clock is set by the network
	net := newWay(t, d.homeURL)
	rehouse(t, d.path("tablet", "device.json"), d.homeURL, net.URL)
	in := func(args ...string) []string {
		return append(append([]string{"device"}, args...), "--dir", d.path("tablet"))
	}
	here.do(d.grant(d.houseName(t), rented, "PLAY; PLAY_COUNT=9; MIN_ANCHOR=0")...)
	here.do("home", "fetch", string(rented), "--dir", d.path("home"), "--issuer", d.shopURL)
	d.phone.do("device", "move", string(shared), "--to", "house", "--dir", d.path("phone"))
	car.do(in("get", string(rented), "--plays", "2")...)
	car.do(in("move", string(shared), "--here")...)
	before := sum(d.heldAtHome(t, rented))
	car.refuses(statusRefused, "would be lost: "+string(shared), in("wipe")...)
	car.do(in("why", string(shared))...)
	car.do(in("move", string(shared), "--to", "house")...)
	d.give(t, here)

	net.away.Store(true)
	car.refuses(statusLater, "nothing was destroyed", in("wipe")...)
	net.away.Store(false)
	car.do(in("why", string(bought))...)
	old := copied(t, d.path("tablet"))
	if err := os.WriteFile(d.path("tablet", personFile), []byte(`{"person":{"age":9}}`), 0o600); err != nil { // it was a child's
		t.Fatal(err)
	}
	var said wipedSaid
	if err := car.query(t.Context(), &said, in("wipe")...); err != nil {
		t.Fatal(err)
	}
	if !said.Wiped || !said.Told || len(said.Lost) != 0 {
		t.Errorf("%+v", said)
	}
	if got := sum(d.heldAtHome(t, rented)); got < before+2 {
		t.Errorf("%d plays at home, had %d and want the 2 that were set aside", got, before)
	}
	if files, err := filepath.Glob(d.path("tablet", "*")); err != nil || !slices.Equal(files, []string{d.path("tablet", "trem")}) {
		t.Errorf("left: %v %v", files, err)
	}
	if files, err := filepath.Glob(d.path("tablet", "trem", "*")); err != nil || len(files) != 0 {
		t.Errorf("left of the module: %v %v", files, err)
	}
	car.do(in("wipe")...) // said again
	car.refuses(statusRefused, "NOT_MEMBER", "device", "get", string(rented), "--dir", old)
}

// give gives the film to a second house, the buyer's.
func (d *demo) give(t *testing.T, here *machine) {
	t.Helper()
	d.newHomeServer(t, "buyer")
	url, err := d.serve("buyer", "home", "serve", "--dir", d.path("buyer"), "--listen", "127.0.0.1:0", "--ca", d.caURL)
	if err != nil {
		t.Fatal(err)
	}
	here.do("home", "add", d.packed(shared), "--dir", d.path("buyer"))
	here.do("home", "receive", "--dir", d.path("buyer"))
	here.do("home", "give", string(shared), "--to", url, "--dir", d.path("home"))
	buyer := *d
	if buyer.homeURL = url; len(buyer.heldAtHome(t, shared)) != 1 {
		t.Error("the buyer has it not")
	}
	if n := len(d.heldAtHome(t, shared)); n != 0 {
		t.Errorf("%d are still at home", n)
	}
}

// copied is a copy of a folder, as a backup has it.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", dir, to).CombinedOutput(); err != nil { //nolint:gosec // folders of the test
		t.Fatalf("%v: %s", err, out)
	}
	return to
}
