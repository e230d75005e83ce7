package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	car.refuses(statusRefused, "was removed from the house", "device", "pair", "--home", d.homeURL, "--dir", old)
	rehouse(t, filepath.Join(old, "device.json"), net.URL, nowhere)
	wipeKilled(t, car, old)
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

// wipeKilled wipes copies of a device's folder whose modules are killed at each step
// that they make durable. A device is as it was, or wiped; said again, it is wiped.
func wipeKilled(t *testing.T, here *machine, old string) {
	t.Helper()
	needsTracing(t)
	key := filepath.Join("trem", "keystore.lks")
	keys, err := os.ReadFile(filepath.Join(old, key))
	if err != nil {
		t.Fatal(err)
	}
	whole, gone := 0, 0
	for n := 1; ; n++ {
		dir := copied(t, old)
		wipe := []string{"device", "wipe", "--give-up", "--dir", dir}
		a, err := here.killing("fsync,fdatasync,renameat,unlinkat", n).run(t.Context(), wipe...)
		if err != nil || n > 60 {
			t.Fatalf("%d: %v", n, err)
		}
		if a.code == statusDone {
			break
		}
		if list, err := here.run(t.Context(), "device", "list", "--dir", dir); err == nil && strings.Contains(list.stdout, string(bought)) {
			whole++
		} else {
			gone++
		}
		here.do(wipe...)
		if now, err := os.ReadFile(filepath.Join(dir, key)); err == nil && bytes.Equal(now, keys) {
			t.Fatalf("killed at step %d, wiped, and its keys are there", n)
		}
		here.refuses(statusError, "no certificate", "device", "why", string(bought), "--dir", dir)
	}
	if whole == 0 || gone < 3 {
		t.Errorf("killed %d times before the device was wiped, %d times after", whole, gone)
	}
}
