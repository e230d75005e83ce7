package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lares-drm/lares/content"
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
		a, err := car.killing("fsync", len(seen)+1).run(t.Context(), in("play", string(rented), "--out", "-")...)
		if err != nil || a.code == statusRefused || len(seen) > 30 {
			t.Fatalf("after %d cuts: status %d (%v): %s", len(seen), a.code, err, a.stderr)
		}
		seen, done, left = append(seen, len(a.stdout)), a.code == statusDone, sum(d.on(car).heldBy(t, "tablet"))
	}
	d.wantPaid(t, seen, plays-int(left)) //nolint:gosec // few
	for range 3 {                        // weeks: without a clock that runs while it is parked they do not pass
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

// wantPaid: a play is over when 90 % of the film was decrypted (docs/spec/evaluation.md,
// E4, rule 4), which is durable before the last of it is out: what the module had shown
// so far when it was killed may lack the segments of one command. So every start that came
// so far may have ended a play, every start that showed all has, and no other one cost anything.
func (d *demo) wantPaid(t *testing.T, seen []int, used int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.packed(rented), content.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := content.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	hd, err := trackOf(m, content.HD)
	if err != nil {
		t.Fatal(err)
	}
	over := hd.Init.Bytes
	for i, s := range hd.Segments {
		if i+filesAhead >= len(hd.Segments) || hd.Segments[i+filesAhead].StartMS >= m.DurationMS*9/10 {
			break
		}
		over += s.Bytes
	}
	most, least := 0, 0
	for _, n := range seen {
		if int64(n) >= over {
			most++
		}
		if n == seen[len(seen)-1] {
			least++
		}
	}
	if used < max(least, 1) || used > most || len(seen) < 3 {
		t.Errorf("%d plays were used in %d starts, want %d to %d: they showed %v bytes, a play is over from %d on", used, len(seen), least, most, seen, over)
	}
}
