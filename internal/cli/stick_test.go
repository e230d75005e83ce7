package cli

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/license"
)

// TestProfile_CarByStick: the tablet plays the part of a car. It has no network: a
// title that is moved to it comes on a stick, and its receipt goes back on it, while
// the car's power is cut at any instant. The title is in one place all the time, with
// all its plays.
func TestProfile_CarByStick(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	stick := filepath.Join(t.TempDir(), "stick")
	if err := d.stop("home"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.serve("home", "home", "serve", "--dir", d.path("home"), "--listen", strings.TrimPrefix(d.homeURL, "http://"), "--ca", d.caURL, "--folder", stick); err != nil {
		t.Fatal(err)
	}
	var house struct {
		ID string `json:"pairwise"`
	}
	if err := d.query(ctx, &house, "home", "show", "--dir", d.path("home"), "--issuer", string(d.shop.Issuer)); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if _, err := d.must(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	run(d.grant(house.ID, shared, "PLAY; PLAY_COUNT=5; MOVE=DOMAIN; EXPORT=clearkey; MIN_ANCHOR=0")...)
	if acked := d.fetched(t, shared); len(acked) != 1 {
		t.Fatalf("%d licenses came, want 1", len(acked))
	}
	run("device", "move", string(shared), "--here", "--dir", d.path("phone"))
	run("device", "transfers", "--dir", d.path("tablet")) // the last time that the car is at home
	rehouse(t, d.path("tablet", "device.json"), d.homeURL, nowhere)
	run("device", "move", string(shared), "--to", "tablet", "--dir", d.path("phone"))

	dice := rand.New(rand.NewPCG(13, 7)) //nolint:gosec // the same each time
	carry := []string{"device", "carry", "--folder", stick, "--dir", d.path("tablet")}
	if a, err := d.run(ctx, carry...); err != nil || a.code != statusLater {
		t.Errorf("without a stick: status %d (%v): %s", a.code, err, a.stderr)
	}
	if err := os.Mkdir(stick, 0o700); err != nil {
		t.Fatal(err)
	}
	run(carry...) // the stick is made ready
	inCar := func() {
		t.Helper()
		for range 3 {
			d.cutPower(t, dice, carry...)
			if n := d.usable(t, "tablet") + d.usable(t, "phone"); n > 5 {
				t.Fatalf("%d plays are usable, there are 5", n)
			}
		}
		run(carry...)
	}
	waitFor(t, filepath.Join(stick, "*", "*.mail"))
	inCar()
	if got := d.usable(t, "tablet"); got != 5 {
		t.Errorf("the car has %d plays, want 5", got)
	}
	waitFor(t, filepath.Join(stick, "*", "*.ans")) // at home the receipt is taken
	run("device", "transfers", "--dir", d.path("phone"))
	if got := d.heldBy(t, "phone"); len(got) != 0 {
		t.Errorf("the phone still has it: %v", got)
	}
	run(carry...)
	for end := time.Now().Add(startGrace); d.open(t, "tablet") > 0; time.Sleep(time.Second) { // DONE, on the stick
		if run(carry...); time.Now().After(end) {
			t.Fatal("the transfer is not closed in the car")
		}
	}
	if got := d.open(t, "phone"); got != 0 {
		t.Errorf("%d transfers are open at the phone", got)
	}
}

// nowhere is an address at which nobody is.
const nowhere = "http://127.0.0.1:1"

// rehouse has a device look for its house at another address.
func rehouse(t *testing.T, name, url, to string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err == nil && !strings.Contains(string(data), url) {
		t.Fatalf("%s does not name %s", name, url)
	}
	if err == nil {
		err = os.WriteFile(name, []byte(strings.ReplaceAll(string(data), url, to)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cutPower starts a command and kills it and its module at an instant that dice
// choose.
func (d *demo) cutPower(t *testing.T, dice *rand.Rand, args ...string) {
	t.Helper()
	cmd := d.command(t.Context(), args)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(dice.IntN(150)) * time.Millisecond)
	if err := killTree(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed, or just done
}

// usable are the plays of a device that are not on their way elsewhere.
func (d *demo) usable(t *testing.T, name string) (n uint64) {
	t.Helper()
	var held []struct {
		Phase    string           `json:"phase"`
		Counters license.Counters `json:"counters"`
	}
	if err := d.query(t.Context(), &held, "device", "list", "--dir", d.path(name)); err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		if h.Phase == license.Held.String() {
			n += plays(h.Counters)
		}
	}
	return n
}

// open is how many transfers of a device are not closed.
func (d *demo) open(t *testing.T, name string) int {
	t.Helper()
	var list struct {
		Transfers []struct {
			Stage string `json:"stage"`
		} `json:"transfers"`
	}
	if err := d.query(t.Context(), &list, "device", "transfers", "--dir", d.path(name)); err != nil {
		t.Fatal(err)
	}
	return len(list.Transfers)
}

// waitFor waits until a file is there.
func waitFor(t *testing.T, pattern string) {
	t.Helper()
	for end := time.Now().Add(startGrace); ; time.Sleep(100 * time.Millisecond) {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nothing like %s comes", pattern)
		}
	}
}
