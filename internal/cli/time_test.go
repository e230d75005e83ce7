package cli

import (
	"testing"
	"time"

	"github.com/lares-drm/lares/internal/needs"
	"github.com/lares-drm/lares/security/trem"
)

// TestTime_TheHouseAndTheRoot asks for the time while the authority is away, of the
// house; and leads a device's clock back by a file of the root.
func TestTime_TheHouseAndTheRoot(t *testing.T) {
	needs.Long(t)
	d := killHouse(t)
	ctx := t.Context()
	status := func(name string) (s trem.Status) {
		t.Helper()
		if err := d.query(ctx, &s, "trem", "status", "--dir", d.path(name, "trem")); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := d.stop("ca"); err != nil {
		t.Fatal(err)
	}
	before := status("tablet")
	if _, err := d.must(ctx, "device", "transfers", "--dir", d.path("tablet")); err != nil {
		t.Fatal(err)
	}
	after := status("tablet")
	if after.Records <= before.Records || after.Clock.Quality != "SECURE" {
		t.Errorf("with the authority away nothing was learned: %+v, before %+v", after.Clock, before.Clock)
	}
	most := time.Now().Add(-30 * time.Minute).UTC().Truncate(time.Second)
	var made timeReset
	if err := d.query(ctx, &made, "ca", "time-reset", "--dir", d.path("ca"), "--most", most.Format(time.RFC3339), "--out", d.path("reset.bin")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // obeyed once
		if _, err := d.must(ctx, "trem", "learn", "--reset", d.path("reset.bin"), "--dir", d.path("phone", "trem")); err != nil {
			t.Fatal(err)
		}
	}
	if got := status("phone").Clock; got.Lo > most.Add(time.Minute).UnixMilli() || got.Quality == "SECURE" {
		t.Errorf("after the reset: %+v, at most %d", got, most.UnixMilli())
	}
	if a, err := d.run(ctx, "trem", "learn", "--reset", d.path("tablet", "device.json"), "--dir", d.path("phone", "trem")); err != nil || a.code == statusDone {
		t.Errorf("a file that is no reset: %d %v", a.code, err)
	}
}
