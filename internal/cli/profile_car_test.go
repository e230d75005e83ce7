package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/trem"
)

// carProfile: the tablet plays the part of a car without a network, and without a
// clock that runs while it is parked. Its power is cut at each step that it makes
// durable; weeks pass; a stick from home brings proven time.
func carProfile(t *testing.T, d *world) {
	needsTracing(t)
	const plays = 12
	here, car, stick := d.here, d.car, d.stick
	in := func(args ...string) []string {
		return append(append([]string{"device"}, args...), "--dir", d.path("tablet"))
	}
	status := func() (s trem.Status) {
		t.Helper()
		if err := car.query(t.Context(), &s, "trem", "status", "--dir", d.path("tablet", "trem")); err != nil {
			t.Fatal(err)
		}
		return s
	}
	house := d.houseName(t)
	end := here.now().Add(10 * day).UTC().Truncate(time.Second).Format(time.RFC3339)
	here.do(d.grant(house, rented, fmt.Sprintf("PLAY; PLAY_COUNT=%d; CHARGE=RENTAL; END_TIME=%s; MIN_ANCHOR=0", plays, end))...)
	here.do(d.grant(house, bought, "PLAY; CHARGE=PURCHASE; EXPORT=clearkey")...)
	for _, id := range []ident.Content{rented, bought} {
		here.do("home", "fetch", string(id), "--dir", d.path("home"), "--issuer", d.shopURL)
	}
	car.do(in("get", string(bought))...)
	car.do(in("get", string(rented), "--plays", fmt.Sprint(plays))...)
	car.do(in("download", string(rented))...)
	rehouse(t, d.path("tablet", "device.json"), d.homeURL, nowhere)
	defer rehouse(t, d.path("tablet", "device.json"), nowhere, d.homeURL)

	car.set(atDead, 1)
	var seen []int // bytes of the film, at each start of the car
	left := uint64(plays)
	for done := false; !done; { // a long drive: its power is cut at one step after the other
		car.off(time.Hour)
		a, err := car.killing("fsync,fdatasync", len(seen)+1).run(t.Context(), in("play", string(rented), "--out", "-")...)
		if err != nil || a.code == statusRefused || len(seen) > 30 {
			t.Fatalf("after %d cuts: status %d (%v): %s", len(seen), a.code, err, a.stderr)
		}
		seen, done, left = append(seen, len(a.stdout)), a.code == statusDone, sum(d.on(car).heldBy(t, "tablet"))
	}
	begun := 0 // what a module had shown to the end when it was killed may not have left its host
	for _, n := range seen {
		if n > 0 {
			begun++
		}
	}
	if used := plays - int(left); used < 1 || used > begun || len(seen) < 3 { //nolint:gosec // few
		t.Errorf("%d plays were used in %d starts, of which %d showed something: %v bytes", used, len(seen), begun, seen)
	}
	for range 3 { // weeks: without a clock that runs while it is parked they do not pass
		car.off(7 * day)
		car.do(in("why", string(rented))...)
	}
	if now := status().Clock; now.Quality != "FREE" || now.Est > here.now().Add(day).UnixMilli() {
		t.Errorf("parked without a clock: %+v", now)
	}
	here.pass(21 * day)
	d.reboot(t)
	here.do("ca", "publish", "--dir", d.path("ca"))
	here.do("home", "learn", "--dir", d.path("home"))
	if err := os.Mkdir(stick, 0o700); err != nil {
		t.Fatal(err)
	}
	carry := func() (out carried) {
		t.Helper()
		if err := car.query(t.Context(), &out, in("carry", "--folder", stick)...); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := carry(); got.Epoch != 0 {
		t.Errorf("before the journey: %+v", got)
	}
	waitFor(t, filepath.Join(stick, "*", "*.ans"))
	for range 50 {
		if files, _ := filepath.Glob(filepath.Join(stick, "*", "*.ask")); len(files) == 0 {
			break
		}
		<-tick()
	}
	if got := carry(); got.Epoch != d.published(t) {
		t.Errorf("after it: %+v, want epoch %d", got, d.published(t))
	}
	if now := status().Clock; now.Quality != "FREE" || now.Lo < here.now().Add(-time.Hour).UnixMilli() {
		t.Errorf("the signed time of the stick is not its floor: %+v", now)
	}
	car.refuses(statusRefused, "EXPIRED", in("why", string(rented))...)
	car.set(atDead, 0)
	car.off(time.Hour)
	if now := status().Clock; now.Quality != "ANCHORED" || now.Est < here.now().UnixMilli() {
		t.Errorf("with a clock that runs: %+v", now)
	}
	car.refuses(statusRefused, "EXPIRED", in("why", string(rented))...)
	car.do(in("why", string(bought))...)
}
